package main

import (
	"bytes"
	"io"
	"net"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"
)

func echo() []row {
	return []row{
		{"an echo server, time for a request", func() float64 { return loaded().mean }},
		{"an echo server, latency, 99th percentile", func() float64 { return loaded().high }},
	}
}

const (
	clients = 64
	// Of each client.
	requests = 50
	size     = 64
)

// load is in nanoseconds.
type load struct{ mean, high float64 }

// loaded has the server and its clients in one process, as in Rust, where each of both has a thread
// of its own. With one processor they take turns.
func loaded() load {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	var server errgroup.Group
	server.Go(func() error {
		for i := 0; i < clients; i++ {
			connection, err := listener.Accept()
			if err != nil {
				return err
			}
			server.Go(func() error { return serve(connection) })
		}
		return nil
	})
	connections := make([]net.Conn, clients)
	for i := range connections {
		// It has no delay, unless one asks for it.
		connections[i], err = net.Dial("tcp", listener.Addr().String())
		must(err)
	}

	var g errgroup.Group
	latencies := make([]float64, clients*requests)
	start := time.Now()
	for i, connection := range connections {
		connection, latencies := connection, latencies[i*requests:(i+1)*requests]
		g.Go(func() error { return client(connection, latencies) })
	}
	must(g.Wait())
	mean := per(start, clients*requests)
	must(server.Wait())
	sort.Float64s(latencies)
	return load{mean, latencies[len(latencies)*99/100]}
}

func serve(connection net.Conn) error {
	defer connection.Close()
	buffer := make([]byte, size)
	for {
		read, err := connection.Read(buffer)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := connection.Write(buffer[:read]); err != nil {
			return err
		}
	}
}

// client sends its next request when it has got its answer.
func client(connection net.Conn, latencies []float64) error {
	defer connection.Close()
	answer := make([]byte, size)
	for number := range latencies {
		request := bytes.Repeat([]byte{byte(number)}, size)
		start := time.Now()
		if _, err := connection.Write(request); err != nil {
			return err
		}
		if _, err := io.ReadFull(connection, answer); err != nil {
			return err
		}
		latencies[number] = per(start, 1)
		if !bytes.Equal(request, answer) {
			panic("another answer")
		}
	}
	return nil
}
