package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// generatorArg is the first argument of a process that makes or takes traffic.
// Each is a process of its own inside one host's namespace:
//
//	generator serve ADDR             every service of the real server, on ADDR
//	generator KIND ADDR STREAMS      one kind of load towards ADDR
//
// It says "ready", answers each line of its standard input with its counts, and
// ends with its standard input.
const generatorArg = "generator"

// Ports of the real server's services, and of the VIP's.
const (
	bulkPort = 5001 // takes whatever comes
	rrPort   = 5002 // sends back each byte
	httpPort = 5003 // answers GET
	udpPort  = 5004 // counts datagrams
)

// counts is what a generator has seen since it started; the latencies are those
// since its last answer.
type counts struct {
	Nanos    int64 // of the generator's own monotonic clock
	Bytes    uint64
	Received uint64 // datagrams
	Sent     uint64 // datagrams
	Requests uint64
	Errors   uint64
	Error    string  // the first
	P50, P99 float64 // microseconds
}

// generator collects counts from its workers.
type generator struct {
	start           time.Time
	bytes, received atomic.Uint64
	sent, requests  atomic.Uint64
	errors          atomic.Uint64
	mu              sync.Mutex
	firstError      error
	workers         []*latencies
}

func generatorMain(args []string) int {
	g := &generator{start: time.Now()}
	err := g.begin(args)
	if err == nil {
		err = g.answer(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generator:", err)
		return 1
	}
	return 0
}

func (g *generator) begin(args []string) error {
	var streams int
	if len(args) < 2 {
		return fmt.Errorf("it takes a kind and an address")
	}
	addr, err := netip.ParseAddr(args[1])
	if err != nil {
		return err
	}
	if args[0] == "serve" {
		return g.serve(addr)
	}
	if len(args) != 3 {
		return fmt.Errorf("it takes a kind, an address and a number of streams")
	}
	if _, err := fmt.Sscan(args[2], &streams); err != nil {
		return err
	}
	return g.load(args[0], addr, streams)
}

// answer says that the generator runs and then counts, line by line, until its
// input ends.
func (g *generator) answer(in io.Reader, out io.Writer) error {
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err := encoder.Encode(g.count()); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) count() counts {
	c := counts{
		Nanos: int64(time.Since(g.start)), Bytes: g.bytes.Load(),
		Received: g.received.Load(), Sent: g.sent.Load(), Requests: g.requests.Load(), Errors: g.errors.Load(),
	}
	g.mu.Lock()
	if g.firstError != nil {
		c.Error = g.firstError.Error()
	}
	var all []uint32
	for _, w := range g.workers {
		all = append(all, w.take()...)
	}
	g.mu.Unlock()
	slices.Sort(all)
	if n := len(all); n > 0 {
		c.P50, c.P99 = float64(all[n/2])/1e3, float64(all[n*99/100])/1e3
	}
	return c
}

// fault counts an error of a worker.
func (g *generator) fault(err error) {
	g.errors.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.firstError == nil {
		g.firstError = err
	}
}

// latencies are one worker's, in nanoseconds.
type latencies struct {
	mu    sync.Mutex
	nanos []uint32
}

func (g *generator) newLatencies() *latencies {
	l := &latencies{nanos: make([]uint32, 0, 1<<17)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.workers = append(g.workers, l)
	return l
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.nanos = append(l.nanos, uint32(min(d, 4*time.Second)))
	l.mu.Unlock()
}

func (l *latencies) take() []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.nanos
	l.nanos = make([]uint32, 0, cap(taken))
	return taken
}
