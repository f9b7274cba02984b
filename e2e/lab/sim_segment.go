package lab

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/netstack/packet"
	"weir/netstack/simnet"
)

// simSegment is a segment and those who record what is on it.
type simSegment struct {
	*simnet.Segment

	mu       sync.RWMutex
	captures []*simCapture
}

// simCapture records what one station sends and receives.
type simCapture struct {
	*Capture
	station string
	mac     packet.MAC
}

func newSimSegment(s Segment) *simSegment {
	seg := &simSegment{Segment: simnet.NewSegment(simnet.SegmentConfig{Name: s.Name, MTU: s.mtu()})}
	seg.SetTap(seg)
	return seg
}

// Frame implements simnet.Tap.
func (s *simSegment) Frame(_ time.Duration, from string, p *packet.Packet) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.captures) == 0 {
		return
	}
	at := time.Now()
	dst := packet.MAC(p.Bytes()[:6])
	for _, c := range s.captures {
		out := from == c.station
		if out || dst == c.mac || dst.IsMulticast() {
			c.add(Frame{At: at, Out: out, Data: slices.Clone(p.Bytes())})
		}
	}
}

func (w *simWorld) Capture(node, segment string) (*Capture, error) {
	w.Host(node)
	mac, ok := w.topology.station(node, segment)
	if !ok {
		return nil, fmt.Errorf("capture at %s on %s: it has no interface there", node, segment)
	}
	s := w.segments[segment]
	c := &simCapture{Capture: newCapture(), station: node, mac: mac}
	c.stop = func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.captures = slices.DeleteFunc(s.captures, func(other *simCapture) bool { return other == c })
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.captures = append(s.captures, c)
	return c.Capture, nil
}
