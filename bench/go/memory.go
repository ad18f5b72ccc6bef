package main

import (
	"runtime"

	"golang.org/x/sync/errgroup"
)

func memory() []row {
	return []row{
		{"allocations of 100,000 idle tasks", func() float64 {
			before, after := held()
			return float64(after.Mallocs-before.Mallocs) / idleTasks
		}},
		{"bytes of 100,000 idle tasks", func() float64 {
			before, after := held()
			bytes := func(stats runtime.MemStats) int64 {
				return int64(stats.HeapAlloc + stats.StackInuse)
			}
			return float64(bytes(after)-bytes(before)) / idleTasks
		}},
	}
}

const idleTasks = 100_000

// held looks before tasks are there and while they wait. Stacks of earlier ones may be used again.
func held() (before, after runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&before)
	over := make(chan struct{})
	var g errgroup.Group
	for i := 0; i < idleTasks; i++ {
		g.Go(func() error {
			<-over
			return nil
		})
	}
	runtime.Gosched()
	runtime.ReadMemStats(&after)
	close(over)
	must(g.Wait())
	return before, after
}
