package tunnel

import (
	"encoding/binary"

	"weir/netstack/packet"
)

// The smallest MTUs that IP lets a link have (RFC 791 3.2, RFC 8200 5), and
// the smallest path MTU that is believed of an ICMP error.
const (
	minMTU4     = 68
	minMTU6     = 1280
	minPathMTU4 = 576
)

// Overhead is the number of bytes that Push puts in front of an IP packet.
func (e *Encap) Overhead() int { return e.size }

// InnerMTU is the largest packet of an IP version, in bytes, that goes through
// the tunnel unfragmented where the path to the far end carries pathMTU bytes.
// It is the MTU to answer in a packet-too-big. It is never below what the
// version lets a link have, so that for a path that small the outer packet has
// to be fragmented (RFC 2473 7.1).
func (e *Encap) InnerMTU(version uint8, pathMTU int) int {
	if version == 6 {
		return max(pathMTU-e.size, minMTU6)
	}
	return max(pathMTU-e.size, minMTU4)
}

// MSS is the largest TCP segment, in bytes without options (RFC 9293 3.7.1),
// of an IP version that goes through the tunnel unfragmented.
func (e *Encap) MSS(version uint8, pathMTU int) uint16 {
	mtu := min(e.InnerMTU(version, pathMTU), 0xffff)
	if version == 6 {
		return uint16(mtu - ip6Len - 20)
	}
	return uint16(mtu - ip4Len - 20)
}

// Fits reports whether p, not yet in the tunnel, goes through it unfragmented:
// a super-packet does if its segments do.
func (e *Encap) Fits(p *packet.Packet, pathMTU int) bool {
	n := p.IPLen()
	if p.Offload.GSO != packet.GSONone {
		n = min(n, p.Payload-p.L3+int(p.Offload.GSOSize))
	}
	return n+e.size <= pathMTU
}

// Sent reports whether p, any parsed packet, is an ICMP error about a packet
// that e may have made: the quote is of the tunnel's addresses, protocol and
// port. It need not quote more than 8 bytes behind the outer IP header.
func (e *Encap) Sent(p *packet.Packet) bool {
	if !p.IsICMPError() {
		return false
	}
	q := p.PayloadBytes()
	if len(q) < e.ipLen+8 {
		return false
	}
	var proto uint8
	if e.ipLen == ip4Len {
		// weir sends no options, and only a first fragment shows ports.
		if p.Version != 4 || q[0] != 0x45 || binary.BigEndian.Uint16(q[6:])&0x1fff != 0 ||
			[4]byte(q[12:]) != [4]byte(e.src[12:]) || [4]byte(q[16:]) != [4]byte(e.dst[12:]) {
			return false
		}
		proto, q = q[9], q[ip4Len:]
	} else {
		if p.Version != 6 || q[0]>>4 != 6 || [16]byte(q[8:]) != e.src || [16]byte(q[24:]) != e.dst {
			return false
		}
		proto, q = q[6], q[ip6Len:]
		if proto == packet.FRAGMENT {
			if binary.BigEndian.Uint16(q[2:])&^7 != 0 || len(q) < fragmentLen+4 {
				return false
			}
			proto, q = q[0], q[fragmentLen:]
		}
	}
	if proto != e.proto[0] && proto != e.proto[1] {
		return false
	}
	return !e.config.Type.UDP() || binary.BigEndian.Uint16(q[2:]) == e.config.Port
}

// ReportedMTU is the path MTU, in bytes, that an ICMP fragmentation-needed or
// packet-too-big reports; false of any other packet. Values that no path should
// have, such as the 0 of routers before RFC 1191, are raised to 576 (IPv4) and
// 1280 (IPv6).
func ReportedMTU(p *packet.Packet) (mtu int, ok bool) {
	switch {
	case p.Version == 4 && p.IsICMPError() && p.ICMPType() == 3 && p.ICMPCode() == 4:
		return max(int(p.ICMPRest()&0xffff), minPathMTU4), true
	case p.Version == 6 && p.IsICMPError() && p.ICMPType() == 2:
		return int(min(max(p.ICMPRest(), minMTU6), 0xffff)), true
	}
	return 0, false
}
