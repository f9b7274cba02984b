package device

import (
	"fmt"
	"sync/atomic"

	"weir/netstack/packet"
)

// WireConfig describes one end of a wire.
type WireConfig struct {
	Name string
	Kind Kind       // the same at both ends
	MTU  int        // bytes; 0 is 1500; the smaller of both ends counts
	MAC  packet.MAC // zero on a TAP: one that no other wire of the process has
	// Queue is how many frames may wait to be read at this end; 0 is 1024.
	Queue int
}

// wireEnd is one of the two devices of a wire.
type wireEnd struct {
	name    string
	kind    Kind
	mtu     int
	longest int // frame, in bytes
	mac     packet.MAC
	in, out *frames
	cut     *cutters
}

// NewWire makes two Devices that are connected back to back in memory.
//
// What is read from a wire is as a capture on a cable would show it: a
// super-packet was cut and every partial checksum completed when it was
// written. Closing one end ends both: the peer reads what was written before,
// then ErrRemoved.
//
// It panics where the kinds of the ends differ.
func NewWire(a, b WireConfig) (Device, Device) {
	if a.Kind != b.Kind {
		panic(fmt.Sprintf("wire between a %s and a %s", a.Kind, b.Kind))
	}
	toA, toB := newFrames(a.Queue), newFrames(b.Queue)
	mtu := min(orDefault(a.MTU, 1500), orDefault(b.MTU, 1500))
	return newWireEnd(a, mtu, toA, toB), newWireEnd(b, mtu, toB, toA)
}

func newWireEnd(c WireConfig, mtu int, in, out *frames) *wireEnd {
	w := &wireEnd{name: c.Name, kind: c.Kind, mtu: mtu, longest: mtu, mac: c.MAC, in: in, out: out}
	if c.Kind == TAP {
		w.longest += 18 // Ethernet header and one VLAN tag, as the kernel allows
		if w.mac.IsZero() {
			w.mac = nextMAC()
		}
	}
	w.cut = newCutters(c.Kind.Link(), w.send)
	return w
}

func orDefault(v, d int) int {
	if v == 0 {
		return d
	}
	return v
}

var lastMAC atomic.Uint32

// nextMAC counts, so that a simulation's addresses do not depend on chance.
func nextMAC() packet.MAC {
	n := lastMAC.Add(1)
	return packet.MAC{0x02, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

func (w *wireEnd) Name() string      { return w.name }
func (w *wireEnd) Link() packet.Link { return w.kind.Link() }
func (w *wireEnd) MTU() int          { return w.mtu }
func (w *wireEnd) MAC() packet.MAC   { return w.mac }
func (w *wireEnd) Queues() int       { return 1 }

// Features: everything is taken, and done in software.
func (w *wireEnd) Features() Features { return Features{Checksum: true, TSO: true, USO: true} }

// Read implements Device.
func (w *wireEnd) Read(_ int, p *packet.Packet) error {
	return w.named(w.in.pop(p))
}

// Write implements Device.
func (w *wireEnd) Write(p *packet.Packet) error {
	if p.Offload.GSO == packet.GSONone && !p.Offload.NeedsCsum {
		return w.send(p)
	}
	return w.cut.cut(p)
}

func (w *wireEnd) send(p *packet.Packet) error {
	if n := p.End - p.Start; n > w.longest {
		return fmt.Errorf("wire %s: frame of %d bytes: MTU is %d", w.name, n, w.mtu)
	}
	return w.named(w.out.push(p.Bytes()))
}

// Close implements Device.
func (w *wireEnd) Close() error {
	// In this order: told first, the peer may close its end, and a Read here
	// would take that for the cause.
	w.in.endReads()
	w.out.endWrites()
	return nil
}

func (w *wireEnd) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("wire %s: %w", w.name, err)
}
