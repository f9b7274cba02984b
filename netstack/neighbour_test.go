package netstack

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/netstack/packet"
)

var (
	macA = packet.MAC{2, 0, 0, 0, 0, 0xa}
	macB = packet.MAC{2, 0, 0, 0, 0, 0xb}
	keyA = neighbourKey{addr: packet.Addr{10: 0xff, 11: 0xff, 12: 10, 15: 9}, port: 1}
)

// story drives a table by events and writes down what it does.
type story struct {
	table *neighbours
	now   time.Duration
	lines []string
}

func (s *story) note(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf("%v ", s.now)+fmt.Sprintf(format, args...))
}

func (s *story) tell(fx *effects) {
	for _, q := range fx.ask {
		switch q.to {
		case packet.MAC{}:
			s.note("ask all")
		case macA:
			s.note("ask A")
		case macB:
			s.note("ask B")
		}
	}
	if len(fx.resolved) > 0 {
		s.note("resolved")
	}
	if len(fx.failed) > 0 {
		s.note("failed")
	}
	if fx.changed {
		s.note("changed")
	}
}

func (s *story) lookup() {
	var fx effects
	mac, r := s.table.lookup(s.now, keyA, &fx)
	s.note("lookup: %s %s", r, strings.NewReplacer(macA.String(), "A", macB.String(), "B", packet.MAC{}.String(), "-").Replace(mac.String()))
	s.tell(&fx)
}

func (s *story) hears(mac packet.MAC, answer, create bool) {
	var fx effects
	s.table.heard(s.now, keyA, mac, answer, create, &fx)
	s.tell(&fx)
}

// until ticks up to d.
func (s *story) until(d time.Duration) {
	for s.now < d {
		s.now += tickEvery
		var fx effects
		s.table.tick(s.now, &fx)
		s.tell(&fx)
	}
}

