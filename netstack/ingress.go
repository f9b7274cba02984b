package netstack

import (
	"time"

	"weir/netstack/packet"
)

// ingress takes one frame the whole way: filter, hook, verdict.
func (w *worker) ingress(now time.Duration, in *port, p *packet.Packet) {
	in.stats.rxFrames.Add(1)
	in.stats.rxBytes.Add(uint64(p.End - p.Start))
	w.s.show(now, Rx, in, p, packet.OK)
	if w.s.bridge != nil {
		w.bridged(now, in, p)
		return
	}
	r := p.Parse(in.link)
	if r == packet.OK {
		r = w.s.admit(in, p)
	}
	switch {
	case r != packet.OK:
		w.drop(now, in, p, packet.Dropped(r))
	case p.Version == 0:
		w.arp(now, in, p)
	case in.link == packet.LinkEthernet && isDiscovery(p):
		w.ndp(now, in, p)
	default:
		w.ask(now, in, p)
	}
}

// ask does with an IP packet what the hook says.
func (w *worker) ask(now time.Duration, in *port, p *packet.Packet) {
	if w.s.hook == nil {
		w.pass(now, in, p)
		return
	}
	w.execute(now, in, p, w.s.hook.Ingress(now, in.id, p))
}

// filter does what an interface's hardware would: it keeps out frames that are
// not for this station, and those that it could not read.
func (in *port) filter(p *packet.Packet) packet.Reason {
	dst := p.DstMAC()
	switch {
	case p.SrcMAC() == in.mac:
		return packet.FromOurselves
	case dst != in.mac && !dst.IsMulticast():
		return packet.ForeignMAC
	}
	return in.understands(p)
}

// understands is OK if a frame is one that a host on in's link reads. One to a
// group must carry a packet to a group, too: a unicast packet in a broadcast is
// an attack or a fault (RFC 1122 3.3.6).
func (in *port) understands(p *packet.Packet) packet.Reason {
	switch {
	case p.VLAN:
		return packet.Tagged
	case p.Version == 0 && p.EtherType != packet.EtherARP:
		return packet.UnknownEther
	case p.Version != 0 && p.DstMAC().IsMulticast() && !in.isGroup(p):
		return packet.Martian
	}
	return packet.OK
}

// isGroup reports whether p is for many: a multicast group or a broadcast.
func (in *port) isGroup(p *packet.Packet) bool {
	dst := p.Dst()
	return dst.IsMulticast() || dst == broadcast4 || dst.Is4() && in.isBroadcast(dst)
}
