package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

func idle() []row {
	rows := []row{
		{"one of 10,000 idle tasks woken, in order", func() float64 { return woken(false) }},
		{"one of 10,000 idle tasks woken, in random order", func() float64 { return woken(true) }},
		{"10,000 oneshots completed from another thread", func() float64 { return oneshots(1) }},
		{"10,000 oneshots completed from four threads", func() float64 { return oneshots(4) }},
	}
	for _, idle := range []int{0, 1_000, 100_000} {
		idle := idle
		name := fmt.Sprintf("one comes and goes beside %s idle ones", thousands(idle))
		rows = append(rows, row{name, func() float64 { return beside(idle) }})
	}
	return append(rows, failing(10_000))
}

// woken wakes every task once, and waits for its answer before it wakes the next.
func woken(shuffled bool) float64 {
	order := make([]int, tasks)
	for i := range order {
		order[i] = i
	}
	if shuffled {
		rand.New(rand.NewSource(9)).Shuffle(tasks, func(i, j int) {
			order[i], order[j] = order[j], order[i]
		})
	}
	var g errgroup.Group
	bells := make([]chan struct{}, tasks)
	answers := make(chan struct{})
	for i := range bells {
		bell := make(chan struct{})
		bells[i] = bell
		g.Go(func() error {
			for range bell {
				answers <- struct{}{}
			}
			return nil
		})
	}
	start := time.Now()
	for _, i := range order {
		bells[i] <- struct{}{}
		<-answers
	}
	cost := per(start, tasks)
	for _, bell := range bells {
		close(bell)
	}
	must(g.Wait())
	return cost
}

// beside adds a task that yields once, waits for its end, and adds the next.
func beside(idle int) float64 {
	const come = 1_000
	var g errgroup.Group
	over := make(chan struct{})
	for i := 0; i < idle; i++ {
		g.Go(func() error {
			<-over
			return nil
		})
	}
	ended := make(chan struct{})
	start := time.Now()
	for i := 0; i < come; i++ {
		g.Go(func() error {
			runtime.Gosched()
			ended <- struct{}{}
			return nil
		})
		<-ended
	}
	cost := per(start, come)
	close(over)
	must(g.Wait())
	return cost
}

// oneshots are channels of one message, filled by so many goroutines; a unit is a task.
func oneshots(threads int) float64 {
	var done int64
	var g errgroup.Group
	channels := make([]chan struct{}, tasks)
	for i := range channels {
		channel := make(chan struct{}, 1)
		channels[i] = channel
		g.Go(func() error {
			<-channel
			atomic.AddInt64(&done, 1)
			return nil
		})
	}
	runtime.Gosched()
	start := time.Now()
	for part := 0; part < threads; part++ {
		part := channels[part*tasks/threads : (part+1)*tasks/threads]
		go func() {
			for _, channel := range part {
				channel <- struct{}{}
			}
		}()
	}
	must(g.Wait())
	cost := per(start, tasks)
	check(done, tasks)
	return cost
}

func failing(siblings int) row {
	name := fmt.Sprintf("a failure among %s idle siblings", thousands(siblings))
	return row{name, func() float64 { return failure(siblings) }}
}

// failure cancels the group's context, on which the others return; a unit is a sibling.
func failure(siblings int) float64 {
	fault := errors.New("fault")
	g, ctx := errgroup.WithContext(context.Background())
	bell := make(chan struct{})
	for i := 0; i <= siblings; i++ {
		if i == siblings/2 {
			g.Go(func() error {
				<-bell
				return fault
			})
			continue
		}
		g.Go(func() error {
			<-ctx.Done()
			return ctx.Err()
		})
	}
	runtime.Gosched()
	start := time.Now()
	close(bell)
	if g.Wait() != fault {
		panic("another error")
	}
	return per(start, siblings)
}
