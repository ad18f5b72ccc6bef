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
		{"allocations of tasks that come and go", func() float64 {
			before, after := passing()
			return float64(after.Mallocs-before.Mallocs) / tasks
		}},
		// With what it rounds them up to. Stacks are not among them.
		{"bytes asked for by tasks that come and go", func() float64 {
			before, after := passing()
			return float64(after.TotalAlloc-before.TotalAlloc) / tasks
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

// passing has tasks that yield once, and looks when the first of them have been there, and at the end.
func passing() (before, after runtime.MemStats) {
	const first = 1_000
	var done int64
	var g errgroup.Group
	g.SetLimit(limit)
	for i := 0; i < first+tasks; i++ {
		if i == first {
			runtime.ReadMemStats(&before)
		}
		g.Go(task(1, &done))
	}
	runtime.ReadMemStats(&after)
	must(g.Wait())
	check(done, first+tasks)
	return before, after
}
