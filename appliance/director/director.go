// Package director is the L4 heart of weir: a packet and the time go in, a
// verdict comes out. It does no I/O, reads no clock, writes no log and knows
// nothing of gVisor; what it must know of the network it asks a Network.
//
// The first packet of a flow takes the slow way: service, scheduler, real
// server, next hop. What was decided is kept in the flow, so that every later
// packet of either direction is one lookup, one rewrite and an Emit.
package director

import (
	"net/netip"
	"sync/atomic"
	"time"

	"weir/netstack/packet"
)

// Network is what the director asks of the house around it. Answers must not
// block; they may be asked for while a shard of the flow table is locked, so an
// implementation never calls back into the director.
type Network interface {
	// Generation grows whenever an answer of NextHop may have changed; never 0.
	Generation() uint32
	// NextHop says how dst is reached: packet.OK and the hop, or the reason why
	// not. NeighbourWait means that it has been asked for now.
	NextHop(now time.Duration, dst netip.Addr) (packet.Hop, packet.Reason)
	// PeekHop is NextHop without asking anybody.
	PeekHop(dst netip.Addr) (packet.Hop, packet.Reason)
	// Local reports whether addr is one of the appliance's own, VIPs included.
	Local(addr netip.Addr) bool
}

// Options are fixed for a director's life; the service table is not among them.
type Options struct {
	Network Network
	// MaxFlows bounds the flow table; 0 means DefaultMaxFlows.
	MaxFlows int
	// Seed keys the hash of the flow table against chosen 5-tuples. It comes
	// from a random source, except where runs must repeat.
	Seed uint64
	// Memory holds the flows; nil means Go's heap.
	Memory Memory
	// Transparent: weir is a bridge, and nat leaves MACs and TTL as they are but
	// for the real server's MAC (topology bridged).
	Transparent bool
	// Pool are the source addresses of fullnat, PoolPorts the first and last of
	// their ports; zero means 1024 to 65535.
	Pool      []netip.Addr
	PoolPorts [2]uint16
}

// DefaultMaxFlows is the bound of the flow table where the configuration has none.
const DefaultMaxFlows = 262_144

// Director decides about packets. All methods may be called concurrently.
type Director struct {
	net   Network
	table atomic.Pointer[Table]
	flows *flowTable
	frags *fragments
	held  *hold
	pool  *pool // nil: none

	transparent bool
	// ports are what leaves by each port has in common: all of a Hop but Dst.
	ports [256]atomic.Pointer[packet.Hop]
}

// New makes a director with an empty service table.
func New(o Options) *Director {
	if o.MaxFlows <= 0 {
		o.MaxFlows = DefaultMaxFlows
	}
	if o.Memory == nil {
		o.Memory = heapMemory
	}
	held := newHold()
	lent := newPool(o.Pool, o.PoolPorts)
	d := &Director{
		net: o.Network, flows: newFlowTable(o.MaxFlows, o.Seed, o.Memory, lent), frags: newFragments(held), held: held,
		pool: lent, transparent: o.Transparent,
	}
	d.table.Store(NewTable(nil, DefaultTimeouts(), nil))
	return d
}

// Table is the service table in force.
func (d *Director) Table() *Table { return d.table.Load() }

// SetTable puts t in force; packets under way finish with the table before. t
// was made from the table in force, or was in force itself before.
func (d *Director) SetTable(t *Table) {
	if !t.used.Swap(true) {
		d.flows.forgetTraffic(t.fresh)
	}
	d.table.Store(t)
}

