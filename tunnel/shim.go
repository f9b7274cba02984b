package tunnel

import (
	"encoding/binary"

	"weir/netstack/packet"
)

// vxlanValid is the I flag, in the first byte of a VXLAN header: the VNI counts.
const vxlanValid = 0x08

// The first 16 bits of a GRE header (RFC 2784 2.1). Of the reserved bits, the
// first five are RFC 1701's and change what follows; the rest are ignored.
const (
	greChecksum = 0x8000
	greRefused  = 0x7c00
	greVersion  = 0x0007
)

// The first byte of a GUE header: variant, control message, length of
// extensions.
const (
	gueVariant = 0xc0
	gueControl = 0x20
	gueHlen    = 0x1f
)

// find proves the header that t puts between the outer IP header and the inner
// packet, and checksums that cover both.
func (d *Decap) find(p *packet.Packet, t Type) (inside, packet.Reason) {
	in := inside{start: p.L4, end: p.L3End}
	if t == IPIP {
		in.version = versionOf(p.Proto)
		return in, packet.OK
	}
	if t == GRE {
		return in, in.skipGRE(p.Store[in.start:in.end])
	}
	// Bytes behind the datagram are no part of what is in it (RFC 9868).
	in.end = in.start + int(binary.BigEndian.Uint16(p.Store[p.L4+4:]))
	if !checksumOK(p, in.end) {
		return in, packet.TunnelChecksum
	}
	in.start += udpLen
	b := p.Store[in.start:in.end]
	if t == GUE {
		return in, in.skipGUE(b)
	}
	return in, in.skipVXLAN(b, d.vni)
}

// skipGRE moves in behind the GRE header at the start of b.
func (in *inside) skipGRE(b []byte) packet.Reason {
	if len(b) < greLen {
		return packet.TunnelTruncated
	}
	flags := binary.BigEndian.Uint16(b)
	if flags&(greRefused|greVersion) != 0 || !in.etherType(binary.BigEndian.Uint16(b[2:])) {
		return packet.TunnelHeader
	}
	in.start += greLen
	if flags&greChecksum == 0 {
		return packet.OK
	}
	if len(b) < 2*greLen {
		return packet.TunnelTruncated
	}
	in.start += greLen
	if fold(sum(b)) != 0xffff {
		return packet.TunnelChecksum
	}
	return packet.OK
}

// skipGUE moves in behind the GUE header at the start of b. Variant 1 has none:
// the datagram is the IP packet, told by its first nibble. Extensions are not
// taken, since an unknown one may change what the rest means.
func (in *inside) skipGUE(b []byte) packet.Reason {
	if len(b) < gueLen {
		return packet.TunnelTruncated
	}
	switch {
	case b[0]&gueVariant == 0x40:
		if in.version = b[0] >> 4; in.version != 4 && in.version != 6 {
			return packet.TunnelHeader
		}
		return packet.OK
	case b[0]&(gueVariant|gueControl|gueHlen) != 0, b[2] != 0, b[3] != 0:
		return packet.TunnelHeader
	case b[1] != packet.IPIP && b[1] != packet.IPv6:
		return packet.TunnelHeader
	}
	in.version = versionOf(b[1])
	in.start += gueLen
	return packet.OK
}

// skipVXLAN moves in behind the VXLAN and the inner Ethernet header at the
// start of b. A tag inside is refused (RFC 7348 6.1), and so is a group MAC in
// front of one host's packet (RFC 1122 3.3.6).
func (in *inside) skipVXLAN(b []byte, vni uint32) packet.Reason {
	if len(b) < vxlanLen+etherLen {
		return packet.TunnelTruncated
	}
	ether := b[vxlanLen:]
	if b[0]&vxlanValid == 0 || binary.BigEndian.Uint32(b[4:])>>8 != vni ||
		packet.MAC(ether[:6]).IsMulticast() || !in.etherType(binary.BigEndian.Uint16(ether[12:])) {
		return packet.TunnelHeader
	}
	in.start += vxlanLen + etherLen
	return packet.OK
}

// etherType takes over the IP version of an EtherType; false if it has none.
func (in *inside) etherType(t uint16) bool {
	switch t {
	case packet.EtherIPv4:
		in.version = 4
	case packet.EtherIPv6:
		in.version = 6
	default:
		return false
	}
	return true
}

// checksumOK judges the outer UDP checksum of the datagram that ends at index
// end. None at all is good over either IP version: tunnels may do that (RFC
// 6935 5), and what is inside has checksums of its own. A partial one has never
// been on a wire.
func checksumOK(p *packet.Packet, end int) bool {
	datagram := p.Store[p.L4:end]
	if p.Offload.NeedsCsum || p.Offload.DataValid || datagram[6] == 0 && datagram[7] == 0 {
		return true
	}
	addrs := p.Store[p.L3+12 : p.L3+20]
	if p.Version == 6 {
		addrs = p.Store[p.L3+8 : p.L3+40]
	}
	return fold(sum(addrs)+sum(datagram)+uint64(len(datagram))+packet.UDP) == 0xffff
}
