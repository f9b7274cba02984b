package netstack

import (
	"net/netip"
	"time"

	"weir/netstack/packet"
)

// forward routes a transit packet on. gVisor's own forwarding damages
// fragments, mends wrong checksums and sends packets with TTL 0; here the TTL,
// its checksum and the MACs are all that changes (RFC 1812 5.2.1, 5.3.1).
func (w *worker) forward(now time.Duration, in *port, p *packet.Packet) {
	if v := transit(p); v.Action == packet.Drop {
		w.drop(now, in, p, v)
		return
	}
	hop, r := w.s.resolve(now, nil, p.Dst(), &waiting{p: p, from: in})
	switch r {
	case packet.OK:
	case packet.NeighbourWait:
		return
	default:
		w.drop(now, in, p, w.s.nowhere(p, r))
		return
	}
	out := w.s.leaving(hop.Port)
	if v := leaving(p, out); v.Action == packet.Drop {
		w.drop(now, in, p, v)
		return
	}
	p.DecTTL()
	p.SetHop(&hop)
	w.send(now, out, p)
	w.s.stats.forwarded.Add(1)
}

// isDirectedBroadcast reports whether dst is the broadcast address of a port's
// network.
func (s *Stack) isDirectedBroadcast(dst netip.Addr) bool {
	r, ok := s.routes.lookup(dst)
	return ok && dst.Is4() && s.links[r.port].isBroadcast(dst)
}

// undelivered is the verdict on a packet whose way to its next hop ended in r.
func undelivered(r packet.Reason) packet.Verdict {
	v := packet.Dropped(r)
	switch r {
	case packet.NoRoute:
		v.Answer = packet.AnswerNetUnreachable
	case packet.NeighbourFailed:
		v.Answer = packet.AnswerHostUnreachable
	}
	return v
}

// tooBig is the verdict on a packet that out cannot take whole.
func tooBig(out *port) packet.Verdict {
	v := packet.Verdict{Action: packet.Drop, Reason: packet.TooBig, Answer: packet.AnswerTooBig}
	v.MTU = uint16(out.mtu)
	return v
}
