package packet

import "encoding/binary"

// Martian judges the addresses of a packet that no flow knows: OK, Land where
// it claims to come from its own destination, Martian where an address cannot
// be on a wire (RFC 1122 3.2.1.3, RFC 6890 2.2.2, RFC 4291 2.5). The unspecified source is
// allowed towards a group or broadcast: DHCP and duplicate address detection
// begin like that.
func (p *Packet) Martian() Reason {
	switch p.Version {
	case 4:
		h := p.Store[p.L3 : p.L3+20]
		return martian4(binary.BigEndian.Uint32(h[12:]), binary.BigEndian.Uint32(h[16:]))
	case 6:
		h := p.Store[p.L3 : p.L3+40]
		return martian6((*[16]byte)(h[8:]), (*[16]byte)(h[24:]))
	}
	return OK
}

func martian4(src, dst uint32) Reason {
	group := dst>>28 == 0xe || dst == 0xffffffff
	switch {
	case src == 0 && group:
		return OK
	case src>>24 == 0, src>>24 == 127, src>>28 >= 0xe, // groups, and the reserved 240/4 with broadcast
		dst>>24 == 0, dst>>24 == 127, dst>>28 == 0xf && !group:
		return Martian
	case src == dst:
		return Land
	}
	return OK
}

func martian6(src, dst *[16]byte) Reason {
	if dst[0] == 0xff && dst[1]&15 <= 1 {
		return Martian // a group of no link: reserved or interface-local
	}
	if *src == [16]byte{} && dst[0] == 0xff {
		return OK
	}
	switch {
	case src[0] == 0xff, offWire6(src), offWire6(dst):
		return Martian
	case *src == *dst:
		return Land
	}
	return OK
}

// offWire6 is true of ::, ::1, and every address that embeds an IPv4 one in
// mapped or compatible form (RFC 4291 2.5.5, RFC 4942 2.2).
func offWire6(a *[16]byte) bool {
	if binary.BigEndian.Uint64(a[:]) != 0 {
		return false
	}
	middle := binary.BigEndian.Uint32(a[8:])
	return middle == 0 || middle == 0xffff
}
