package announce

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// RFC 5227 2.3 asks for two announcements two seconds apart. One more and
// sooner costs a broadcast, and a switch that has just come up loses the first.
const (
	repeats  = 3
	interval = time.Second
)

// Segment tells the stations of weir's segments where addresses are: each
// three times, a second apart, by gratuitous ARP or an unsolicited neighbour
// advertisement. It is a Task.
type Segment struct {
	say   func(netip.Addr) // sends one announcement, and does not block
	start time.Time
	ready chan struct{}
	wake  chan struct{} // a turn was added

	mu    sync.Mutex
	turns []turn // in the order they were added
}

// turn is an address that is still being announced.
type turn struct {
	addr netip.Addr
	left int
	due  time.Duration
}

// NewSegment makes a Segment that sends by say.
func NewSegment(say func(netip.Addr)) *Segment {
	return &Segment{say: say, start: time.Now(), ready: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// Add has addresses announced, from now on or from the start of Run on. One
// that is being announced already begins anew.
func (s *Segment) Add(addrs ...netip.Addr) {
	s.add(time.Since(s.start), addrs)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Segment) add(now time.Duration, addrs []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(addrs)
	for _, a := range addrs {
		s.turns = append(s.turns, turn{addr: a, left: repeats, due: now})
	}
}

// Remove ends the announcing of addresses.
func (s *Segment) Remove(addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(addrs)
}

func (s *Segment) forget(addrs []netip.Addr) {
	s.turns = slices.DeleteFunc(s.turns, func(t turn) bool { return slices.Contains(addrs, t.addr) })
}

// step announces what is due; wait is how long until more is, more is false if
// there is nothing more.
func (s *Segment) step(now time.Duration) (wait time.Duration, more bool) {
	due, wait, more := s.next(now)
	for _, a := range due {
		s.say(a)
	}
	return wait, more
}

// next takes out what is due. A turn's next announcement is counted from now,
// so that a machine that slept does not catch up in a burst.
func (s *Segment) next(now time.Duration) (due []netip.Addr, wait time.Duration, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.turns {
		t := &s.turns[i]
		if t.due <= now {
			due = append(due, t.addr)
			t.left--
			t.due = now + interval
		}
		if t.left > 0 && (!more || t.due-now < wait) {
			wait, more = t.due-now, true
		}
	}
	s.turns = slices.DeleteFunc(s.turns, func(t turn) bool { return t.left == 0 })
	return due, wait, more
}

// Ready is closed when Run has announced what was added before it.
func (s *Segment) Ready() <-chan struct{} { return s.ready }

// String names the task.
func (s *Segment) String() string { return "announce" }

// Run announces until ctx ends.
func (s *Segment) Run(ctx context.Context) error {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for first := true; ; first = false {
		wait, more := s.step(time.Since(s.start))
		if first {
			close(s.ready)
		}
		timer.Stop()
		if more {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
		}
	}
}
