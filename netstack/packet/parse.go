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
	b := p.Store[p.Start:p.End]
	p.L3 = p.Start
	var ether uint16
	l3 := 0
	if link == LinkEthernet {
		if len(b) < 14 {
			return Truncated
		}
		ether, l3 = binary.BigEndian.Uint16(b[12:]), 14
		if ether == EtherVLAN || ether == EtherQinQ {
			if ether, l3 = skipTags(b); l3 == 0 {
				return Truncated
			}
			p.VLAN = true
		}
	} else {
		if len(b) == 0 {
			return Truncated
		}
		// Without an EtherType the first nibble is all that tells.
		switch b[0] >> 4 {
		case 4:
			ether = EtherIPv4
		case 6:
			ether = EtherIPv6
		default:
			return BadVersion
		}
	}
	p.EtherType, p.L3 = ether, p.Start+l3
	switch ether {
	case EtherIPv4:
		return p.parse4(b[l3:], p.Start+l3)
	case EtherIPv6:
		return p.parse6(b[l3:], p.Start+l3)
	}
	p.L4, p.Payload, p.L3End = p.L3, p.L3, p.End
	return OK
}

// forget clears what an earlier Parse found.
func (p *Packet) forget(link Link) {
	p.Link, p.VLAN, p.EtherType = link, false, 0
	p.Version, p.Proto, p.Flags = 0, 0, 0
	p.Frag, p.MoreFrags, p.HasL4 = false, false, false
	p.FragOffset, p.FragLen, p.FragID = 0, 0, 0
	p.SrcPort, p.DstPort, p.l4sum = 0, 0, 0
	p.L3, p.L4, p.Payload, p.L3End = 0, 0, 0, 0
}

// skipTags steps over one or two VLAN tags of the frame b, which has one, and
// returns the EtherType behind them and the length of all; 0 if b ends before.
// What stands behind a second tag is the EtherType, even if it is a third.
func skipTags(b []byte) (ether uint16, length int) {
	ether, length = binary.BigEndian.Uint16(b[12:]), 14
	for length < 22 && (ether == EtherVLAN || ether == EtherQinQ) {
		if len(b) < length+4 {
			return 0, 0
		}
		ether = binary.BigEndian.Uint16(b[length+2:])
		length += 4
	}
	return ether, length
}

// parseL4 proves the L4 header at the start of b, which is what an unfragmented
// packet or a first fragment has from index l4 on. Upper protocols that weir
// does not look into are OK.
func (p *Packet) parseL4(b []byte, l4 int, proto uint8) Reason {
	switch proto {
	case TCP:
		if len(b) < 20 {
			return p.cutOff(Truncated)
		}
		header := int(b[12]>>4) * 4
		if header < 20 {
			return BadHeaderLength
		}
		if header > len(b) {
			return p.cutOff(BadHeaderLength)
		}
		p.Flags = b[13]
		p.Payload = l4 + header
		p.l4sum = l4 + 16
		p.ports(b)
	case UDP:
		if len(b) < 8 {
			return p.cutOff(Truncated)
		}
		if !p.udpLengthOK(int(binary.BigEndian.Uint16(b[4:])), len(b)) {
			return BadTotalLength
		}
		p.Payload = l4 + 8
		p.l4sum = l4 + 6
		p.ports(b)
	case ICMP, ICMPv6:
		if (proto == ICMP) != (p.Version == 4) {
			break
		}
		if len(b) < 8 {
			return p.cutOff(Truncated)
		}
		p.icmpHeader(b, l4)
	}
	if p.Offload.pending() {
		return p.checkOffload()
	}
	return OK
}

// cutOff is the reason for a header that goes on behind the packet's end:
// whole, or TinyFragment where a first fragment should have held it.
func (p *Packet) cutOff(whole Reason) Reason {
	if p.Frag {
		return TinyFragment
	}
	return whole
}

func (p *Packet) ports(b []byte) {
	both := binary.BigEndian.Uint32(b)
	p.SrcPort, p.DstPort = uint16(both>>16), uint16(both)
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

// icmpHeader sets what b, an ICMP or ICMPv6 message at index l4, begins with.
func (p *Packet) icmpHeader(b []byte, l4 int) {
	p.Payload = l4 + 8
	p.l4sum = l4 + 2
	p.HasL4 = true
	if isQuery(p.Version, b[0]) {
		id := binary.BigEndian.Uint16(b[4:])
		p.SrcPort, p.DstPort = id, id
	}
}

// pending reports whether there is work left to do.
func (o *Offload) pending() bool { return o.NeedsCsum || o.GSO != GSONone }

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
