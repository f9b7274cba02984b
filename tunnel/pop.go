package tunnel

import "weir/netstack/packet"

// Pop takes the packet out of the tunnel: p must be parsed, and is then the
// inner packet, a raw IP packet and parsed, in its place in Store. It is told
// of congestion that the path has marked outside (RFC 6040 4.2) and otherwise
// as it went in. Only a first layer is opened.
//
// Any reason but OK leaves p as it was. NotTunnel is not the packet's fault: it
// is somebody else's to take.
func (d *Decap) Pop(p *packet.Packet) packet.Reason {
	t, ok := d.typeOf(p)
	if !ok {
		return packet.NotTunnel
	}
	var outer packet.FlowKey
	p.Key(&outer)
	if r := d.judgeOuter(p, &outer); r != packet.OK {
		return r
	}
	in, r := d.find(p, t)
	if r != packet.OK {
		return r
	}
	start, end, link, offload := p.Start, p.End, p.Link, p.Offload
	tos := p.TOS()
	p.Start, p.End, p.Offload = in.start, in.end, packet.Offload{}
	r = d.judgeInner(p, in.version, &outer.Dst)
	if r == packet.OK {
		p.End = p.L3End
		r = markECN(p, tos)
	}
	if r != packet.OK {
		p.Start, p.End, p.Offload = start, end, offload
		p.Parse(link)
	}
	return r
}

// typeOf is the format that p is in, by its protocol and port; false if it is
// none that is opened here.
func (d *Decap) typeOf(p *packet.Packet) (t Type, ok bool) {
	switch p.Proto {
	case packet.IPIP, packet.IPv6:
		t = IPIP
	case packet.GRE:
		t = GRE
	case packet.UDP:
		switch {
		case !p.HasL4: // a later fragment: whose, its first one alone knows
			return 0, false
		case p.DstPort == d.gue:
			t = GUE
		case p.DstPort == d.vxlan:
			t = VXLAN
		default:
			return 0, false
		}
	default:
		return 0, false
	}
	return t, d.opens[t]
}

// judgeOuter judges the outer IP header.
func (d *Decap) judgeOuter(p *packet.Packet, k *packet.FlowKey) packet.Reason {
	switch {
	case d.ownOnly && d.known[k.Dst]&isOwn == 0:
		return packet.NotTunnel
	case p.Frag:
		return packet.TunnelFragment
	}
	if r := p.Martian(); r != packet.OK {
		return r
	}
	switch {
	case !d.believes(&k.Src):
		return packet.TunnelStranger
	case p.Version == 6 && !plainChain(p):
		return packet.TunnelHeader
	case p.Offload.GSO != packet.GSONone: // several tunnel packets in one
		return packet.BadOffload
	}
	return packet.OK
}

// plainChain reports whether nothing but options stands between the outer IPv6
// header and the tunnel's: they may be skipped (RFC 2473 4.1.1), but a routing
// header says that the packet has further to go.
func plainChain(p *packet.Packet) bool {
	next, at := p.Store[p.L3+6], p.L3+ip6Len
	for at < p.L4 {
		if next != packet.DSTOPTS && next != packet.HOPOPTS {
			return false
		}
		next, at = p.Store[at], at+int(p.Store[at+1])*8+8
	}
	return true
}

// judgeInner parses what is inside the tunnel and judges whether it may be
// delivered. end is the outer destination: the real server's own address.
func (d *Decap) judgeInner(p *packet.Packet, version uint8, end *packet.Addr) packet.Reason {
	switch r := p.Parse(packet.LinkRaw); {
	case r == packet.Truncated || r == packet.BadTotalLength:
		return packet.TunnelTruncated
	case r != packet.OK:
		return r
	case p.Version != version:
		return packet.BadVersion
	case d.isNested(p):
		return packet.TunnelNested
	}
	// Before the lookups: an IPv6 packet with IPv4-mapped addresses would
	// otherwise pass for the IPv4 VIP's.
	if r := p.Martian(); r != packet.OK {
		return r
	}
	var k packet.FlowKey
	p.Key(&k)
	switch {
	case d.known[k.Dst]&isVIP == 0:
		return packet.TunnelDestination
	case k.Src == *end || d.known[k.Src] != 0:
		return packet.SpoofedSource
	}
	return packet.OK
}

// isNested reports whether p, which was inside a tunnel, would open another one
// if it were delivered. The formats in IP count even where they are not opened
// here: the kernel may open them.
func (d *Decap) isNested(p *packet.Packet) bool {
	switch p.Proto {
	case packet.IPIP, packet.IPv6, packet.GRE:
		return true
	}
	_, tunnel := d.typeOf(p)
	return tunnel
}

// markECN gives p what the outer ToS tells of congestion.
func markECN(p *packet.Packet, outer uint8) packet.Reason {
	inner := p.TOS()
	ecn := egress[inner&ecnMask][outer&ecnMask]
	if ecn == ecnDrop {
		return packet.TunnelECN
	}
	if ecn != inner&ecnMask {
		p.SetTOS(inner&^ecnMask | ecn)
	}
	return packet.OK
}

// inside is where the inner packet lies in Store, at most, and which IP version
// the header in front of it says it has.
type inside struct {
	start, end int
	version    uint8
}
