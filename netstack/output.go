package netstack

import (
	"net/netip"
	"time"

	"weir/netstack/packet"
)

// Send routes p, an IP packet of our own without a link header, and does not
// wait: one whose neighbour must be asked first is kept and sent later. The
// reason is OK or why it could not be sent; the packet is then counted as
// dropped, unless it is none that can be read. Hooks do not see it.
func (s *Stack) Send(p *packet.Packet) packet.Reason {
	now := s.clock()
	if r := p.Parse(packet.LinkRaw); r != packet.OK {
		return r
	}
	w := s.worker()
	defer s.retire(w)
	from := s.links[0]
	if at, ours := s.owner(p.SrcAddr()); ours {
		from = s.nicOf(at, from)
	}
	r := w.output(now, from, p)
	if r != packet.OK {
		s.count(now, from, p, r)
	}
	return r
}

// output sends p, an IP packet of our own: from gVisor, or an ICMP error. from
// is the port it speaks for, by which groups and link-local addresses are
// reached. Under OK the packet was sent, or kept until a neighbour answers.
func (w *worker) output(now time.Duration, from *port, p *packet.Packet) packet.Reason {
	dst := p.Dst()
	from = from.host
	if mac, ok := from.groupMAC(dst); ok {
		return w.sendVia(now, from.hop(mac), p)
	}
	hop, r := w.s.resolve(now, from, dst, &waiting{p: p, from: from, own: true})
	if r == packet.NoRoute && from.link == packet.LinkRaw {
		// What came through a TUN can be answered through it without a route.
		hop, r = from.hop(packet.MAC{}), packet.OK
	}
	switch r {
	case packet.OK:
		return w.sendVia(now, hop, p)
	case packet.NeighbourWait:
		return packet.OK
	}
	return r
}

func (w *worker) sendVia(now time.Duration, hop packet.Hop, p *packet.Packet) packet.Reason {
	p.SetHop(&hop)
	return w.send(now, w.s.leaving(hop.Port), p)
}

// groupMAC is the MAC of a multicast or broadcast address on p's link (RFC
// 1112 6.4, RFC 2464 7).
func (p *port) groupMAC(dst netip.Addr) (packet.MAC, bool) {
	switch {
	case dst == broadcast4 || dst.Is4() && p.isBroadcast(dst):
		return packet.Broadcast, true
	case !dst.IsMulticast():
		return packet.MAC{}, false
	case dst.Is6():
		return packet.GroupMAC(dst), true
	}
	b := dst.As4()
	return packet.MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}, true
}

// fromHost sends a packet of gVisor's from the NIC of port from; to is the MAC
// that gVisor knows already, as it does for neighbour advertisements, else zero.
func (w *worker) fromHost(now time.Duration, from *port, p *packet.Packet, to packet.MAC) {
	r := p.Parse(packet.LinkRaw)
	switch {
	case r != packet.OK:
	case !to.IsZero():
		r = w.sendVia(now, from.hop(to), p)
	default:
		r = w.output(now, from, p)
	}
	if r == packet.OK {
		return
	}
	w.s.count(now, from, p, r)
	v := undelivered(r)
	if r == packet.TooBig {
		v = tooBig(w.s.egress(from, p.Dst()))
	}
	if v.Answer != packet.AnswerNone {
		w.s.giveBack(from, p, v)
	}
}

// egress is the port by which dst is reached, from where there is no route.
func (s *Stack) egress(from *port, dst netip.Addr) *port {
	if r, ok := s.routes.lookup(dst); ok {
		return s.links[r.port]
	}
	return from.host
}

// leaving is the port that a hop names; a bridge's own where it names none.
func (s *Stack) leaving(by packet.PortID) *port {
	if by == packet.NoPort {
		return s.links[0]
	}
	return s.ports[by]
}

// returned is a packet of gVisor's that could not be sent, with what it should
// be told about it.
type returned struct {
	heldFrame
	verdict packet.Verdict
}

// giveBack has gVisor told, by the ICMP error that a router would send, that p
// could not leave: its sockets then fail at once, or learn the path's MTU. The
// timer's goroutine tells it, since this one is under WritePackets. If many
// wait to be told, one more learns it by its own timeout.
func (s *Stack) giveBack(from *port, p *packet.Packet, v packet.Verdict) {
	r := returned{heldFrame: copyFrame(p), verdict: v}
	r.from = from
	select {
	case s.returns <- r:
	default:
	}
}

func (s *Stack) tellHost(now time.Duration, r returned) {
	s.replay([]heldFrame{r.heldFrame}, func(w *worker, f *heldFrame) {
		w.answer(now, f.from, &w.frame, r.verdict)
	})
}
