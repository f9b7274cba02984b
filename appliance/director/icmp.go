package director

import (
	"time"

	"weir/netstack/packet"
)

// icmp decides about ICMP and ICMPv6. Errors about a known flow are translated
// like the flow's packets and travel on; echo to a VIP is the stack's.
func (d *Director) icmp(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict {
	t := d.table.Load()
	if !isTranslatable(p) {
		return d.icmpQuery(p, t)
	}
	if t.learnPathMTU(now, p) {
		return packet.Verdict{Action: packet.Pass} // the stack's own tunnel packet
	}
	var q packet.Packet
	s, f, dir, v := d.quoted(p, &q, t)
	if f == nil {
		return v
	}
	defer s.mu.Unlock()
	gen, r := d.net.Generation(), t.real(f.server)
	var hop packet.Hop
	v = d.way(now, gen, p, f, dir, r, &hop, asking)
	if v.Action == packet.Hold {
		return d.held.untilNeighbour(now, gen, in, p, nil)
	}
	if v.Action != packet.Emit {
		v.Answer = packet.AnswerNone // never an error about an error
		return v
	}
	if why := d.passError(p, &q, f, dir, &hop, r); why != packet.OK {
		return packet.Dropped(why)
	}
	return v
}

// isTranslatable: an error, and whole enough to hold what it is about.
func isTranslatable(p *packet.Packet) bool { return p.HasL4 && p.IsICMPError() && !p.Frag }

// icmpQuery decides about all ICMP but errors.
func (d *Director) icmpQuery(p *packet.Packet, t *Table) packet.Verdict {
	dst := p.DstAddr()
	switch {
	case p.HasL4 && p.IsRedirect():
		return packet.Dropped(packet.ICMPRedirect)
	case !t.IsVIP(&dst) || p.Frag || p.IsEchoRequest() || p.IsNDP():
		return packet.Verdict{Action: packet.Pass}
	}
	return packet.Dropped(packet.UnknownICMP)
}

// quoted finds the flow of the packet that an error quotes, in q. The error
// travels against that packet, so it belongs to the other direction, and it
// goes to whoever sent the quoted packet. Where there is no flow it says what
// becomes of the error; else the flow's shard is locked.
func (d *Director) quoted(p, q *packet.Packet, t *Table) (*shard, *flow, direction, packet.Verdict) {
	dst := p.DstAddr()
	ours, why := t.IsVIP(&dst), packet.ICMPQuote
	if p.Quote(q) == packet.OK && q.SrcAddr() == dst {
		var k packet.FlowKey
		q.Key(&k)
		k = k.Reverse()
		h := d.flows.hash(&k)
		if s, f, dir := d.flows.find(&h, &k, ours); f != nil {
			return s, f, dir, packet.Verdict{}
		}
		why = packet.ICMPNoFlow
	}
	if ours {
		return nil, nil, request, packet.Dropped(why)
	}
	return nil, nil, request, packet.Verdict{Action: packet.Pass}
}

// passError makes an error what its receiver must see. Where weir rewrites a
// flow it rewrites what is quoted of it, too; with one-way methods the real
// server sent what is quoted, and gets the error as it is.
func (d *Director) passError(p, q *packet.Packet, f *flow, dir direction, hop *packet.Hop, r *Real) packet.Reason {
	if f.method.oneWay() {
		return d.rewrite(p, f, dir, hop, r)
	}
	p.RaiseMTU()
	if f.translates() {
		if why := translate(p, f, dir); why != packet.OK {
			return why
		}
	} else {
		readdressError(p, q, f, dir)
	}
	d.leave(p, f, dir, hop)
	return packet.OK
}

// readdressError rewrites an error and the packet that it quotes. On the way to
// the real server the quoted packet is a reply as the client saw it; on the way
// to the client it is a request as the real server's side saw it, and the error
// may come from the real server itself or from a router in front of it.
func readdressError(p, q *packet.Packet, f *flow, dir direction) {
	if dir == request {
		p.RewriteQuotedSrc(q, &f.real, f.realPort)
		if f.method == FullNAT {
			p.RewriteQuotedDst(q, &f.local, f.localPort)
		}
		p.RewriteDst(&f.real, 0, packet.DeltaOf(&f.vip, &f.real, 0, 0))
		return
	}
	p.RewriteQuotedDst(q, &f.vip, f.vipPort)
	if f.method == FullNAT {
		p.RewriteQuotedSrc(q, &f.client, f.clientPort)
		p.RewriteDst(&f.client, 0, packet.DeltaOf(&f.local, &f.client, 0, 0))
	}
	if p.SrcAddr() == f.real {
		p.RewriteSrc(&f.vip, 0, packet.DeltaOf(&f.real, &f.vip, 0, 0))
	}
}
