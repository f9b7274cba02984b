package netstack

import (
	"time"

	"weir/netstack/packet"
)

// Point says where a Tap saw a frame.
type Point uint8

const (
	Rx   Point = iota // as it was read, before Parse
	Tx                // as it is handed to the device
	Drop              // as it was when it was dropped, with the reason
)

var pointNames = [...]string{Rx: "rx", Tx: "tx", Drop: "drop"}

func (p Point) String() string { return pointNames[p] }

// Tap is shown every frame at every point. It runs on the data path, from many
// goroutines: it must copy what it keeps, must not block and must not change p,
// which is parsed only at Drop and not always there.
type Tap interface {
	Frame(now time.Duration, point Point, port packet.PortID, p *packet.Packet, r packet.Reason)
}

// SetTap installs a tap, or removes it with nil; at any time. Frames that are
// under way may still be shown to the old one.
func (s *Stack) SetTap(t Tap) {
	if t == nil {
		s.tap.Store(nil)
		return
	}
	s.tap.Store(&t)
}

func (s *Stack) show(now time.Duration, point Point, at *port, p *packet.Packet, r packet.Reason) {
	if t := s.tap.Load(); t != nil {
		(*t).Frame(now, point, at.id, p, r)
	}
}
