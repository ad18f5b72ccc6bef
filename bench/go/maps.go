package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// limit is how many items of a map or stream may run at a time.
const limit = 64

func maps() []row {
	var rows []row
	add := func(name string, run func() float64) { rows = append(rows, row{name, run}) }
	for _, size := range []int{1, 3, 10, 50} {
		for _, yields := range []int{0, 1} {
			size, yields := size, yields
			add(fmt.Sprintf("`try_map` of %d, %s", size, yielding(yields)), func() float64 {
				return mapped(size, yields) * float64(size)
			})
		}
	}
	for _, yields := range []int{0, 1, 4} {
		yields := yields
		named := func(name string) string {
			return fmt.Sprintf("`%s` at a limit of 64, %s", name, yielding(yields))
		}
		add(named("try_map"), func() float64 { return mapped(tasks, yields) })
		add(named("try_for_each"), func() float64 { return each(yields) })
		add(named("buffered"), func() float64 { return drained(buffered, yields) })
		add(named("buffer_unordered"), func() float64 { return drained(bufferUnordered, yields) })
	}
	add("65,536 timers, 256 at a time in a map", mappedTimers)
	return rows
}

// item is a task with a value.
func item(index, yields int) (int, error) {
	for i := 0; i < yields; i++ {
		runtime.Gosched()
	}
	return index, nil
}

func sumBelow(n int) int64 {
	return int64(n) * int64(n-1) / 2
}

// tryForEach begins no further item after an error, which is what the context is for.
func tryForEach(size, limit int, each func(index int) error) error {
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(limit)
	for i := 0; i < size && ctx.Err() == nil; i++ {
		i := i
		g.Go(func() error { return each(i) })
	}
	return g.Wait()
}

// tryMap has a place for each value, so that they are in the order of the items.
func tryMap(size int, f func(index int) (int, error)) ([]int, error) {
	values := make([]int, size)
	err := tryForEach(size, limit, func(index int) error {
		value, err := f(index)
		values[index] = value
		return err
	})
	return values, err
}

// mapped makes maps of this size, one after the other; a unit is an item.
func mapped(size, yields int) float64 {
	maps := tasks / size
	start := time.Now()
	for i := 0; i < maps; i++ {
		values, err := tryMap(size, func(index int) (int, error) { return item(index, yields) })
		must(err)
		sum := 0
		for _, value := range values {
			sum += value
		}
		check(int64(sum), sumBelow(size))
	}
	return per(start, maps*size)
}

// each is a map without values; a unit is an item.
func each(yields int) float64 {
	var done int64
	start := time.Now()
	must(tryForEach(tasks, limit, func(int) error { return task(yields, &done)() }))
	cost := per(start, tasks)
	check(done, tasks)
	return cost
}

// mappedTimers sleep for 100 µs; a unit is a timer.
func mappedTimers() float64 {
	const timers = 65_536
	var done int64
	start := time.Now()
	must(tryForEach(timers, 256, func(int) error {
		time.Sleep(100 * time.Microsecond)
		atomic.AddInt64(&done, 1)
		return nil
	}))
	cost := per(start, timers)
	check(done, timers)
	return cost
}

// stream gives the values of all items to take, until that or an item fails.
type stream func(f func(index int) (int, error), take func(value int)) error

// buffered has a channel for each item, and a queue of these in the order of the items. Of the items
// that have begun and were not taken, one is with whoever takes, and the others are in the queue.
func buffered(f func(index int) (int, error), take func(value int)) error {
	g, ctx := errgroup.WithContext(context.Background())
	queue := make(chan chan int, limit-1)
	g.Go(func() error {
		defer close(queue)
		for i := 0; i < tasks; i++ {
			i, slot := i, make(chan int, 1)
			select {
			case queue <- slot:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error {
				value, err := f(i)
				if err == nil {
					slot <- value
				}
				return err
			})
		}
		return nil
	})
	for slot := range queue {
		select {
		case value := <-slot:
			take(value)
		case <-ctx.Done():
			return g.Wait()
		}
	}
	return g.Wait()
}

// bufferUnordered has one channel for the values of all items.
func bufferUnordered(f func(index int) (int, error), take func(value int)) error {
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(limit)
	values, ended := make(chan int), make(chan error, 1)
	go func() {
		for i := 0; i < tasks && ctx.Err() == nil; i++ {
			i := i
			g.Go(func() error {
				value, err := f(i)
				if err != nil {
					return err
				}
				select {
				case values <- value:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		ended <- g.Wait()
		close(values)
	}()
	for value := range values {
		take(value)
	}
	return <-ended
}

// drained takes everything; a unit is an item.
func drained(stream stream, yields int) float64 {
	sum := 0
	start := time.Now()
	must(stream(
		func(index int) (int, error) { return item(index, yields) },
		func(value int) { sum += value },
	))
	cost := per(start, tasks)
	check(int64(sum), sumBelow(tasks))
	return cost
}