// Ingress decides about one parsed packet that entered by port in. On Emit the
// packet has been rewritten, link header included; otherwise it is untouched.
func (d *Director) Ingress(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict {
	switch {
	case p.Proto == packet.ICMP || p.Proto == packet.ICMPv6:
		return d.icmp(now, in, p)
	case p.Frag:
		return d.fragment(now, in, p)
	case p.Proto != packet.TCP && p.Proto != packet.UDP:
		return d.otherProtocol(p)
	}
	var k packet.FlowKey
	p.Key(&k)
	return d.flow(now, in, p, &k)
}

// flow is the way of a packet whose flow key is k, its own or, for a later
// fragment, that of its datagram's first.
func (d *Director) flow(now time.Duration, in packet.PortID, p *packet.Packet, k *packet.FlowKey) packet.Verdict {
	h := d.flows.hash(k)
	t := d.table.Load()
	s, f, dir := d.flows.find(&h, k, t.maybeVIP(&k.Dst))
	if f == nil {
		return d.open(now, in, p, k, &h, t)
	}
	if dir == request && reopens(f, p) {
		s.replace(f, t)
		s.mu.Unlock()
		return d.open(now, in, p, k, &h, t)
	}
	// Deferred, because a stack that survives a panic must not find the shard
	// locked for ever.
	defer s.mu.Unlock()
	return d.send(now, in, p, s, f, dir, t)
}

// send takes the packet of a known flow out: way, account, rewrite. The shard
// is locked.
func (d *Director) send(now time.Duration, in packet.PortID, p *packet.Packet, s *shard, f *flow, dir direction, t *Table) packet.Verdict {
	gen := d.net.Generation()
	r := t.real(f.server)
	var hop packet.Hop
	v := d.way(now, gen, p, f, dir, r, &hop, asking)
	if v.Action == packet.Hold {
		k := f.key(dir)
		return d.held.untilNeighbour(now, gen, in, p, &k)
	}
	if v.Action != packet.Emit {
		return v
	}
	s.account(now, p, f, dir, t)
	if why := d.rewrite(p, f, dir, &hop, r); why != packet.OK {
		return packet.Dropped(why)
	}
	return v
}

// way says where the packet of a flow leaves, in hop, from what the flow
// remembers or, where the network has changed since, from the network. gen is
// the network's generation, read before.
func (d *Director) way(now time.Duration, gen uint32, p *packet.Packet, f *flow, dir direction, r *Real, hop *packet.Hop, how asked) packet.Verdict {
	if dir == reply && d.crosses(f) { // it has its way already, and weir is in it
		return packet.Verdict{Action: packet.Emit, Exit: packet.Exit{Port: packet.NoPort}}
	}
	if r == nil {
		return packet.Dropped(packet.NoReal)
	}
	if !f.method.oneWay() && !d.crosses(f) && p.TTL() <= 1 { // a router ends it here
		return packet.Verdict{Action: packet.Drop, Reason: packet.TTLExpired, Answer: packet.AnswerTimeExceeded}
	}
	leg := &f.legs[dir]
	if leg.generation != gen {
		found, why := d.nextHop(now, f.towards(dir).Netip(), how)
		if why != packet.OK {
			return unreachable(why)
		}
		d.remember(leg, &found, gen)
	}
	*hop = *d.ports[leg.port].Load()
	hop.Dst = leg.dst
	mtu := int(hop.MTU)
	if f.method == Tunnel {
		mtu = min(mtu, r.pathMTU(now))
	}
	v := admit(p, f, mtu, r)
	v.Port = hop.Port
	return v
}

// remember keeps a next hop in a leg, and what its port's frames have in
// common beside it: a port's MAC, MTU and kind never change.
func (d *Director) remember(l *leg, h *packet.Hop, gen uint32) {
	if d.ports[h.Port].Load() == nil {
		d.ports[h.Port].Store(h)
	}
	*l = leg{dst: h.Dst, port: h.Port, generation: gen}
}

// asked says whether a next hop that is not known is asked for.
type asked bool

const (
	asking  asked = true
	peeking asked = false
)

func (d *Director) nextHop(now time.Duration, dst netip.Addr, how asked) (packet.Hop, packet.Reason) {
	if how == peeking {
		return d.net.PeekHop(dst)
	}
	return d.net.NextHop(now, dst)
}

// unreachable is the verdict for a next hop that is not to be had, or not yet.
func unreachable(why packet.Reason) packet.Verdict {
	switch why {
	case packet.NeighbourWait:
		return packet.Verdict{Action: packet.Hold, Reason: why}
	case packet.NoRoute:
		return packet.Verdict{Action: packet.Drop, Reason: why, Answer: packet.AnswerNetUnreachable}
	}
	return packet.Verdict{Action: packet.Drop, Reason: why, Answer: packet.AnswerHostUnreachable}
}

// otherProtocol decides about packets that are neither TCP, UDP nor ICMP: there
// is no virtual service for them.
func (d *Director) otherProtocol(p *packet.Packet) packet.Verdict {
	dst := p.DstAddr()
	if p.Version != 0 && d.table.Load().IsVIP(&dst) {
		return packet.Dropped(packet.NoService)
	}
	return packet.Verdict{Action: packet.Pass}
}
