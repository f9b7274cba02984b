package hostile

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Protocol numbers.
const (
	hopByHop, icmp4, igmp, ipip, tcp, udp = 0, 1, 2, 4, 6, 17
	ipv6, routing, fragment, gre, esp, ah = 41, 43, 44, 47, 50, 51
	icmp6, noNext, destOpts, pim, sctp    = 58, 59, 60, 103, 132
)

// TCP flags.
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
	urg
)

// header is an IP header of either family; the zero value of a field is what an
// honest one has.
type header struct {
	src, dst netip.Addr // the attacker's, the VIP's
	proto    uint8
	ttl      uint8  // 64
	id, frag uint16 // IPv4
	options  []byte // IPv4, padded to words

	version  int // what the first byte says
	ihl      int // words
	badSum   bool
	length   int // of the length field
	noLength bool
}

// packet puts the header in front of a payload.
func (k *kit) packet(h header, payload []byte) []byte {
	if !h.src.IsValid() {
		h.src = k.stage.Src[k.six]
	}
	if !h.dst.IsValid() {
		h.dst = k.stage.VIP[k.six]
	}
	if h.ttl == 0 {
		h.ttl = 64
	}
	if k.six == 1 {
		return h.packet6(payload)
	}
	return h.packet4(payload)
}

func (h *header) packet4(payload []byte) []byte {
	for len(h.options)%4 != 0 {
		h.options = append(h.options, 0)
	}
	b := make([]byte, 20, 20+len(h.options)+len(payload))
	b[0] = byte(or(h.version, 4)<<4 | orWords(h.ihl, 5+len(h.options)/4))
	b = append(b, h.options...)
	size := len(b)
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[2:], uint16(h.size(len(b))))
	binary.BigEndian.PutUint16(b[4:], h.id)
	binary.BigEndian.PutUint16(b[6:], h.frag)
	b[8], b[9] = h.ttl, h.proto
	copy(b[12:], h.src.AsSlice())
	copy(b[16:], h.dst.AsSlice())
	sum := ^checksum(b[:size], 0)
	if h.badSum {
		sum ^= 0x1234
	}
	binary.BigEndian.PutUint16(b[10:], sum)
	return b
}

func (h *header) packet6(payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0] = byte(or(h.version, 6) << 4)
	binary.BigEndian.PutUint16(b[4:], uint16(h.size(len(payload))))
	b[6], b[7] = h.proto, h.ttl
	src, dst := h.src.As16(), h.dst.As16()
	copy(b[8:], src[:])
	copy(b[24:], dst[:])
	return append(b, payload...)
}

func (h *header) size(honest int) int {
	if h.noLength {
		return 0
	}
	return or(h.length, honest)
}

func or(v, honest int) int {
	if v == 0 {
		return honest
	}
	return v
}

// orWords takes -1 as a header length of 0.
func orWords(v, honest int) int {
	if v < 0 {
		return 0
	}
	return or(v, honest)
}

// checksum is the ones'-complement sum of b's words and acc, folded.
func checksum(b []byte, acc uint32) uint16 {
	for ; len(b) > 1; b = b[2:] {
		acc += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// sealed is l4 with its checksum, for the addresses of h; other than 0.
func (k *kit) sealed(h header, l4 []byte) []byte {
	at := map[uint8]int{tcp: 16, udp: 6, icmp4: 2, icmp6: 2}[h.proto]
	l4[at], l4[at+1] = 0, 0
	var acc uint32
	if h.proto != icmp4 {
		src, dst := h.src, h.dst
		if !src.IsValid() {
			src = k.stage.Src[k.six]
		}
		if !dst.IsValid() {
			dst = k.stage.VIP[k.six]
		}
		pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, h.proto})
		acc = uint32(checksum(pseudo, uint32(len(l4))))
	}
	sum := ^checksum(l4, acc)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[at:], sum)
	return l4
}

// segment is a TCP segment from a port to a port, without its checksum.
func segment(from, to uint16, flags uint8, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	b[4] = 1 // sequence number
	b[12], b[13] = 5<<4, flags
	b[14] = 0xff // window
	return append(b, payload...)
}

// datagram is a UDP datagram, without its checksum.
func datagram(from, to uint16, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return append(b, payload...)
}

// syn is a sealed SYN to the TCP service, with a mark.
func (k *kit) syn(h header, port uint16) []byte {
	h.proto = tcp
	return k.sealed(h, segment(port, k.stage.TCP, syn, k.mark()))
}

// ask is a sealed datagram to the UDP service, with a mark.
func (k *kit) ask(h header, port uint16) []byte {
	h.proto = udp
	return k.sealed(h, datagram(port, k.stage.UDP, k.mark()))
}

// icmpProto is ICMP's number in the family whose turn it is.
func (k *kit) icmpProto() uint8 { return [2]uint8{icmp4, icmp6}[k.six] }

// message is a sealed ICMP message.
func (k *kit) message(h header, kind, code uint8, rest uint32, body []byte) []byte {
	h.proto = k.icmpProto()
	b := []byte{kind, code, 0, 0}
	b = binary.BigEndian.AppendUint32(b, rest)
	return k.sealed(h, append(b, body...))
}

// option is an IPv6 extension header of 8 bytes, which holds padding.
func option(next uint8) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }

// piece is a fragment of the family whose turn it is: bytes of a payload, of
// proto, from an offset on.
func (k *kit) piece(proto uint8, id uint32, offset int, more bool, b []byte) []byte {
	word := uint16(offset)
	if k.six == 0 {
		word /= 8
		if more {
			word |= 0x2000
		}
		return k.packet(header{proto: proto, id: uint16(id), frag: word}, b)
	}
	if more {
		word |= 1
	}
	h := []byte{proto, 0}
	h = binary.BigEndian.AppendUint16(h, word)
	h = binary.BigEndian.AppendUint32(h, id)
	return k.packet(header{proto: fragment}, append(h, b...))
}

// fill is n bytes that begin with the next frame's mark.
func (k *kit) fill(n int) []byte {
	b := k.mark()
	for len(b) < n {
		b = append(b, byte(len(b)))
	}
	return b[:n]
}
