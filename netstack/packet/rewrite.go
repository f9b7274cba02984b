package packet

import "encoding/binary"

// RewriteSrc replaces the source address and, where there is L4, the source
// port; d is the delta of doing so. Checksums follow incrementally: IPv4's own,
// TCP's, UDP's, ICMPv6's. In an ICMP query port is the identifier, the same
// from either side. A fragment without L4 changes its addresses only: its
// datagram's L4 checksum travels in the first fragment.
//
// a and the packet must be of one family, and d must have been computed from
// what the packet holds; anything else breaks checksums but nothing more.
func (p *Packet) RewriteSrc(a *Addr, port uint16, d Delta) {
	p.rewrite(0, a, port, d)
}

// RewriteDst is RewriteSrc for the destination.
func (p *Packet) RewriteDst(a *Addr, port uint16, d Delta) {
	p.rewrite(1, a, port, d)
}

// rewrite is both: side 0 is the source, 1 the destination.
func (p *Packet) rewrite(side int, a *Addr, port uint16, d Delta) {
	switch p.Version {
	case 4:
		h := p.Store[p.L3 : p.L3+20]
		*(*[4]byte)(h[12+4*side:]) = [4]byte(a[12:])
		adjust(h[10:12], d.Addr)
	case 6:
		h := p.Store[p.L3 : p.L3+40]
		*(*Addr)(h[8+16*side:]) = *a
	}
	if p.HasL4 {
		p.rewriteL4(side, port, d)
	}
}

func (p *Packet) rewriteL4(side int, port uint16, d Delta) {
	switch p.Proto {
	case TCP, UDP:
		binary.BigEndian.PutUint16(p.Store[p.L4+2*side:], port)
		if side == 0 {
			p.SrcPort = port
		} else {
			p.DstPort = port
		}
		p.adjustL4(d)
	case ICMP, ICMPv6:
		if p.Proto == ICMP {
			d.Addr = 0 // ICMP over IPv4 has no pseudo-header
		}
		if p.IsICMPQuery() {
			binary.BigEndian.PutUint16(p.Store[p.L4+4:], port)
			p.SrcPort, p.DstPort = port, port
		} else {
			d.Port = 0
		}
		p.adjustL4(d)
	}
}

// adjustL4 applies d to the L4 checksum, if it is there: d.Addr is what changed
// in the pseudo-header, d.Port what changed in L4 itself.
func (p *Packet) adjustL4(d Delta) {
	if p.l4sum == 0 {
		return
	}
	field := p.Store[p.l4sum : p.l4sum+2]
	if p.Offload.NeedsCsum {
		// Not yet a checksum: the bare sum of the pseudo-header. Whoever
		// completes it sums the ports then.
		binary.BigEndian.PutUint16(field, add16(binary.BigEndian.Uint16(field), d.Addr))
		return
	}
	if p.Proto == UDP && binary.BigEndian.Uint16(field) == 0 {
		return // the sender made none (RFC 768, RFC 6935), and so do we
	}
	adjust(field, add16(d.Addr, d.Port))
	if p.Proto == UDP && binary.BigEndian.Uint16(field) == 0 {
		binary.BigEndian.PutUint16(field, 0xffff)
	}
}

// DecTTL takes one from the TTL or hop limit, unless it is 0 already.
func (p *Packet) DecTTL() {
	switch p.Version {
	case 4:
		h := p.Store[p.L3 : p.L3+20]
		if h[8] > 0 {
			h[8]--
			adjust(h[10:12], sub16(0, 0x0100))
		}
	case 6:
		if h := p.Store[p.L3 : p.L3+40]; h[7] > 0 {
			h[7]--
		}
	}
}

// SetTOS replaces the type of service or the traffic class.
func (p *Packet) SetTOS(tos uint8) {
	switch p.Version {
	case 4:
		h := p.Store[p.L3 : p.L3+20]
		adjust(h[10:12], sub16(uint16(tos), uint16(h[1])))
		h[1] = tos
	case 6:
		h := p.Store[p.L3 : p.L3+40]
		w := binary.BigEndian.Uint16(h)
		binary.BigEndian.PutUint16(h, w&0xf00f|uint16(tos)<<4)
	}
}
