package director

import (
	"fmt"
	"sync"

	"weir/netstack/packet"
)

// Scheduler chooses the real server of a new flow. Reals of weight 0 are never
// chosen. Schedulers behave as the ones of the same name in Linux IPVS, where
// the kernel puts each new destination at the head of its list: a scheduler
// that walks the list meets the last real of the file first.
type Scheduler interface {
	// Pick returns a real, or nil if there is none to give. With commit false
	// nothing is remembered: it says what the next Pick would return.
	Pick(k *packet.FlowKey, commit bool) *Real
	// String is the name in the configuration.
	String() string
}

// schedulers makes each scheduler over a service's reals. before is the
// scheduler that the service had, for those that carry state over; or nil.
var schedulers = map[string]func(reals []*Real, before Scheduler) Scheduler{
	"rr":  newRoundRobin,
	"wrr": newWeightedRoundRobin,
}

// newScheduler makes the scheduler of a service; before is the service in the
// table in force, or nil. The name has been checked with the configuration.
func newScheduler(name string, reals []*Real, before *Service) Scheduler {
	build := schedulers[name]
	if build == nil {
		panic(fmt.Sprintf("director: scheduler %q passed the configuration's check but does not exist", name))
	}
	if before == nil || before.Scheduler != name {
		return build(reals, nil)
	}
	return build(reals, before.scheduler)
}

// roundRobin gives each real its turn, whatever its weight.
type roundRobin struct {
	mu   sync.Mutex
	list []*Real // in the kernel's order
	at   int     // the last one given; len(list) before the first
}

func newRoundRobin(reals []*Real, before Scheduler) Scheduler {
	s := &roundRobin{list: kernelOrder(reals)}
	s.at = len(s.list)
	if b, ok := before.(*roundRobin); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.at < len(b.list) {
			s.at = position(s.list, b.list[b.at])
		}
	}
	return s
}

func (s *roundRobin) String() string { return "rr" }

func (s *roundRobin) Pick(_ *packet.FlowKey, commit bool) *Real {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, i := 0, s.at; n < len(s.list); n++ {
		if i++; i >= len(s.list) {
			i = 0
		}
		if s.list[i].Weight > 0 {
			if commit {
				s.at = i
			}
			return s.list[i]
		}
	}
	return nil
}

// weightedRoundRobin interleaves the reals by weight: it walks the list again
// and again, each round for the reals whose weight reaches a level that sinks
// by the weights' greatest common divisor.
type weightedRoundRobin struct {
	mu   sync.Mutex
	list []*Real // in the kernel's order
	wrrMark
}

// wrrMark is where the walk stands, in IPVS's own words.
type wrrMark struct {
	cl int // the last real given; -1 before the first
	cw int // current level
	mw int // highest level
	di int // step
}

func newWeightedRoundRobin(reals []*Real, before Scheduler) Scheduler {
	s := &weightedRoundRobin{list: kernelOrder(reals)}
	if b, ok := before.(*weightedRoundRobin); ok && sameWeights(s.list, b.list) {
		b.mu.Lock()
		defer b.mu.Unlock()
		s.wrrMark = b.wrrMark
		return s
	}
	// The kernel computes its mark at each `ipvsadm -a`, so the level of the
	// walk depends on the real that was added first.
	for i := range reals {
		s.added(reals[:i+1])
	}
	return s
}

func (m *wrrMark) added(reals []*Real) {
	g, top := 0, 0
	for _, r := range reals {
		g, top = gcd(g, r.Weight), max(top, r.Weight)
	}
	m.cl, m.di = -1, max(g, 1)
	m.mw = top - (m.di - 1)
	if m.cw > m.mw || m.cw == 0 {
		m.cw = m.mw
	} else if m.di > 1 {
		m.cw = m.cw/m.di*m.di + 1
	}
}

func (s *weightedRoundRobin) String() string { return "wrr" }

func (s *weightedRoundRobin) Pick(_ *packet.FlowKey, commit bool) *Real {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.wrrMark
	r := m.pick(s.list)
	if commit {
		s.wrrMark = m
	}
	return r
}

func (m *wrrMark) pick(list []*Real) *Real {
	if m.mw <= 0 {
		return nil
	}
	for { // ends: at level 1 at the latest every real with a weight is taken
		for i := m.cl + 1; i < len(list); i++ {
			if w := list[i].Weight; w > 0 && w >= m.cw {
				m.cl = i
				return list[i]
			}
		}
		m.cl = -1
		if m.cw -= m.di; m.cw <= 0 {
			m.cw = m.mw
		}
	}
}

// kernelOrder is the order in which the kernel's list has reals that were added
// in file order.
func kernelOrder(reals []*Real) []*Real {
	list := make([]*Real, len(reals))
	for i, r := range reals {
		list[len(reals)-1-i] = r
	}
	return list
}

func sameWeights(a, b []*Real) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].tally != b[i].tally || a[i].Weight != b[i].Weight {
			return false
		}
	}
	return true
}

// position finds the real of the same tally; len(list) if it is gone.
func position(list []*Real, r *Real) int {
	for i, x := range list {
		if x.tally == r.tally {
			return i
		}
	}
	return len(list)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
