package netstack

import (
	"net/netip"

	"weir/netstack/packet"
)

// What is decided here is decided for the packets that come, and told to
// whoever asks what would become of one: judgements are pure.

// admit is what a frame must pass before the hook sees it.
func (s *Stack) admit(in *port, p *packet.Packet) packet.Reason {
	if in.link == packet.LinkEthernet && !in.mac.IsZero() {
		if r := in.filter(p); r != packet.OK {
			return r
		}
	}
	if s.fromBroadcast(p) {
		return packet.Martian // the hook, which knows of no subnets, could answer everybody there
	}
	return packet.OK
}

// local judges what the hook passes: dropped, for the port at's host stack, or
// neither, which is to be routed on.
func (s *Stack) local(in *port, p *packet.Packet) (at *port, r packet.Reason) {
	if r := s.suspicious(p); r != packet.OK {
		return nil, r
	}
	if at, ours := s.owner(p.DstAddr()); ours {
		return s.nicOf(at, in), packet.OK
	}
	group := in.isGroup(p)
	switch {
	case group && in.listensTo(p.Dst()):
		return in.host, packet.OK
	case group, !s.forwarding:
		return nil, packet.NotForwarding
	}
	return nil, packet.OK
}

// transit judges a packet that is to be routed on, wherever to.
func transit(p *packet.Packet) packet.Verdict {
	if p.Src().IsLinkLocalUnicast() || p.Dst().IsLinkLocalUnicast() {
		// They mean nothing on another link (RFC 4291 2.5.6, RFC 3927 2.6.2).
		return packet.Dropped(packet.NotForwarding)
	}
	if p.TTL() <= 1 {
		return packet.Verdict{Action: packet.Drop, Reason: packet.TTLExpired, Answer: packet.AnswerTimeExceeded}
	}
	return packet.Verdict{}
}

// nowhere judges a packet that has no next hop, for reason r. A directed
// broadcast is not routed (RFC 2644), and owed no error (RFC 1122 3.2.2).
func (s *Stack) nowhere(p *packet.Packet, r packet.Reason) packet.Verdict {
	if r == packet.NoRoute && s.isDirectedBroadcast(p.Dst()) {
		return packet.Dropped(packet.NotForwarding)
	}
	return undelivered(r)
}

// leaving judges a packet whose next hop is behind out.
func leaving(p *packet.Packet, out *port) packet.Verdict {
	if p.DF() && !fits(p, out.mtu) {
		return tooBig(out)
	}
	return packet.Verdict{}
}

// Admit says why a parsed packet that came in by the port would be dropped
// before the hook saw it; OK if it would not. A port whose MAC is not known
// filters nothing by MACs.
func (s *Stack) Admit(in packet.PortID, p *packet.Packet) packet.Reason {
	if s.bridge == nil {
		return s.admit(s.ports[in], p)
	}
	if at := s.ports[in]; p.DstMAC() == at.mac {
		return at.understands(p)
	}
	return packet.OK // what is for others crosses, read or not
}

// Discovers reports whether p is about the link, as ARP is, and so never the
// hook's.
func (s *Stack) Discovers(in packet.PortID, p *packet.Packet) bool {
	return s.ports[in].link == packet.LinkEthernet && isDiscovery(p)
}

// Judge says what would become of p, parsed, admitted and passed by the hook:
// Pass if this host would get it itself, Emit by a port if it would be routed
// on, or by none if it would cross the bridge, Hold if it would wait for a neighbour's answer, else Drop with what is
// owed for it. peek says how a destination is reached: PeekHop does. Nothing is
// done, and nobody asked.
func (s *Stack) Judge(in packet.PortID, p *packet.Packet, peek func(netip.Addr) (packet.Hop, packet.Reason)) packet.Verdict {
	if b := s.bridge; b != nil && p.DstMAC() != b.link.mac {
		v := packet.Verdict{Action: packet.Emit}
		v.Port = packet.NoPort
		return v
	}
	at, r := s.local(s.ports[in], p)
	switch {
	case r != packet.OK:
		return packet.Dropped(r)
	case at != nil:
		return packet.Verdict{Action: packet.Pass}
	}
	if v := transit(p); v.Action == packet.Drop {
		return v
	}
	hop, r := peek(p.Dst())
	switch r {
	case packet.OK:
	case packet.NeighbourWait:
		return packet.Verdict{Action: packet.Hold, Reason: r}
	default:
		return s.nowhere(p, r)
	}
	if v := leaving(p, s.leaving(hop.Port)); v.Action == packet.Drop {
		return v
	}
	v := packet.Verdict{Action: packet.Emit}
	v.Port = hop.Port
	return v
}
