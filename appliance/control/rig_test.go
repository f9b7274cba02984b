package control

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// source answers from what a test gives it.
type source struct {
	snapshot Snapshot
	flows    func(yield func(Flow) bool)
	explain  func(string) (Explanation, error)
	plan     func(name string, text []byte) (Plan, error)
	applied  []string
	mu       sync.Mutex
}

func (s *source) Snapshot() Snapshot          { return s.snapshot }
func (s *source) Flows(yield func(Flow) bool) { s.flows(yield) }
func (s *source) Pending() (Plan, error)      { return s.plan("weir.yaml", nil) }

func (s *source) Explain(p string) (Explanation, error) { return s.explain(p) }

func (s *source) Plan(name string, text []byte) (Plan, error) { return s.plan(name, text) }

func (s *source) Apply(name string, text []byte) (Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = append(s.applied, string(text))
	return s.plan(name, text)
}

// newSource answers everything with something recognisable.
func newSource() *source {
	web := Service{Name: "web", VIP: netip.MustParseAddrPort("192.0.2.10:80"), Protocol: "tcp", Method: "nat", Scheduler: "rr",
		Reals: []Real{{Service: "web", Name: "r1", Address: netip.MustParseAddrPort("10.0.0.11:8080"), Weight: 3, Created: 7}}}
	return &source{
		snapshot: Snapshot{
			Services:   []Service{web, {Name: "dns", VIP: netip.MustParseAddrPort("[2001:db8::10]:53"), Reals: []Real{}}},
			Neighbours: []Neighbour{{Port: "lan", Address: netip.MustParseAddr("10.0.0.11"), MAC: "02:00:00:00:00:11", State: "reachable"}},
			Counters: Counters{
				Ports: []Port{{Name: "lan", RxFrames: 5, Drops: map[string]uint64{"no-flow": 2}}},
				Stack: map[string]uint64{"delivered": 1}, Flows: Flows{Live: 3, Limit: 10},
			},
		},
		flows: func(yield func(Flow) bool) {
			for i := range 3 {
				client := netip.AddrPortFrom(netip.MustParseAddr("10.1.0.9"), uint16(4000+i))
				if !yield(Flow{Protocol: "tcp", Client: client, Service: "web", State: "established"}) {
					return
				}
			}
		},
		explain: func(p string) (Explanation, error) {
			if p == "" {
				return Explanation{}, errors.New("the packet is empty")
			}
			return Explanation{Packet: p, Verdict: "emit", Steps: []Step{{"flow", "none yet"}}}, nil
		},
		plan: func(name string, text []byte) (Plan, error) {
			if strings.HasPrefix(string(text), "bad") {
				return Plan{}, Faults{{name, 1, 2, "unknown key"}, {name, 3, 4, "missing"}}
			}
			return Plan{[]Change{{Action: Add, What: "service web", To: string(text)}}}, nil
		},
	}
}

// serve runs a server of src until the test ends; the path of its socket comes
// back.
func serve(t *testing.T, src Source, change func(*Limits), log *slog.Logger) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	limits := DefaultLimits()
	if change != nil {
		change(&limits)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := NewServer(l, src, Version{Version: "test", PID: 4711}, limits, log)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // until the cleanup
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-s.Ready()
	return path
}

// within is a context for one exchange with a server that must not hang.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
