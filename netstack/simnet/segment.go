package simnet

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// maxLearned bounds what a segment remembers of its stations. Frames to others
// are flooded, as by a switch whose table is full.
const maxLearned = 4096

// Tap is shown every frame that a station has put on a segment, once, before
// it is handed on: complete, with real checksums. It is called from one
// goroutine a station, and must not keep or change p.
type Tap interface {
	Frame(now time.Duration, from string, p *packet.Packet)
}

// SegmentConfig describes a broadcast domain.
type SegmentConfig struct {
	Name string
	MTU  int // bytes of IP; 0 is 1500
	// Faults befall every frame once, on its way from its sender. Stations draw
	// from seeds of their own, made of Faults.Seed in the order of Attach.
	Faults device.Faults
	// Queue is how many frames wait for each station; 0 is 1024. More are lost.
	Queue int
}

// Segment is a broadcast domain: a learning switch with a wire to each station.
type Segment struct {
	config SegmentConfig
	start  time.Time
	tap    atomic.Pointer[Tap]
	lost   atomic.Uint64

	mu     sync.RWMutex
	ports  []*switchPort
	where  map[packet.MAC]*switchPort
	closed bool
	tasks  sync.WaitGroup
}

// switchPort is the switch's end of a station's wire.
type switchPort struct {
	name string
	dev  device.Device
}

// NewSegment makes a segment without stations.
func NewSegment(c SegmentConfig) *Segment {
	return &Segment{config: c, start: time.Now(), where: make(map[packet.MAC]*switchPort)}
}

// Name is the segment's name.
func (s *Segment) Name() string { return s.config.Name }

// Lost is how many frames the switch could not hand to a station, because its
// queue was full or the frame larger than its MTU. Faults are not among them.
func (s *Segment) Lost() uint64 { return s.lost.Load() }

// SetTap installs a tap, or removes it with nil; at any time.
func (s *Segment) SetTap(t Tap) {
	if t == nil {
		s.tap.Store(nil)
		return
	}
	s.tap.Store(&t)
}

// Attach plugs a station in and returns its end of the wire, to be closed by
// whoever uses it. The zero mac is MAC(name); mtu 0 is the segment's. On a
// segment that was closed the device is closed too.
func (s *Segment) Attach(name string, mac packet.MAC, mtu int) device.Device {
	if mac.IsZero() {
		mac = MAC(name)
	}
	if mtu == 0 {
		mtu = s.config.MTU
	}
	station, inside := device.NewWire(
		device.WireConfig{Name: name, Kind: device.TAP, MTU: mtu, MAC: mac, Queue: s.config.Queue},
		device.WireConfig{Name: s.config.Name, Kind: device.TAP, MTU: mtu, Queue: s.config.Queue})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = inside.Close()
		_ = station.Close()
		return station
	}
	p := &switchPort{name: name, dev: inside}
	s.ports = append(s.ports, p)
	s.tasks.Go(func() { s.serve(p) })
	if f := s.config.Faults; f != (device.Faults{}) {
		f.Seed += uint64(len(s.ports))
		return device.WithFaults(station, f)
	}
	return station
}

// serve reads what one station sends, until its wire is closed at either end.
func (s *Segment) serve(from *switchPort) {
	defer s.leave(from)
	var p packet.Packet
	for {
		if err := from.dev.Read(0, &p); err != nil {
			return
		}
		if t := s.tap.Load(); t != nil {
			(*t).Frame(time.Since(s.start), from.name, &p)
		}
		if p.End-p.Start >= 14 { // else there is not even an Ethernet header
			s.pass(from, &p)
		}
	}
}

// pass hands p to the station it is for, or to all others. p is not parsed: a
// segment carries any frame.
func (s *Segment) pass(from *switchPort, p *packet.Packet) {
	frame := p.Bytes()
	dst, src := packet.MAC(frame[:6]), packet.MAC(frame[6:12])
	s.learn(src, from)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if to := s.where[dst]; to != nil && !dst.IsMulticast() {
		if to != from {
			s.give(to, p)
		}
		return
	}
	for _, to := range s.ports {
		if to != from {
			s.give(to, p)
		}
	}
}

func (s *Segment) give(to *switchPort, p *packet.Packet) {
	if err := to.dev.Write(p); err != nil {
		s.lost.Add(1)
	}
}

func (s *Segment) learn(src packet.MAC, from *switchPort) {
	s.mu.RLock()
	known := s.where[src]
	s.mu.RUnlock()
	if known == from || src.IsMulticast() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known != nil || len(s.where) < maxLearned {
		s.where[src] = from
	}
}

// leave forgets a station.
func (s *Segment) leave(p *switchPort) {
	_ = p.dev.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.ports {
		if other == p {
			s.ports = append(s.ports[:i:i], s.ports[i+1:]...)
			break
		}
	}
	for mac, at := range s.where {
		if at == p {
			delete(s.where, mac)
		}
	}
}

// Close unplugs every station, whose devices then report that they were
// removed, and waits for the switch to end. Close hosts and routers first.
func (s *Segment) Close() error {
	s.mu.Lock()
	s.closed = true
	ports := s.ports
	s.mu.Unlock()
	for _, p := range ports {
		_ = p.dev.Close()
	}
	s.tasks.Wait()
	return nil
}
