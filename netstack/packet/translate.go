package packet

import "encoding/binary"

// withoutDF is the size, in bytes, up to which a packet that comes from IPv6
// gets no DF. An IPv6 sender need not make its packets smaller than 1,280
// bytes, which are 1,260 here, so routers must be free to do it (RFC 7915 5.1).
const withoutDF = 1260

// ends is where a packet is to come from and to go to.
type ends struct {
	src, dst     *Addr
	sport, dport uint16
}

func (e *ends) reversed() ends { return ends{e.dst, e.src, e.dport, e.sport} }

// Translate makes p, which must be parsed, a packet of the other IP version
// from src:sport to dst:dport, by the rules of RFC 7915; both addresses must be
// of that version. It happens in place, L4 staying where it is (in an ICMP
// error: L4 of the quote), and p is parsed afterwards. The Ethernet header and
// its tags are kept, but for the EtherType; padding is cut off. Checksums
// follow incrementally, partial ones too. Only a UDP datagram over IPv4 that
// has none is summed (4.5).
//
// In an ICMP query dport becomes the identifier. An ICMP error travels against
// the packet that it quotes, so it becomes one from src to dst about a packet
// from dst:dport to src:sport: callers name the ends as for any packet of the
// flow's same direction.
//
// The caller's are: the TTL, which is copied; an IPv4 packet that may be
// fragmented and will have more than the path's MTU, to be given to Fragment
// before, with 28 bytes less; and the segments of a super-packet, GSOSize being
// kept while IPv6 headers are 20 bytes longer.
//
// Any reason but OK leaves p as it was: Untranslatable for what the other
// version cannot say or RFC 7915 forbids to carry over, ICMPQuote for an error
// whose quote is like that or too short, TooBig for more than 65,535 bytes, and
// Rewriting for what a caller must not ask: no IP packet, addresses of the
// wrong version, less than 48 bytes of headroom.
func Translate(p *Packet, src, dst *Addr, sport, dport uint16) Reason {
	if p.Version == 0 || src.Is4() != (p.Version == 6) || dst.Is4() != (p.Version == 6) {
		return Rewriting
	}
	e := ends{src, dst, sport, dport}
	c, r := p.crossing(&e)
	if r != OK {
		return r
	}
	if p.IsICMPError() {
		return p.translateError(&c, &e)
	}
	l3, bare := p.L4-c.size(), p.unsummed()
	switch {
	case !p.hasRoom(l3):
		return Rewriting
	case bare && p.Frag: // the rest of its sum is in other fragments
		return Untranslatable
	}
	c.settle(p)
	if !p.crossL4(&c, &e) {
		return Untranslatable
	}
	p.moveLink(l3)
	c.put(p.Store[l3:p.L4])
	r = p.arrive()
	if bare && r == OK {
		p.sumUDP()
	}
	return r
}

// crossing is what an IP header says, as the other version will say it.
type crossing struct {
	header
	length   int  // of what follows all headers, as the old one claims
	fragment bool // a fragment, or an IPv6 packet with a fragment header
	more     bool
	offset   uint16 // in bytes
	fragID   uint32
}

// crossing reads the header of p, which may be a quote.
func (p *Packet) crossing(e *ends) (c crossing, r Reason) {
	c = crossing{
		header: header{
			version: 10 - p.Version, src: *e.src, dst: *e.dst,
			tos: p.TOS(), ttl: p.TTL(),
		},
		length:   p.carries(),
		fragment: p.Frag, more: p.MoreFrags, offset: p.FragOffset, fragID: p.FragID,
	}
	var ok bool
	c.proto, ok = carried(p.Proto, p.Version)
	// ICMPv6's pseudo-header has a length that no fragment knows.
	if !ok || p.Frag && c.proto != p.Proto {
		return c, Untranslatable
	}
	if p.Version == 6 {
		at, ok := p.fragmentHeader6()
		if !ok {
			return c, Untranslatable
		}
		if at != 0 {
			c.fragment, c.fragID = true, binary.BigEndian.Uint32(p.Store[at+4:])
		}
	}
	if int(c.offset)+c.length > 0xffff-20 {
		return c, TooBig
	}
	return c, OK
}

