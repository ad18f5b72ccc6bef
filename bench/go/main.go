// The work of ../src/work in Go, with golang.org/x/sync.
//
// The program in Rust runs it: see ../src/go.rs. By hand:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run . 'a group of 3, ready' # with Debian's packages
//	go run . 'a group of 3, ready'                                          # with modules
//
// Its arguments are names of rows. For each that it knows it prints the name, the number of rounds,
// and the minimum and the median of nanoseconds for a unit, with tabs between. Without names it does
// all of them.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"sort"
	"time"
)

// row does its work once, and gives what a unit of it cost.
type row struct {
	name string
	run  func() float64
}

// atLeast rounds are run, and more until the time is over; but no more than one if that takes long.
const (
	atLeast = 3
	enough  = 100 * time.Millisecond
	long    = time.Second
)

func main() {
	names := os.Args[1:]
	quick := len(names) > 0 && names[0] == "-quick"
	if quick {
		names = names[1:]
	}
	asked := map[string]bool{}
	for _, name := range names {
		asked[name] = true
	}
	var rows []row
	// Memory is first, because new stacks are as large as those before them were.
	for _, more := range [][]row{memory(), groups(), maps(), idle(), waiting(), echo(), millions()} {
		rows = append(rows, more...)
	}
	for _, row := range rows {
		if len(names) == 0 || asked[row.name] {
			costs := measure(row, quick)
			fmt.Printf("%s\t%d\t%f\t%f\n", row.name, len(costs), costs[0], costs[len(costs)/2])
		}
	}
}

func measure(row row, quick bool) []float64 {
	// What the row before has left is not this one's.
	debug.FreeOSMemory()
	var costs []float64
	for start := time.Now(); ; {
		costs = append(costs, row.run())
		took := time.Since(start)
		if quick || took > long || len(costs) >= atLeast && took > enough {
			break
		}
	}
	sort.Float64s(costs)
	return costs
}

// per gives the nanoseconds since the start for each of so many units.
func per(start time.Time, units int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(units)
}

// check panics unless as much was done as should be.
func check(done, expected int64) {
	if done != expected {
		panic(fmt.Sprintf("%d instead of %d", done, expected))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func yielding(yields int) string {
	switch yields {
	case 0:
		return "ready"
	case 1:
		return "1 yield"
	default:
		return fmt.Sprintf("%d yields", yields)
	}
}

// thousands gives 1,000,000 instead of 1000000.
func thousands(number int) string {
	if number < 1000 {
		return fmt.Sprint(number)
	}
	return fmt.Sprintf("%s,%03d", thousands(number/1000), number%1000)
}
