package netstack

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/netstack/packet"
)

// bridge joins the ports of a Stack to one broadcast domain. The stack itself
// is a station of it, behind the port link, which has no device.
type bridge struct {
	link *port
	shut []atomic.Bool // by port: cut off because of a loop
	full atomic.Bool   // it was said that the table is full

	mu     sync.RWMutex
	table  *fdb
	nextAt time.Duration // of the next ageing

	flooded     atomic.Uint64 // frames of others that went to all ports
	floodedThen uint64        // at the last tick

	guardMu  sync.Mutex
	guard    *loopGuard
	flapLog  bucket
	nextHint atomic.Int64 // time.Duration before which another suspicion says nothing new
}

// ageEvery is how exact stationAge is.
const ageEvery = time.Second

// newBridge makes s's ports one link. Its counters are those of the first port.
func newBridge(s *Stack) *bridge {
	first := s.ports[0]
	b := &bridge{table: newFDB(), guard: newLoopGuard(len(s.ports)), flapLog: bucket{rate: 1, burst: 3},
		shut: make([]atomic.Bool, len(s.ports))}
	b.link = &port{name: first.name, link: packet.LinkEthernet, mac: first.mac, mtu: first.mtu,
		stats: first.stats, bridge: b}
	b.link.host = b.link
	b.link.nic.port, b.link.nic.stack = b.link, s
	for _, p := range s.ports {
		b.link.mtu = min(b.link.mtu, p.mtu)
		b.link.addresses = append(b.link.addresses, p.addresses[:len(p.addresses)-1]...) // without its link-local
		p.mac, p.host = first.mac, b.link
	}
	b.link.addresses = append(b.link.addresses, linkLocal(first.mac))
	for _, p := range s.ports {
		p.addresses = b.link.addresses
		if p.mtu != b.link.mtu {
			s.log.Warn("the ports of the bridge have different MTUs: larger frames than the smallest cannot cross everywhere",
				"port", p.name, "mtu", p.mtu, "smallest", b.link.mtu)
		}
	}
	return b
}

// bridgeConfig is cfg's ports and routes as those of one port.
func bridgeConfig(cfg Config) ([]PortConfig, []Route, error) {
	if len(cfg.Ports) < 2 {
		return nil, nil, fmt.Errorf("netstack: a bridge of %d port; configure two or more", len(cfg.Ports))
	}
	one := cfg.Ports[0]
	one.Addresses = nil
	for _, p := range cfg.Ports {
		if p.Device.Link() != packet.LinkEthernet {
			return nil, nil, fmt.Errorf("netstack: port %s: a port without MACs cannot be bridged; make it a TAP", p.Name)
		}
		one.Addresses = append(one.Addresses, p.Addresses...)
	}
	routes := slices.Clone(cfg.Routes)
	for i, r := range routes {
		if slices.ContainsFunc(cfg.Ports, func(p PortConfig) bool { return p.Name == r.Port }) {
			routes[i].Port = one.Name
		}
	}
	return []PortConfig{one}, routes, nil
}

// where is the port that mac was last seen at.
func (b *bridge) where(mac packet.MAC) (packet.PortID, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.table.look(mac)
}

// hop is how a packet of our own leaves towards mac: by the port that it is at,
// else by NoPort. Whoever keeps it is told by the generation when that changes.
func (b *bridge) hop(mac packet.MAC) packet.Hop {
	h := packet.Hop{Port: packet.NoPort, Link: packet.LinkEthernet, MTU: uint16(b.link.mtu), Src: b.link.mac, Dst: mac}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if at, known := b.table.tell(mac); known {
		h.Port, h.MTU = at, uint16(b.link.nic.stack.ports[at].mtu)
	}
	return h
}

// Station is one row of a bridge's table.
type Station struct {
	MAC  packet.MAC
	Port packet.PortID
	Age  time.Duration // since its last frame; a second too much at most
}

// Stations is a snapshot of the bridge's table, sorted by MAC; nil without one.
func (s *Stack) Stations() []Station {
	if s.bridge == nil {
		return nil
	}
	now := s.clock()
	s.bridge.mu.RLock()
	rows := make([]Station, 0, len(s.bridge.table.stations))
	for mac, e := range s.bridge.table.stations {
		rows = append(rows, Station{MAC: mac, Port: e.port, Age: now - time.Duration(e.seen.Load())})
	}
	s.bridge.mu.RUnlock()
	slices.SortFunc(rows, func(a, b Station) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
	return rows
}

// spread sends a frame of the stack's own to the port that its destination is
// at, or to all.
func (s *Stack) spread(now time.Duration, p *packet.Packet) {
	if to, known := s.bridge.where(p.DstMAC()); known {
		s.transmit(now, s.ports[to], p)
		return
	}
	for _, out := range s.ports {
		if !s.bridge.shut[out.id].Load() {
			s.write(now, out, p)
		}
	}
}

// cross sends a frame in transit on as it is: to the port that its destination
// is at, or to all others.
func (w *worker) cross(now time.Duration, in *port, p *packet.Packet) {
	s := w.s
	to, known := s.bridge.where(packet.MAC(p.Bytes()))
	switch {
	case known && to == in.id:
		w.drop(now, in, p, packet.Dropped(packet.ForeignMAC))
		return
	case known:
		s.relay(now, in, s.ports[to], p)
	default:
		s.bridge.flooded.Add(1)
		for _, out := range s.ports {
			if out != in && !s.bridge.shut[out.id].Load() {
				s.relay(now, in, out, p)
			}
		}
	}
	s.stats.bridged.Add(1)
}

// relay sends a frame by out if it is not too large for it. A bridge owes
// nobody an error, since nobody addressed it.
func (s *Stack) relay(now time.Duration, in, out *port, p *packet.Packet) {
	if !fitsLink(p, out.mtu) {
		s.count(now, in, p, packet.TooBig)
		return
	}
	s.transmit(now, out, p)
}

// fitsLink reports whether what p has behind its Ethernet header and tags, or
// each segment of it, is within mtu. p need not have parsed: a super-packet of
// a kind that Parse does not know is left to the device to judge.
func fitsLink(p *packet.Packet, mtu int) bool {
	b := p.Bytes()
	header := 14
	for header < 22 {
		ether := binary.BigEndian.Uint16(b[header-2:])
		if ether != packet.EtherVLAN && ether != packet.EtherQinQ || len(b) < header+4 {
			break
		}
		header += 4
	}
	switch {
	case len(b)-header <= mtu:
		return true
	case p.Offload.GSO == packet.GSONone:
		return false
	case p.HasL4:
		return fits(p, mtu)
	}
	return true
}
