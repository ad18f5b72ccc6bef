package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

func waiting() []row {
	var rows []row
	for _, depth := range []int{1, 3, 10} {
		depth := depth
		name := fmt.Sprintf("`is_cancelled` %d deep", depth)
		rows = append(rows, row{name, func() float64 { return asked(depth) }})
	}
	rows = append(rows,
		row{"a child context made and dropped", children},
		row{"a cancel with 10,000 waiters", cancelled},
		row{"a semaphore that is free", free},
		row{"8 permits for 64 tasks that want 1 to 4", func() float64 { return contended(true) }},
	)
	// With more processors its tasks are on several threads anyway.
	name := "8 permits for 64 tasks"
	if runtime.GOMAXPROCS(0) > 1 {
		name += " on two threads"
	}
	return append(rows, row{name, func() float64 { return contended(false) }})
}

// asked asks a context with so many above it; a unit is a call.
func asked(depth int) float64 {
	const calls = 100_000
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := 0; i < depth; i++ {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		ctx = child
	}
	start := time.Now()
	for i := 0; i < calls; i++ {
		must(ctx.Err())
	}
	return per(start, calls)
}

func children() float64 {
	const children = 10_000
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	start := time.Now()
	for i := 0; i < children; i++ {
		_, cancel := context.WithCancel(parent)
		cancel()
	}
	return per(start, children)
}

// cancelled counts from the cancel until all have seen it; a unit is a waiter.
func cancelled() float64 {
	const waiters = 10_000
	var seen int64
	var g errgroup.Group
	ctx, cancel := context.WithCancel(context.Background())
	for i := 0; i < waiters; i++ {
		g.Go(func() error {
			<-ctx.Done()
			atomic.AddInt64(&seen, 1)
			return nil
		})
	}
	runtime.Gosched()
	start := time.Now()
	cancel()
	must(g.Wait())
	cost := per(start, waiters)
	check(seen, waiters)
	return cost
}

const (
	permits = 8
	users   = 64
	times   = 100
)

func free() float64 {
	ctx := context.Background()
	sem := semaphore.NewWeighted(permits)
	start := time.Now()
	for i := 0; i < users*times; i++ {
		must(sem.Acquire(ctx, 1))
		sem.Release(1)
	}
	return per(start, users*times)
}

// contended has tasks that yield while they have their permits; a unit is an acquisition.
func contended(weighted bool) float64 {
	ctx := context.Background()
	sem := semaphore.NewWeighted(permits)
	var done int64
	var g errgroup.Group
	start := time.Now()
	for i := 0; i < users; i++ {
		weight := int64(1)
		if weighted {
			weight = int64(i%4 + 1)
		}
		g.Go(func() error {
			for i := 0; i < times; i++ {
				if err := sem.Acquire(ctx, weight); err != nil {
					return err
				}
				runtime.Gosched()
				sem.Release(weight)
			}
			atomic.AddInt64(&done, 1)
			return nil
		})
	}
	must(g.Wait())
	cost := per(start, users*times)
	check(done, users)
	return cost
}
