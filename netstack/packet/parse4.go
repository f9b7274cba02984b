package packet

import "encoding/binary"

// IPv4 options (RFC 791 3.1) that Parse knows by name.
const (
	optEnd         = 0
	optNop         = 1
	optLooseRoute  = 131
	optStrictRoute = 137
)

// parse4 proves the IPv4 packet at the start of b, which lies at index l3.
func (p *Packet) parse4(b []byte, l3 int) Reason {
	if len(b) < 20 {
		return Truncated
	}
	if b[0]>>4 != 4 {
		return BadVersion
	}
	ihl := int(b[0]&15) * 4
	if ihl < 20 || ihl > len(b) {
		return BadHeaderLength
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 && p.Offload.GSO != GSONone {
		total = len(b) // a super-packet need not say its length
	}
	if total < ihl || total > len(b) {
		return BadTotalLength
	}
	p.Version, p.Proto = 4, b[9]
	p.L4, p.Payload, p.L3End = l3+ihl, l3+ihl, l3+total
	if ihl > 20 {
		if r := checkLongHeader(b[:ihl]); r != OK {
			return r
		}
	} else if !header20OK((*[20]byte)(b)) {
		return BadIPChecksum
	}
	if frag := binary.BigEndian.Uint16(b[6:]); frag&0x3fff != 0 {
		p.fragment4(frag, binary.BigEndian.Uint16(b[4:]))
		if r := p.checkFragment(l3, l3+ihl); r != OK || p.FragOffset != 0 {
			return r
		}
	}
	return p.parseL4(b[ihl:total], l3+ihl, b[9])
}

// fragment4 takes over what the header's fragment word and id say.
func (p *Packet) fragment4(word, id uint16) {
	p.Frag = true
	p.MoreFrags = word&flagMF != 0
	p.FragOffset = word << 3
	p.FragID = uint32(id)
}

// checkFragment judges a fragment's place in its datagram. The fragmented part
// begins at begin; counted is where the length that must stay below 65,536
// begins to be counted.
func (p *Packet) checkFragment(counted, begin int) Reason {
	size := p.L3End - begin
	p.FragLen = uint16(size)
	if p.MoreFrags && size%8 != 0 || size == 0 {
		return BadFragment
	}
	if begin-counted+int(p.FragOffset)+size > 0xffff {
		return BadFragment
	}
	// A TCP fragment at offset 8 exists only to overwrite the flags of a first
	// fragment that has passed a filter (RFC 1858 3.2.2, RFC 3128).
	if p.FragOffset == 8 && p.Proto == TCP {
		return TinyFragment
	}
	if p.FragOffset != 0 && p.Offload.pending() {
		return BadOffload
	}
	return OK
}

// checkLongHeader judges an IPv4 header with options.
func checkLongHeader(h []byte) Reason {
	if fold(sum(h, 0)) != 0xffff {
		return BadIPChecksum
	}
	return checkOptions(h[20:])
}

// checkOptions walks the options area of an IPv4 header. Source routes are
// refused (RFC 7126 4.3, 4.4), every other well-formed option is kept.
func checkOptions(b []byte) Reason {
	for len(b) > 0 {
		switch b[0] {
		case optEnd:
			return OK
		case optNop:
			b = b[1:]
			continue
		case optLooseRoute, optStrictRoute:
			return SourceRoute
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return BadOption
		}
		b = b[b[1]:]
	}
	return OK
}
