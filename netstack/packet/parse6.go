package packet

import "encoding/binary"

// maxExtensions is how many IPv6 extension headers are walked. RFC 8504 5.3
// lets a node set such a limit; real chains have one or two.
const maxExtensions = 8

// parse6 proves the IPv6 packet at the start of b, which lies at index l3.
func (p *Packet) parse6(b []byte, l3 int) Reason {
	if len(b) < 40 {
		return Truncated
	}
	if b[0]>>4 != 6 {
		return BadVersion
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length == 0 && p.Offload.GSO != GSONone {
		length = len(b) - 40 // a super-packet need not say its length
	}
	if length > len(b)-40 {
		return BadTotalLength
	}
	p.Version, p.Proto = 6, b[6]
	end := l3 + 40 + length
	p.L4, p.Payload, p.L3End = l3+40, l3+40, end
	if p.Proto != TCP && p.Proto != UDP && p.Proto != ICMPv6 {
		c, r := p.walk()
		if r == OK && p.Frag {
			// What is counted is the reassembled packet's payload length: the
			// fragment header is no part of it (RFC 8200 4.5).
			r = p.checkFragment(l3+40+8, c.fragment)
		}
		if r != OK || p.FragOffset != 0 {
			return r
		}
		if c.waypoint {
			if p.Offload.pending() {
				return BadOffload
			}
			return OK
		}
	}
	return p.parseL4(p.Store[p.L4:end], p.L4, p.Proto)
}

// chain is what walk has met on its way.
type chain struct {
	// waypoint: a routing header with segments left. The L4 checksum is made
	// for another destination than the header's (RFC 8200 8.1), so whoever
	// rewrites must leave L4 alone.
	waypoint bool
	fragment int // where the fragmented part begins, if Frag
}

// walk moves L4 and Proto over the extension headers, up to the end of the
// chain or of what a later fragment shows of it.
func (p *Packet) walk() (c chain, r Reason) {
	fragmented := false
	for n := 0; isExtension(p.Proto) && p.FragOffset == 0; n++ {
		// Hop-by-hop options stand first or nowhere (RFC 8200 4.1). A fragment
		// is not fragmented again (4.5), so a second header of that kind lies.
		if n == maxExtensions || p.Proto == HOPOPTS && n > 0 || p.Proto == FRAGMENT && fragmented {
			return c, ExtensionChain
		}
		b := p.Store[p.L4:p.L3End]
		if len(b) < 8 {
			return c, p.cutOff(Truncated)
		}
		size := int(b[1])*8 + 8
		switch p.Proto {
		case AH:
			size = int(b[1])*4 + 8
		case FRAGMENT:
			size = 8
			fragmented = true
			c.fragment = p.L4 + 8
			p.fragment6(b)
		case ROUTING:
			if b[2] == 0 {
				return c, RoutingHeader
			}
			c.waypoint = c.waypoint || b[3] != 0
		}
		if size > len(b) {
			return c, p.cutOff(Truncated)
		}
		p.Proto = b[0]
		p.L4 += size
		p.Payload = p.L4
	}
	return c, OK
}

func isExtension(proto uint8) bool {
	switch proto {
	case HOPOPTS, ROUTING, FRAGMENT, DSTOPTS, AH:
		return true
	}
	return false
}

// fragment6 takes over what the fragment header b says. An atomic fragment is
// a whole packet and treated as one (RFC 6946).
func (p *Packet) fragment6(b []byte) {
	word := binary.BigEndian.Uint16(b[2:])
	if word&0xfff9 == 0 {
		return
	}
	p.Frag = true
	p.MoreFrags = word&1 != 0
	p.FragOffset = word &^ 7
	p.FragID = binary.BigEndian.Uint32(b[4:])
}
