package packet

import "encoding/binary"

// Quote makes q a view of the packet that the ICMP error p quotes: OK means
// that the quoted IP header and the ports (or the ICMP identifier) are there.
// What lies behind the quoted packet's first 8 bytes of L4 may be missing
// (RFC 792); q's accessors then return 0. The quoted header's own checksum and
// TTL are not judged: routers quote what they have made of it.
//
// q shares p's Store. It is read through accessors and Key, and changed only by
// RewriteQuotedSrc and RewriteQuotedDst, which keep p's checksum.
func (p *Packet) Quote(q *Packet) Reason {
	if !p.IsICMPError() {
		return ICMPQuote
	}
	*q = Packet{
		Store: p.Store, Start: p.Payload, End: p.L3End,
		L3: p.Payload, L4: p.Payload, Payload: p.Payload, L3End: p.L3End,
	}
	var proven bool
	if p.Version == 4 {
		proven = q.quote4()
	} else {
		proven = q.quote6()
	}
	if !proven || !q.quoteL4() {
		return ICMPQuote
	}
	return OK
}

// quote4 proves a quoted IPv4 header.
func (q *Packet) quote4() bool {
	b := q.Store[q.L3:q.End]
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	ihl := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if ihl < 20 || ihl > len(b) || total < ihl {
		return false
	}
	q.Version, q.Proto, q.EtherType = 4, b[9], EtherIPv4
	q.L3End = q.L3 + min(total, len(b))
	q.L4 = q.L3 + ihl
	q.Payload = q.L4
	if frag := binary.BigEndian.Uint16(b[6:]); frag&0x3fff != 0 {
		q.fragment4(frag, binary.BigEndian.Uint16(b[4:]))
	}
	return true
}

// quote6 proves a quoted IPv6 header and its extension headers.
func (q *Packet) quote6() bool {
	b := q.Store[q.L3:q.End]
	if len(b) < 40 || b[0]>>4 != 6 {
		return false
	}
	q.Version, q.Proto, q.EtherType = 6, b[6], EtherIPv6
	q.L3End = q.L3 + min(40+int(binary.BigEndian.Uint16(b[4:])), len(b))
	q.L4 = q.L3 + 40
	q.Payload = q.L4
	c, r := q.walk()
	return r == OK && !c.waypoint
}

// quoteL4 takes what there is of the quoted L4 header, 8 bytes at least.
func (q *Packet) quoteL4() bool {
	have := q.L3End - q.L4
	if have < 8 || q.FragOffset != 0 {
		return false
	}
	b := q.Store[q.L4:q.L3End]
	switch q.Proto {
	case TCP:
		q.Payload = q.L3End
		if have >= 18 {
			q.l4sum = q.L4 + 16
			q.Flags = b[13]
		}
		if have >= 20 {
			q.Payload = q.L4 + min(max(int(b[12]>>4)*4, 20), have)
		}
		q.ports(b)
	case UDP:
		q.Payload = q.L4 + 8
		q.l4sum = q.L4 + 6
		q.ports(b)
	case ICMP, ICMPv6:
		if (q.Proto == ICMP) == (q.Version == 4) {
			q.icmpHeader(b, q.L4)
		}
	}
	return q.HasL4
}

// RewriteQuotedSrc replaces the source address and port of q, the packet that
// the ICMP error p quotes: in the quoted header, its checksum and the quoted L4
// checksum if the quote reaches that far, and makes p's ICMP checksum follow.
func (p *Packet) RewriteQuotedSrc(q *Packet, a *Addr, port uint16) {
	p.rewriteQuoted(q, 0, a, port)
}

// RewriteQuotedDst is RewriteQuotedSrc for the quoted destination.
func (p *Packet) RewriteQuotedDst(q *Packet, a *Addr, port uint16) {
	p.rewriteQuoted(q, 1, a, port)
}

func (p *Packet) rewriteQuoted(q *Packet, side int, a *Addr, port uint16) {
	var ends [2]Addr
	q.addrs(&ends[0], &ends[1])
	ports := [2]uint16{q.SrcPort, q.DstPort}
	// The quote begins at an even offset of the ICMP message and every field
	// of it at an even offset of the quote, so the sum over all that can
	// change, before and after, is what the ICMP checksum must learn.
	changing := q.Store[q.L3:min(q.L4+20, q.L3End)]
	before := fold(sum(changing, 0))
	q.rewrite(side, a, port, DeltaOf(&ends[side], a, ports[side], port))
	p.adjustL4(Delta{Port: sub16(fold(sum(changing, 0)), before)})
}

// RaiseMTU lifts the MTU that a fragmentation-needed or packet-too-big message
// announces to the least that its IP version allows, 576 (RFC 1191 3, as far as
// Linux goes) or 1,280 (RFC 8200 5), so that a forged one cannot make a sender
// creep. Reports whether it had to.
func (p *Packet) RaiseMTU() bool {
	if !p.isICMP() {
		return false
	}
	b := p.Store[p.L4 : p.L4+8]
	var floor uint16
	switch {
	case p.Proto == ICMP && b[0] == icmp4Unreachable && b[1] == 4:
		// The upper half is unused, or a length (RFC 4884): not ours to touch.
		floor = 576
	case p.Proto == ICMPv6 && b[0] == icmp6TooBig && b[4] == 0 && b[5] == 0:
		floor = 1280
	default:
		return false
	}
	mtu := binary.BigEndian.Uint16(b[6:])
	if mtu >= floor {
		return false
	}
	binary.BigEndian.PutUint16(b[6:], floor)
	p.adjustL4(Delta{Port: sub16(floor, mtu)})
	return true
}
