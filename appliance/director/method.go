package director

import (
	"weir/netstack/packet"
	"weir/tunnel"
)

// Method is what happens to the packets of a virtual service.
type Method uint8

const (
	NAT     Method = iota // destination rewritten; replies come back through weir
	FullNAT               // the source too, to an address of the pool
	DSR                   // only the MACs; the real server answers the client itself
	Tunnel                // inside an outer packet; the real server answers itself
)

var methodNames = [...]string{NAT: "nat", FullNAT: "fullnat", DSR: "dsr", Tunnel: "tunnel"}

func (m Method) String() string { return methodNames[m] }

// oneWay: weir sees only what the client sends.
func (m Method) oneWay() bool { return m == DSR || m == Tunnel }

// translates reports whether the flow's two sides speak different IP versions.
func (f *flow) translates() bool { return f.version != f.realVersion }

// crosses reports whether packets of this direction pass weir as they pass a
// bridge: with the MACs and the TTL that they have.
func (d *Director) crosses(f *flow) bool { return d.transparent && f.method == NAT }

// admit says whether the flow's method can carry this packet over a link of
// this MTU: Emit, Split, or Drop with the answer that its sender is owed.
func admit(p *packet.Packet, f *flow, mtu int, r *Real) packet.Verdict {
	switch {
	case f.method == Tunnel:
		return admitTunnel(p, r.Encap, mtu)
	case !f.translates():
		return fits(p, mtu)
	case p.Version == 4:
		return fits(p, mtu-translationGrows)
	}
	return fits(p, mtu+translationGrows)
}

// translationGrows is how much longer an IPv6 header is than an IPv4 one.
const translationGrows = 20

// admitTunnel: no offload carries a tunnel's super-packets, so they are split;
// what does not fit is answered with the MTU that the tunnel leaves, unless the
// sender or the operator allows fragments.
func admitTunnel(p *packet.Packet, e *tunnel.Encap, mtu int) packet.Verdict {
	switch {
	case !e.Fits(p, mtu) && p.DF() && !e.Config().MayFragment:
		return tooBig(e.InnerMTU(p.Version, mtu))
	case p.Offload.GSO != packet.GSONone:
		return packet.Verdict{Action: packet.Split}
	}
	return packet.Verdict{Action: packet.Emit}
}

// fits says Emit if the packet, or each segment it will be cut into, goes
// through an MTU, or may be fragmented on the way out.
func fits(p *packet.Packet, mtu int) packet.Verdict {
	size := p.IPLen()
	if p.Offload.GSO != packet.GSONone {
		size = p.Payload - p.L3 + int(p.Offload.GSOSize)
	}
	if size <= mtu || !p.DF() {
		return packet.Verdict{Action: packet.Emit}
	}
	return tooBig(mtu)
}

func tooBig(mtu int) packet.Verdict {
	v := packet.Verdict{Action: packet.Drop, Reason: packet.TooBig, Answer: packet.AnswerTooBig}
	v.MTU = uint16(mtu)
	return v
}

// rewrite makes the packet what the other side must see.
func (d *Director) rewrite(p *packet.Packet, f *flow, dir direction, hop *packet.Hop, r *Real) packet.Reason {
	switch f.method {
	case DSR:
		p.SetHop(hop)
		return packet.OK
	case Tunnel:
		return intoTunnel(p, f, hop, r)
	}
	if f.translates() {
		if why := translate(p, f, dir); why != packet.OK {
			return why
		}
	} else {
		readdress(p, f, dir)
	}
	d.leave(p, f, dir, hop)
	return packet.OK
}

// readdress replaces addresses and ports within one IP version. The delta is
// of all replacements together, so the second one adjusts no checksum.
func readdress(p *packet.Packet, f *flow, dir direction) {
	var done packet.Delta
	if dir == request {
		p.RewriteDst(&f.real, f.realPort, f.delta)
		if f.method == FullNAT {
			p.RewriteSrc(&f.local, f.localPort, done)
		}
		return
	}
	p.RewriteSrc(&f.vip, f.vipPort, f.delta.Reverse())
	if f.method == FullNAT {
		p.RewriteDst(&f.client, f.clientPort, done)
	}
}

// translate replaces the whole IP header by one of the other version, with the
// flow's addresses and ports of the other side.
func translate(p *packet.Packet, f *flow, dir direction) packet.Reason {
	if dir == request {
		return packet.Translate(p, &f.local, &f.real, f.localPort, f.realPort)
	}
	return packet.Translate(p, &f.vip, &f.client, f.vipPort, f.clientPort)
}

// leave gives the packet its TTL and its link header: a router's, or where
// weir is a bridge the ones it has, but for the real server's MAC.
func (d *Director) leave(p *packet.Packet, f *flow, dir direction, hop *packet.Hop) {
	switch {
	case !d.crosses(f):
		p.DecTTL()
		p.SetHop(hop)
	case dir == request:
		p.SetMACs(p.SrcMAC(), hop.Dst)
	}
}

// intoTunnel leaves the packet as it is, inside an outer one. A client's SYN
// is told the segment size that the tunnel leaves, for what the real server
// sends; what clients send is limited by the answers to what does not fit.
func intoTunnel(p *packet.Packet, f *flow, hop *packet.Hop, r *Real) packet.Reason {
	if p.Flags&packet.SYN != 0 {
		tunnel.ClampMSS(p, r.Encap.MSS(p.Version, int(hop.MTU)))
	}
	if why := r.Encap.Push(p, uint32(f.self)*0x9e3779b1^uint32(f.clientPort)); why != packet.OK {
		return why
	}
	p.SetHop(hop)
	return packet.OK
}
