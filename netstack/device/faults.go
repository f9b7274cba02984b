package device

import (
	"math/rand/v2"
	"sync"

	"weir/netstack/packet"
)

// Faults is what goes wrong on the way out of a device: shares of all frames,
// 0 to 1, drawn independently. The same seed and the same writes give the same
// faults.
type Faults struct {
	Seed      uint64
	Loss      float64
	Duplicate float64
	Reorder   float64 // held back until another frame has been sent
	Corrupt   float64 // one bit of the frame is turned over
}

// WithFaults returns d with faults on what is written to it; for both
// directions of a wire, wrap both ends. Super-packets are cut and checksums
// completed first, so that a fault hits one frame as a cable would carry it,
// and a turned bit is under its checksum.
func WithFaults(d Device, f Faults) Device {
	w := &faulty{Device: d, faults: f, rand: rand.New(rand.NewPCG(f.Seed, 0))}
	w.cut = newCutters(d.Link(), w.disturb)
	return w
}

// faulty keeps its copies in storage of its own: a written packet stays the
// caller's.
type faulty struct {
	Device
	faults Faults
	cut    *cutters

	mu    sync.Mutex // of all below; also keeps the order of writes
	rand  *rand.Rand
	late  packet.Packet // held back if holds
	holds bool
	copy  packet.Packet
}

// Write implements Device. A lost frame counts as sent, as on a real link.
func (f *faulty) Write(p *packet.Packet) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut.cut(p)
}

// disturb sends one frame, or does not.
func (f *faulty) disturb(p *packet.Packet) error {
	// All dice are thrown for each frame, so that one share does not change
	// what another one hits.
	lose, double := f.hit(f.faults.Loss), f.hit(f.faults.Duplicate)
	delay, corrupt := f.hit(f.faults.Reorder), f.hit(f.faults.Corrupt)
	bit := f.rand.Uint32()
	if lose {
		return nil
	}
	if corrupt && p.End > p.Start {
		f.copy.Load(p.Bytes())
		b := f.copy.Bytes()
		b[int(bit/8)%len(b)] ^= 1 << (bit % 8)
		p = &f.copy
	}
	if delay && !f.holds {
		f.late.Load(p.Bytes())
		f.holds = true
		return nil
	}
	if err := f.send(p, double); err != nil || !f.holds {
		return err
	}
	f.holds = false
	return f.Device.Write(&f.late)
}

func (f *faulty) send(p *packet.Packet, twice bool) error {
	if err := f.Device.Write(p); err != nil || !twice {
		return err
	}
	return f.Device.Write(p)
}

func (f *faulty) hit(share float64) bool { return f.rand.Float64() < share }