func TestNeighbourStories(t *testing.T) {
	const answer, create = true, true
	for _, test := range []struct {
		name string
		do   func(*story)
		want []string
	}{
		{"an unknown neighbour is asked for three times, then fails, then is asked for once a second while wanted",
			func(s *story) {
				s.lookup()
				s.until(3 * time.Second)
				s.lookup()
				s.now += 500 * time.Millisecond
				s.lookup()
				s.now += 500 * time.Millisecond
				s.lookup()
			}, []string{"0s lookup: neighbour-wait -", "0s ask all", "1s ask all", "2s ask all", "3s failed", "3s changed",
				"3s lookup: neighbour-failed -", "3s ask all", "3.5s lookup: neighbour-failed -",
				"4s lookup: neighbour-failed -", "4s ask all"}},
		{"a look-up does not find that it failed: that is for the tick",
			func(s *story) {
				s.lookup()
				s.until(2900 * time.Millisecond)
				s.lines = nil
				s.now = 3 * time.Second
				s.lookup()
				s.until(3100 * time.Millisecond)
			}, []string{"3s lookup: neighbour-wait -", "3.1s failed", "3.1s changed"}},
		{"an answer makes it reachable",
			func(s *story) {
				s.lookup()
				s.hears(macA, answer, false)
				s.lookup()
			}, []string{"0s lookup: neighbour-wait -", "0s ask all", "0s resolved", "0s changed", "0s lookup: ok A"}},
		{"in use and old, it is asked at its MAC, and stays",
			func(s *story) {
				s.lookup()
				s.hears(macA, answer, false)
				s.lines = nil
				s.until(31 * time.Second)
				s.hears(macA, answer, false)
				s.until(40 * time.Second)
				s.lookup()
			}, []string{"30s ask A", "31s ask A", "40s lookup: ok A"}},
		{"silent at its MAC, everybody is asked, and only then it fails",
			func(s *story) {
				s.lookup()
				s.hears(macA, answer, false)
				s.lines = nil
				s.until(32900 * time.Millisecond)
				s.lookup()
				s.until(36 * time.Second)
				s.lookup()
			}, []string{"30s ask A", "31s ask A", "32s ask A", "32.9s lookup: ok A", "33s ask all", "33s changed",
				"34s ask all", "35s ask all", "36s failed", "36s changed", "36s lookup: neighbour-failed -", "36s ask all"}},
		{"one who speaks to us is known before it is needed",
			func(s *story) {
				s.hears(macA, false, create)
				s.until(time.Second)
				s.lookup()
			}, []string{"1s lookup: ok A", "1s ask A"}},
		{"one who speaks to others is not",
			func(s *story) {
				s.hears(macA, false, false)
				s.lookup()
			}, []string{"0s lookup: neighbour-wait -", "0s ask all"}},
		{"a theft is refuted by the owner and changes nothing",
			func(s *story) {
				s.lookup()
				s.hears(macA, answer, false)
				s.lines = nil
				s.hears(macB, false, false)
				s.lookup()
				s.hears(macA, answer, false)
				s.until(5 * time.Second)
				s.lookup()
				s.note("contests %d", s.table.contests)
			}, []string{"0s ask A", "0s lookup: ok A", "5s lookup: ok A", "5s contests 1"}},
		{"a move is followed within about a second, since the old MAC is silent",
			func(s *story) {
				s.lookup()
				s.hears(macA, answer, false)
				s.lines = nil
				s.hears(macB, false, false)
				s.until(1100 * time.Millisecond)
				s.lookup()
				s.hears(macB, answer, false)
				s.lookup()
			}, []string{"0s ask A", "400ms ask A", "800ms ask A", "1s changed", "1.1s ask B", "1.1s lookup: ok B", "1.1s lookup: ok B"}},
		{"one that failed is back as soon as it says so",
			func(s *story) {
				s.lookup()
				s.until(3 * time.Second)
				s.lines = nil
				s.hears(macA, false, false)
				s.lookup()
			}, []string{"3s resolved", "3s changed", "3s lookup: ok A", "3s ask A"}},
		{"unused for ten minutes, its users are made to ask again, and then it goes",
			func(s *story) {
				s.lookup()
				s.hears(macA, answer, false)
				for i := range 25 {
					s.until(time.Duration(i) * 29 * time.Second)
					s.hears(macA, answer, false)
				}
				s.lines = slices.DeleteFunc(s.lines, func(l string) bool { return strings.Contains(l, "ask") })
				s.note("%d entries", len(s.table.entries))
			}, []string{"0s lookup: neighbour-wait -", "0s resolved", "0s changed", "10m0s changed", "11m0s changed", "11m36s 0 entries"}},
		{"a static entry is never asked for and never moved",
			func(s *story) {
				var fx effects
				s.table.pin(s.now, keyA, macA, &fx)
				s.until(time.Minute)
				s.hears(macB, answer, create)
				s.until(2 * time.Minute)
				s.lookup()
			}, []string{"2m0s lookup: ok A"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &story{table: newNeighbours()}
			test.do(s)
			if !slices.Equal(s.lines, test.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(s.lines, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

func numbered(n int) neighbourKey {
	k := neighbourKey{addr: packet.Addr{10: 0xff, 11: 0xff}}
	binary.BigEndian.PutUint32(k.addr[12:], uint32(n))
	return k
}

func TestNeighbourTableIsBounded(t *testing.T) {
	t.Run("a scan of 50,000 addresses leaves those in use", func(t *testing.T) {
		table := newNeighbours()
		var fx effects
		for i := range 100 {
			table.lookup(0, numbered(i), &fx)
			table.heard(0, numbered(i), macA, true, false, &fx)
		}
		for i := range 50_000 {
			table.lookup(time.Millisecond, numbered(1000+i), &fx)
		}
		if n := len(table.entries); n != maxNeighbours {
			t.Errorf("%d entries, want %d", n, maxNeighbours)
		}
		for i := range 100 {
			if table.entries[numbered(i)] == nil {
				t.Errorf("entry %d, which was in use, is gone", i)
			}
		}
	})
	t.Run("a flood of stations that speak to us displaces nothing wanted", func(t *testing.T) {
		table := newNeighbours()
		var fx effects
		for i := range maxNeighbours {
			table.lookup(0, numbered(i), &fx)
		}
		for i := range 50_000 {
			table.heard(0, numbered(maxNeighbours+i), macA, false, true, &fx)
		}
		for i := range maxNeighbours {
			if table.entries[numbered(i)] == nil {
				t.Fatalf("entry %d, which was wanted, is gone", i)
			}
		}
	})
	t.Run("one more than fits is refused where all are static", func(t *testing.T) {
		table := newNeighbours()
		var fx effects
		for i := range maxNeighbours {
			if !table.pin(0, numbered(i), macA, &fx) {
				t.Fatalf("entry %d was refused", i)
			}
		}
		if table.pin(0, numbered(maxNeighbours), macA, &fx) {
			t.Error("one too many was taken")
		}
		if _, r := table.lookup(0, numbered(maxNeighbours), &fx); r != packet.NeighbourFailed {
			t.Errorf("lookup of one too many: %s", r)
		}
	})
	t.Run("questions to everybody are bounded a second, and none is forgotten", func(t *testing.T) {
		table := newNeighbours()
		var fx effects
		for i := range 2000 {
			table.lookup(0, numbered(i), &fx)
		}
		if n := len(fx.ask); n != solicitsBurst {
			t.Errorf("%d questions at once, want %d", n, solicitsBurst)
		}
		for now := tickEvery; now <= 20*time.Second; now += tickEvery {
			fx = effects{failed: fx.failed}
			table.tick(now, &fx)
			if n := len(fx.ask); n > solicitsPerSecond/10+1 {
				t.Fatalf("%v: %d questions in one tick", now, n)
			}
		}
		if n := len(fx.failed); n != 2000 {
			t.Errorf("%d of 2000 failed in the end", n)
		}
	})
}

// A panic in the table costs what asked for it, and leaves no lock behind.
func TestPanicLetsTheTableGo(t *testing.T) {
	addr := mustAddr("192.0.2.9")
	key := neighbourKey{addr: packet.AddrFrom(addr), port: 1}
	for name, do := range map[string]func(*Stack){
		"a claim":               func(s *Stack) { s.heard(0, key, stations["real"], true, true) },
		"the time":              func(s *Stack) { s.ageNeighbours(0) },
		"a question":            func(s *Stack) { s.NextHop(0, addr) },
		"a look":                func(s *Stack) { s.PeekHop(addr) },
		"a static entry":        func(s *Stack) { _ = s.SetNeighbour(addr, stations["real"]) },
		"the list of all":       func(s *Stack) { s.Neighbours() },
		"a list of the numbers": func(s *Stack) { s.Counters() },
	} {
		s := newRig(t).s
		s.resolver.table = nil
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic: nothing is proven", name)
				}
			}()
			do(s)
		}()
		if !s.resolver.mu.TryLock() {
			t.Errorf("%s: the lock was left behind", name)
		}
	}
}
