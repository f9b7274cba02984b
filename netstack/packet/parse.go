package packet

import "encoding/binary"

// Parse finds what is in the frame Store[Start:End] and proves every length in
// it: OK, or the one reason why the frame must be dropped. It is total: any
// bytes are an argument. Frames that carry no IP are OK with Version 0.
//
// After OK every accessor and every rewrite is safe. After a reason they are
// safe as well and see no more than had been proven until then, so that a
// dropped packet can still be shown.
//
// Offload must be set before. An IP frame whose Offload does not describe it
// is BadOffload: were it believed, a rewrite would mend the wrong field.
func (p *Packet) Parse(link Link) Reason {
	p.forget(link)
	if uint(p.End) > uint(len(p.Store)) || uint(p.Start) > uint(p.End) {
		p.Start, p.End = 0, 0
		return Truncated
	}
	p.L3, p.L4, p.Payload, p.L3End = p.Start, p.Start, p.Start, p.End
	if link == LinkRaw {
		return p.parseRaw()
	}
	b := p.Store[p.Start:p.End]
	if len(b) < 14 {
		return Truncated
	}
	p.L3 += 14
	p.EtherType = binary.BigEndian.Uint16(b[12:])
	if p.EtherType == EtherVLAN || p.EtherType == EtherQinQ {
		if !p.skipTags() {
			return Truncated
		}
	}
	switch p.EtherType {
	case EtherIPv4:
		return p.parse4()
	case EtherIPv6:
		return p.parse6()
	}
	p.L4, p.Payload = p.L3, p.L3
	return OK
}

// forget clears what an earlier Parse found.
func (p *Packet) forget(link Link) {
	p.Link, p.VLAN, p.EtherType = link, false, 0
	p.Version, p.Proto, p.Flags = 0, 0, 0
	p.Frag, p.MoreFrags, p.HasL4 = false, false, false
	p.FragOffset, p.SrcPort, p.DstPort = 0, 0, 0
	p.FragID, p.l4sum = 0, 0
	p.L3, p.L4, p.Payload, p.L3End = 0, 0, 0, 0
}

// parseRaw tells the IP version by the first byte: there is no EtherType.
func (p *Packet) parseRaw() Reason {
	if p.Start == p.End {
		return Truncated
	}
	switch p.Store[p.Start] >> 4 {
	case 4:
		p.EtherType = EtherIPv4
		return p.parse4()
	case 6:
		p.EtherType = EtherIPv6
		return p.parse6()
	}
	return BadVersion
}

// skipTags steps over one or two VLAN tags; false if the frame ends in one.
// What stands behind a second tag is the EtherType, even if it is a third.
func (p *Packet) skipTags() bool {
	for range 2 {
		if p.EtherType != EtherVLAN && p.EtherType != EtherQinQ {
			break
		}
		if p.End-p.L3 < 4 {
			return false
		}
		p.VLAN = true
		p.EtherType = binary.BigEndian.Uint16(p.Store[p.L3+2:])
		p.L3 += 4
	}
	return true
}

// parseL4 proves the header at L4 of an unfragmented packet or of a first
// fragment, up to L3End. Upper protocols that weir does not look into are OK.
func (p *Packet) parseL4() Reason {
	b := p.Store[p.L4:p.L3End]
	switch p.Proto {
	case TCP:
		if len(b) < 20 {
			return p.short()
		}
		header := int(b[12]>>4) * 4
		if header < 20 {
			return BadHeaderLength
		}
		if header > len(b) {
			if p.Frag {
				return TinyFragment
			}
			return BadHeaderLength
		}
		p.Flags = b[13]
		p.Payload = p.L4 + header
		p.l4sum = p.L4 + 16
		p.ports(b)
	case UDP:
		if len(b) < 8 {
			return p.short()
		}
		if !p.udpLengthOK(int(binary.BigEndian.Uint16(b[4:])), len(b)) {
			return BadTotalLength
		}
		p.Payload = p.L4 + 8
		p.l4sum = p.L4 + 6
		p.ports(b)
	case ICMP, ICMPv6:
		if (p.Proto == ICMP) != (p.Version == 4) {
			break
		}
		if len(b) < 8 {
			return p.short()
		}
		p.icmpHeader(b)
	}
	if p.Offload.NeedsCsum || p.Offload.GSO != GSONone {
		return p.checkOffload()
	}
	return OK
}

// short is the reason for an L4 header that its packet cuts off.
func (p *Packet) short() Reason {
	if p.Frag {
		return TinyFragment
	}
	return Truncated
}

func (p *Packet) ports(b []byte) {
	p.SrcPort = binary.BigEndian.Uint16(b)
	p.DstPort = binary.BigEndian.Uint16(b[2:])
	p.HasL4 = true
}

// udpLengthOK judges a UDP length field against the bytes that are there. A
// first fragment's speaks of the whole datagram. A super-packet's may be that
// of the whole, of one datagram, or 0: segmentation writes it anew. Bytes
// behind the datagram are allowed: UDP options live there (RFC 9868).
func (p *Packet) udpLengthOK(length, have int) bool {
	switch {
	case p.Offload.GSO == GSOUDP:
		return true
	case p.Frag:
		return length >= 8
	}
	return length >= 8 && length <= have
}

// icmpHeader sets what b, the first 8 bytes of an ICMP or ICMPv6 message, says.
func (p *Packet) icmpHeader(b []byte) {
	p.Payload = p.L4 + 8
	p.l4sum = p.L4 + 2
	p.HasL4 = true
	if p.IsICMPQuery() {
		id := binary.BigEndian.Uint16(b[4:])
		p.SrcPort, p.DstPort = id, id
	}
}

// checkOffload holds the vnet header's word against the packet.
func (p *Packet) checkOffload() Reason {
	o := &p.Offload
	if !p.HasL4 || p.Frag || !o.NeedsCsum ||
		int(o.CsumStart) != p.L4 || int(o.CsumStart)+int(o.CsumOffset) != p.l4sum {
		return BadOffload
	}
	var ok bool
	switch o.GSO {
	case GSONone:
		return OK
	case GSOTCP4:
		ok = p.Proto == TCP && p.Version == 4
	case GSOTCP6:
		ok = p.Proto == TCP && p.Version == 6
	case GSOUDP:
		ok = p.Proto == UDP
	}
	if !ok || o.GSOSize == 0 {
		return BadOffload
	}
	return OK
}
