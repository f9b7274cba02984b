package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"weir/netstack/device"
	"weir/netstack/packet"
	"weir/netstack/simnet"
)

// simPlace is where weir runs in a simulation: nowhere in particular, but with
// one end of a wire for each of its ports.
type simPlace struct {
	world   *simWorld
	sockets map[string]*socket // of TUNs, by device
	around  *simnet.Router     // the host around weir; nil: weir is a station

	mu   sync.Mutex
	open map[string]bool // devices
}

func newSimPlace(w *simWorld) *simPlace {
	return &simPlace{world: w, sockets: map[string]*socket{}, open: map[string]bool{}}
}

func (p *simPlace) Config() string { return p.world.topology.config(false) }

func (p *simPlace) Do(f func() error) error {
	if p.world.alive.Err() != nil {
		return errClosed
	}
	return f()
}

// Open plugs weir's end of a wire in. As in the kernel, a device is one
// program's at a time, and there again once that has closed it.
func (p *simPlace) Open(c device.Config) (device.Device, error) {
	port, ok := p.world.topology.Weir.device(c.Name)
	if !ok {
		return nil, fmt.Errorf("simulation: %s: weir has no such device in topology %s", c.Name, p.world.topology.Name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.world.alive.Err() != nil:
		return nil, fmt.Errorf("simulation: %s: %w", c.Name, errClosed)
	case p.open[c.Name]:
		return nil, fmt.Errorf("simulation: %s: it is open already", c.Name)
	}
	d := &simDevice{place: p, name: c.Name}
	if port.Segment != "" {
		mac := port.MAC
		if !c.MAC.IsZero() {
			mac = c.MAC
		}
		d.Device = p.world.segments[port.Segment].Attach(c.Name, mac, c.MTU)
	} else {
		if err := p.around.SetRules(p.steering(c.Name)); err != nil {
			return nil, err
		}
		d.Device = p.sockets[c.Name].plug(c.MTU)
	}
	p.open[c.Name] = true
	return d, nil
}

// steering is what weir would have the kernel of its host do: send into the TUN
// what is for a VIP, and what comes from real servers.
func (p *simPlace) steering(tun string) []simnet.Rule {
	var rules []simnet.Rule
	weir := p.world.topology.Weir
	for _, a := range slices.Concat(weir.VIPs, weir.Pool) {
		rules = append(rules, simnet.Rule{Dst: netip.PrefixFrom(a, a.BitLen()), Out: tun})
	}
	for _, a := range weir.Reals {
		rules = append(rules, simnet.Rule{Src: netip.PrefixFrom(a, a.BitLen()), Out: tun})
	}
	return rules
}

// simDevice is a device of weir's. Its Close unplugs it.
type simDevice struct {
	device.Device
	place *simPlace
	name  string
	once  sync.Once
}

func (d *simDevice) Close() error {
	err := d.Device.Close()
	d.once.Do(func() {
		p := d.place
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.sockets[d.name] != nil && p.world.alive.Err() == nil {
			_ = p.around.SetRules(nil) // no rules are always good rules
		}
		delete(p.open, d.name)
	})
	return err
}

// socket is the router's port that weir's TUN is plugged into: a device that is
// always there, whether weir is or not.
type socket struct {
	name string
	mtu  int

	mu      sync.Mutex
	wire    device.Device // the router's end; nil: nothing is plugged in
	plugged chan struct{} // closed when wire is set
	closed  chan struct{}
}

func (p *simPlace) socket(port Port) device.Device {
	s := &socket{name: port.Device, mtu: 1500, plugged: make(chan struct{}), closed: make(chan struct{})}
	p.sockets[port.Device] = s
	return s
}

func (s *socket) Name() string              { return s.name }
func (s *socket) Link() packet.Link         { return packet.LinkRaw }
func (s *socket) MTU() int                  { return s.mtu }
func (s *socket) MAC() packet.MAC           { return packet.MAC{} }
func (s *socket) Features() device.Features { return device.Features{} }
func (s *socket) Queues() int               { return 1 }

// plug makes a wire and returns weir's end.
func (s *socket) plug(mtu int) device.Device {
	inner, outer := device.NewWire(
		device.WireConfig{Name: s.name, Kind: device.TUN, MTU: mtu},
		device.WireConfig{Name: s.name, Kind: device.TUN, MTU: s.mtu})
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		_ = outer.Close()
		return inner
	default:
	}
	if s.wire != nil { // weir has closed its end, and Read is about to find out
		_ = s.wire.Close()
	}
	s.wire = outer
	close(s.plugged)
	s.plugged = make(chan struct{})
	return inner
}

func (s *socket) Read(_ int, p *packet.Packet) error {
	for {
		s.mu.Lock()
		wire, plugged := s.wire, s.plugged
		s.mu.Unlock()
		if wire != nil {
			if err := wire.Read(0, p); err == nil {
				return nil
			}
			s.unplug(wire)
			continue
		}
		select {
		case <-plugged:
		case <-s.closed:
			return device.ErrClosed
		}
	}
}

// unplug forgets a wire whose other end was closed.
func (s *socket) unplug(wire device.Device) {
	_ = wire.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wire == wire {
		s.wire = nil
	}
}

func (s *socket) Write(p *packet.Packet) error {
	s.mu.Lock()
	wire := s.wire
	s.mu.Unlock()
	if wire == nil {
		return device.ErrAgain
	}
	return wire.Write(p)
}

func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return nil
	default:
	}
	close(s.closed)
	if s.wire != nil {
		return s.wire.Close()
	}
	return nil
}
