// What Go's errgroup does, one line a fact: see ../tests/it/go.rs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "panic" {
		panics()
		return
	}
	borrow()
	failFast()
	spawnInside()
	limit()
	grace()
	allErrors()
	cores()
	starvation()
	detach()
}

// A panic in a task, and a caller who would recover from it.
func panics() {
	defer func() {
		fmt.Println("recovered:", recover())
	}()
	var group errgroup.Group
	group.Go(func() error { panic("out of cheese") })
	fmt.Println("waited:", group.Wait())
}

func borrow() {
	words := []string{"one", "two", "three"}
	lengths := make([]int, len(words))
	var group errgroup.Group
	for i := range words {
		i := i
		group.Go(func() error {
			lengths[i] = len(words[i])
			return nil
		})
	}
	_ = group.Wait()
	fmt.Println("borrow:", lengths)
}

func failFast() {
	group, ctx := errgroup.WithContext(context.Background())
	heard := make(chan struct{})
	release := make(chan struct{})
	group.Go(func() error {
		<-ctx.Done()
		close(heard)
		return ctx.Err()
	})
	group.Go(func() error {
		<-release // And not `ctx.Done()`.
		return nil
	})
	group.Go(func() error { return errors.New("no route") })
	waited := make(chan error, 1)
	go func() { waited <- group.Wait() }()
	<-heard
	returned := false
	select {
	case <-waited:
		returned = true
	case <-time.After(50 * time.Millisecond):
	}
	fmt.Println("fail fast: wait has returned while a sibling that does not listen runs:", returned)
	close(release)
	fmt.Println("fail fast: wait returned after it:", <-waited)
}

func spawnInside() {
	var group errgroup.Group
	var ran int32
	group.Go(func() error {
		group.Go(func() error {
			atomic.AddInt32(&ran, 1)
			return nil
		})
		return nil
	})
	_ = group.Wait()
	fmt.Println("spawn inside: ran", ran)

	// At the limit the inner call waits for its own task.
	limited := new(errgroup.Group)
	limited.SetLimit(1)
	limited.Go(func() error {
		limited.Go(func() error { return nil })
		return nil
	})
	waited := make(chan error, 1)
	go func() { waited <- limited.Wait() }()
	select {
	case <-waited:
		fmt.Println("spawn inside: at the limit: ended")
	case <-time.After(50 * time.Millisecond):
		fmt.Println("spawn inside: at the limit: stuck")
	}
}

func limit() {
	var group errgroup.Group
	group.SetLimit(3)
	var running, peak int32
	for i := 0; i < 10; i++ {
		group.Go(func() error {
			now := atomic.AddInt32(&running, 1)
			for {
				old := atomic.LoadInt32(&peak)
				if now <= old || atomic.CompareAndSwapInt32(&peak, old, now) {
					break
				}
			}
			time.Sleep(5 * time.Millisecond)
			atomic.AddInt32(&running, -1)
			return nil
		})
	}
	_ = group.Wait()
	fmt.Println("limit: at most three at once:", peak <= 3)
}

func grace() {
	parent, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(parent)
	said := make(chan string, 1)
	release := make(chan struct{})
	group.Go(func() error {
		<-ctx.Done()
		said <- "goodbye"
		return nil
	})
	group.Go(func() error {
		<-release
		return nil
	})
	waited := make(chan error, 1)
	go func() { waited <- group.Wait() }()
	cancel()
	fmt.Println("grace: one that listens says:", <-said)
	select {
	case <-waited:
		fmt.Println("grace: one that does not: is stopped")
	case <-time.After(50 * time.Millisecond):
		fmt.Println("grace: one that does not: runs on")
	}
	close(release)
	<-waited
}

func allErrors() {
	var group errgroup.Group
	first := make(chan struct{})
	group.Go(func() error {
		defer close(first)
		return errors.New("no route")
	})
	_ = group.Wait()
	group.Go(func() error {
		<-first
		return errors.New("no disk")
	})
	fmt.Println("all errors:", group.Wait())
}

// Two tasks, each of which waits for the other without giving way.
func cores() {
	runtime.GOMAXPROCS(2)
	var group errgroup.Group
	var here int32
	for i := 0; i < 2; i++ {
		group.Go(func() error {
			atomic.AddInt32(&here, 1)
			for atomic.LoadInt32(&here) < 2 {
			}
			return nil
		})
	}
	_ = group.Wait()
	fmt.Println("cores: both ran")
}

// One processor, one task that never gives way, and one that wants a turn.
func starvation() {
	runtime.GOMAXPROCS(1)
	var group errgroup.Group
	var stop int32
	group.Go(func() error {
		for atomic.LoadInt32(&stop) == 0 {
		}
		return nil
	})
	group.Go(func() error {
		atomic.StoreInt32(&stop, 1)
		return nil
	})
	_ = group.Wait()
	fmt.Println("starvation: both had a turn")
	runtime.GOMAXPROCS(2)
}

func detach() {
	ran := make(chan struct{})
	release := make(chan struct{})
	func() {
		var group errgroup.Group
		group.Go(func() error {
			<-release
			close(ran)
			return nil
		})
		// Nobody waits, and the group is garbage.
	}()
	runtime.GC()
	close(release)
	<-ran
	fmt.Println("detach: the task outlived its group")
}