// carried is the number that an upper protocol of IP version has in the other
// version. Not ok is what must not get there: extension headers, which behind an
// IPv4 header, or a fragment's, would become headers only on the other side; AH,
// which vouches for what changes; ICMP of the wrong version, which would come to
// life.
func carried(proto, version uint8) (other uint8, ok bool) {
	switch {
	case isExtension(proto):
		return 0, false
	case proto == ICMP:
		return ICMPv6, version == 4
	case proto == ICMPv6:
		return ICMP, version == 6
	}
	return proto, true
}

// fragmentHeader6 finds the fragment header of an IPv6 packet whose chain is
// proven, 0 if there is none. Not ok is a chain that may not be left away: AH,
// a routing header with segments left, and anything behind a fragment header,
// which is part of the datagram and not of this packet (RFC 7915 5.1, 5.1.1).
func (p *Packet) fragmentHeader6() (at int, ok bool) {
	next := p.Store[p.L3+6]
	for here := p.L3 + 40; here < p.L4; {
		b := p.Store[here:p.L4]
		switch {
		case at != 0 || next == AH || next == ROUTING && b[3] != 0:
			return 0, false
		case next == FRAGMENT:
			at, here = here, here+8
		default:
			here += int(b[1])*8 + 8
		}
		next = b[0]
	}
	return at, true
}

// size is the length of all that put writes, in bytes.
func (c *crossing) size() int {
	if c.version == 6 && c.fragment {
		return 48
	}
	return c.header.len()
}

// settle fills in what only one of the versions has, for p or what p quotes.
func (c *crossing) settle(p *Packet) {
	if c.version == 6 {
		return
	}
	wire := c.length
	if p.Offload.GSO != GSONone {
		wire = min(wire, p.Payload-p.L4+int(p.Offload.GSOSize))
	}
	switch {
	case c.fragment: // routers may fragment it further
		c.id, c.frag = uint16(c.fragID), c.offset>>3|choose(c.more, flagMF)
	case 20+wire > withoutDF:
		c.frag = flagDF // and id 0: nobody will look at it (RFC 6864 4.1)
	default:
		c.id = p.digest()
	}
}

// digest is an identification for a packet that brings none along: its L4
// checksum, since that differs where packets do, or the sum of what there is.
func (p *Packet) digest() uint16 {
	if p.l4sum != 0 && !p.Offload.NeedsCsum {
		if c := binary.BigEndian.Uint16(p.Store[p.l4sum:]); c != 0 {
			return c
		}
	}
	return fold(sum(p.Store[p.L4:min(p.L3End, p.L4+withoutDF)], 0))
}

// put writes the settled header to b, which is as long as size says.
func (c *crossing) put(b []byte) {
	if c.version == 4 || !c.fragment {
		c.header.put(b, c.length)
		return
	}
	f, upper := b[40:48], c.proto
	c.proto = FRAGMENT
	c.header.put(b, 8+c.length)
	f[0], f[1] = upper, 0
	binary.BigEndian.PutUint16(f[2:], c.offset|choose(c.more, 1))
	binary.BigEndian.PutUint32(f[4:], c.fragID)
}

// unsummed reports whether p is a UDP datagram whose sender made no checksum,
// in the version that allows it.
func (p *Packet) unsummed() bool {
	return p.Version == 4 && p.Proto == UDP && p.HasL4 && !p.Offload.NeedsCsum &&
		binary.BigEndian.Uint16(p.Store[p.l4sum:]) == 0
}

// sumUDP makes the checksum of a datagram that has none. It may end before the
// IP packet does.
func (p *Packet) sumUDP() {
	length := int(binary.BigEndian.Uint16(p.Store[p.L4+4:]))
	acc := p.pseudo(UDP, length)
	p.putSum(p.Store[p.l4sum:p.l4sum+2], sum(p.Store[p.L4:p.L4+length], acc))
}

