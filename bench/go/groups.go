package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// tasks are run in a round, of all groups together.
const tasks = 10_000

func groups() []row {
	var rows []row
	add := func(name string, run func() float64) { rows = append(rows, row{name, run}) }
	for _, size := range []int{1, 3, 10, 50} {
		for _, yields := range []int{0, 1} {
			size, yields := size, yields
			add(fmt.Sprintf("a group of %d, %s", size, yielding(yields)), func() float64 {
				return group(size, yields, tasks/size)
			})
			add(fmt.Sprintf("a scope of %d, %s", size, yielding(yields)), func() float64 {
				return scope(size, yields, tasks/size)
			})
			add(fmt.Sprintf("a graceful group of %d, %s", size, yielding(yields)), func() float64 {
				return graceful(size, yields, tasks/size)
			})
		}
	}
	for _, yields := range []int{0, 1, 4, 16} {
		for _, size := range []int{100, 1_000, 10_000, 100_000} {
			rows = append(rows, one(size, yields))
		}
	}
	for _, yields := range []int{0, 1, 4} {
		yields := yields
		name := fmt.Sprintf("queued at a limit of 64, %s", yielding(yields))
		add(name, func() float64 { return queued(yields) })
		name = fmt.Sprintf("fed by `ready` at a limit of 64, %s", yielding(yields))
		add(name, func() float64 { return limited(yields) })
	}
	add("a tree of 8,191 tasks, each spawns two", tree)
	for _, depth := range []int{1, 3, 10} {
		depth := depth
		add(fmt.Sprintf("groups nested %d deep", depth), func() float64 { return nested(depth) })
	}
	for _, size := range []int{1_000, 10_000, 100_000} {
		size := size
		name := fmt.Sprintf("a chain of %s tasks through a mutex", thousands(size))
		add(name, func() float64 { return chain(size) })
	}
	add("65,536 timers, 256 at a time in a group", timers)
	return rows
}

// millions are the last rows, because the runtime keeps what it knows of goroutines that have ended,
// and looks at it in each collection.
func millions() []row {
	const million = 1_000_000
	var rows []row
	for _, yields := range []int{0, 1, 4, 16} {
		rows = append(rows, one(million, yields))
	}
	return append(rows, failing(million))
}

// one has groups of this size, one after the other; a unit is a task.
func one(size, yields int) row {
	groups := tasks / size
	if groups < 1 {
		groups = 1
	}
	return row{fmt.Sprintf("one of %s, %s", thousands(size), yielding(yields)), func() float64 {
		return group(size, yields, groups) / float64(size)
	}}
}

// task yields so many times, and counts itself.
func task(yields int, done *int64) func() error {
	return func() error {
		for i := 0; i < yields; i++ {
			runtime.Gosched()
		}
		atomic.AddInt64(done, 1)
		return nil
	}
}

// group makes so many of them; a unit is a group.
func group(size, yields, groups int) float64 {
	var done int64
	start := time.Now()
	for i := 0; i < groups; i++ {
		var g errgroup.Group
		for j := 0; j < size; j++ {
			g.Go(task(yields, &done))
		}
		must(g.Wait())
	}
	cost := per(start, groups)
	check(done, int64(groups*size))
	return cost
}

// scope does the same from a body, which is one more task, so that its error would count.
func scope(size, yields, scopes int) float64 {
	var done int64
	start := time.Now()
	for i := 0; i < scopes; i++ {
		var g errgroup.Group
		g.Go(func() error {
			for j := 0; j < size; j++ {
				g.Go(task(yields, &done))
			}
			return nil
		})
		must(g.Wait())
	}
	cost := per(start, scopes)
	check(done, int64(scopes*size))
	return cost
}

// graceful does what group does, with a context for each of them.
func graceful(size, yields, groups int) float64 {
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done int64
	start := time.Now()
	for i := 0; i < groups; i++ {
		g, _ := errgroup.WithContext(parent)
		for j := 0; j < size; j++ {
			g.Go(task(yields, &done))
		}
		must(g.Wait())
	}
	cost := per(start, groups)
	check(done, int64(groups*size))
	return cost
}

// queued makes all functions before the first is called; a unit is a task.
func queued(yields int) float64 {
	var done int64
	var g errgroup.Group
	g.SetLimit(limit)
	start := time.Now()
	functions := make([]func() error, tasks)
	for i := range functions {
		functions[i] = task(yields, &done)
	}
	for _, function := range functions {
		g.Go(function)
	}
	must(g.Wait())
	cost := per(start, tasks)
	check(done, tasks)
	return cost
}

// limited waits in Go whenever the group is full; a unit is a task.
func limited(yields int) float64 {
	var done int64
	var g errgroup.Group
	g.SetLimit(limit)
	start := time.Now()
	for i := 0; i < tasks; i++ {
		g.Go(task(yields, &done))
	}
	must(g.Wait())
	cost := per(start, tasks)
	check(done, tasks)
	return cost
}

// tree is a binary one; a unit is a task.
func tree() float64 {
	const depth, size = 13, 1<<13 - 1
	var done int64
	var g errgroup.Group
	var spawn func(depth int)
	spawn = func(depth int) {
		g.Go(func() error {
			if depth > 1 {
				spawn(depth - 1)
				spawn(depth - 1)
			}
			atomic.AddInt64(&done, 1)
			return nil
		})
	}
	start := time.Now()
	spawn(depth)
	must(g.Wait())
	cost := per(start, size)
	check(done, size)
	return cost
}

// nested groups have two tasks that yield once, and the next group; a unit is a group.
func nested(depth int) float64 {
	var done int64
	var nest func(depth int) error
	nest = func(depth int) error {
		var g errgroup.Group
		g.Go(task(1, &done))
		if depth > 1 {
			g.Go(func() error { return nest(depth - 1) })
		}
		g.Go(task(1, &done))
		return g.Wait()
	}
	nests := 1_000 / depth
	start := time.Now()
	for i := 0; i < nests; i++ {
		must(nest(depth))
	}
	cost := per(start, nests*depth)
	check(done, int64(nests*depth*2))
	return cost
}

// chain has tasks that all want the same mutex; a unit is a task.
func chain(size int) float64 {
	var done int64
	var mutex sync.Mutex
	var g errgroup.Group
	start := time.Now()
	mutex.Lock()
	for i := 0; i < size; i++ {
		g.Go(func() error {
			mutex.Lock()
			done++
			mutex.Unlock()
			return nil
		})
	}
	mutex.Unlock()
	must(g.Wait())
	cost := per(start, size)
	check(done, int64(size))
	return cost
}

// timers sleep for 100 µs; a unit is a timer.
func timers() float64 {
	const timers = 65_536
	var done int64
	var g errgroup.Group
	g.SetLimit(256)
	start := time.Now()
	for i := 0; i < timers; i++ {
		g.Go(func() error {
			time.Sleep(100 * time.Microsecond)
			atomic.AddInt64(&done, 1)
			return nil
		})
	}
	must(g.Wait())
	cost := per(start, timers)
	check(done, timers)
	return cost
}