// crossL4 gives p's L4, if it has any, its new ports and takes the checksum to
// the new version's pseudo-header. p may be a quote; its old IP header must
// still be there. False, and nothing changed, for ICMP that is not echo.
func (p *Packet) crossL4(c *crossing, e *ends) bool {
	if !p.HasL4 {
		return true
	}
	d := Delta{Addr: p.pseudoDelta(c)}
	switch p.Proto {
	case TCP, UDP:
		b := p.Store[p.L4 : p.L4+4]
		d.Port = sub16(add16(e.sport, e.dport), add16(p.SrcPort, p.DstPort))
		binary.BigEndian.PutUint16(b, e.sport)
		binary.BigEndian.PutUint16(b[2:], e.dport)
	default:
		b := p.Store[p.L4 : p.L4+8]
		was, is := binary.BigEndian.Uint16(b), uint16(0)
		switch {
		case p.IsEchoRequest():
			is = icmp6Echo<<8 ^ icmp4Echo<<8 ^ was // code kept
		case p.IsEchoReply():
			is = icmp6EchoReply<<8 ^ icmp4EchoReply<<8 ^ was
		default:
			return false
		}
		d.Port = sub16(add16(is, e.dport), add16(was, p.SrcPort))
		binary.BigEndian.PutUint16(b, is)
		binary.BigEndian.PutUint16(b[4:], e.dport)
	}
	p.adjustL4(d)
	return true
}

// pseudoDelta is the change in the pseudo-header of p's L4. In TCP and UDP the
// addresses are all of it: protocol and length are the same numbers in both
// versions. ICMP has a pseudo-header in IPv6 only.
func (p *Packet) pseudoDelta(c *crossing) uint16 {
	now := sum(c.src[:], sum(c.dst[:], 0)) // an IPv4 address in mapped form adds ffff, which is 0
	switch p.Proto {
	case ICMP:
		return fold(sumWord(uint16(c.length), sumWord(ICMPv6, now)))
	case ICMPv6:
		return sub16(0, fold(p.pseudo(ICMPv6, p.carries())))
	}
	return sub16(fold(now), fold(p.pseudo(0, 0)))
}

// carries is the length, in bytes, of what follows p's IP headers: of a quote
// that was cut, what there was.
func (p *Packet) carries() int { return max(p.L3+p.claimed(), p.L3End) - p.L4 }

// hasRoom reports whether the frame, as long as its IP header begins at index
// l3, still begins within Store.
func (p *Packet) hasRoom(l3 int) bool { return p.Start+l3-p.L3 >= 0 }

// moveLink puts the link header in front of index l3, where an IP header of the
// other version will begin, which an Ethernet header says.
func (p *Packet) moveLink(l3 int) {
	start := p.Start + l3 - p.L3
	copy(p.Store[start:], p.Store[p.Start:p.L3])
	if p.hasMACs() {
		binary.BigEndian.PutUint16(p.Store[l3-2:], EtherIPv4^EtherIPv6^p.EtherType)
	}
	p.Start, p.L3 = start, l3
}

// arrive parses the packet anew, its bytes being in place.
func (p *Packet) arrive() Reason {
	p.End = p.L3End
	switch p.Offload.GSO {
	case GSOTCP4:
		p.Offload.GSO = GSOTCP6
	case GSOTCP6:
		p.Offload.GSO = GSOTCP4
	}
	if p.Offload.NeedsCsum {
		p.Offload.CsumStart = uint16(p.L4)
		if p.Proto == ICMPv6 && p.HasL4 {
			p.clearPartial()
		}
	}
	return p.Parse(p.Link)
}

// clearPartial writes the partial checksum of ICMP over IPv4, which has no
// pseudo-header, as a sender would: as 0, and not the other zero that a
// subtraction gives.
func (p *Packet) clearPartial() {
	field := p.Store[p.l4sum : p.l4sum+2]
	if binary.BigEndian.Uint16(field) == 0xffff {
		field[0], field[1] = 0, 0
	}
}
