package tunnel

import (
	"encoding/binary"

	"weir/netstack/packet"
)

// flagDF is DF in the fragment word of an IPv4 header.
const flagDF = 0x4000

// Push puts p into the tunnel: p must be parsed and is then the outer packet, a
// raw IP packet and parsed. The Ethernet header and padding are cut off; the
// packet inside keeps its place in Store and every byte of it, but for a
// partial checksum, which is completed first unless the Config keeps it. ToS or
// traffic class is copied outside, ECN with it (RFC 6040 4.1, normal mode).
//
// flowHash spreads flows over paths: it becomes the UDP source port and the
// IPv6 flow label, so it must be the same for all packets of a flow.
//
// Any reason but OK leaves p as it was: TooBig if IP cannot count that far,
// TunnelLoop if the far end itself is the source, Rewriting if p is no IP
// packet, has no headroom, or is a super-packet that cannot go in whole: see
// PushSegments.
func (e *Encap) Push(p *packet.Packet, flowHash uint32) packet.Reason {
	if r := e.admit(p); r != packet.OK {
		return r
	}
	var offload packet.Offload
	if e.config.KeepOffload {
		offload = p.Offload
		offload.DataValid = false
	} else {
		p.Complete()
	}
	h := &e.heads[headOf(p.Version)]
	b := p.Store[p.L3-e.size : p.L3]
	length := p.L3End - p.L3 + e.size
	copy(b, h.b[:])
	if e.ipLen == ip4Len {
		e.finish4(b, h, p, length)
	} else {
		finish6(b, p.TOS(), length, flowHash)
	}
	p.Offload = packet.Offload{}
	if e.config.Type.UDP() {
		e.finishUDP(b[e.ipLen:], h, p, length-e.ipLen, flowHash)
	}
	p.Start, p.End = p.L3-e.size, p.L3End
	r := p.Parse(packet.LinkRaw)
	if e.config.KeepOffload {
		p.Offload = offload
	}
	return r
}

// admit judges what cannot go into the tunnel.
func (e *Encap) admit(p *packet.Packet) packet.Reason {
	switch {
	case p.Version == 0 || p.L3 < e.size:
		return packet.Rewriting
	case p.Offload.GSO != packet.GSONone && !e.keepsGSO():
		return packet.Rewriting
	case p.L3End-p.L3 > e.largest():
		return packet.TooBig
	case e.isFarEnd(p):
		return packet.TunnelLoop
	}
	return packet.OK
}

func (e *Encap) keepsGSO() bool { return e.config.KeepOffload && e.config.Type.UDP() }

// largest is the size of the largest packet that the outer header's length
// field can hold, in bytes.
func (e *Encap) largest() int {
	if e.ipLen == ip4Len {
		return 0xffff - e.size
	}
	return 0xffff + ip6Len - e.size // payload length does not count the header
}

// isFarEnd reports whether p comes from where the tunnel goes to.
func (e *Encap) isFarEnd(p *packet.Packet) bool {
	h := p.Store[p.L3:]
	switch {
	case p.Version == 4 && e.ipLen == ip4Len:
		return [4]byte(h[12:16]) == [4]byte(e.dst[12:])
	case p.Version == 6 && e.ipLen == ip6Len:
		return [16]byte(h[8:24]) == e.dst
	}
	return false
}

// finish4 writes what the prepared IPv4 header at the start of b leaves open.
func (e *Encap) finish4(b []byte, h *head, p *packet.Packet, length int) {
	var id, frag uint16
	tos := p.TOS()
	if p.DF() && !e.config.MayFragment {
		frag = flagDF // and id 0: nobody will look at it (RFC 6864 4.1)
	} else {
		n := uint32(p.Segments())
		id = uint16(e.id.Add(n) - n)
	}
	b[1] = tos
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], frag)
	acc := h.sum + uint64(tos) + uint64(length) + uint64(id) + uint64(frag)
	binary.BigEndian.PutUint16(b[10:], ^fold(acc))
}

// finish6 does the same for IPv6. The flow label is from the half of the hash
// that the source port is not (RFC 6438 3).
func finish6(b []byte, tos uint8, length int, flowHash uint32) {
	binary.BigEndian.PutUint32(b, 6<<28|uint32(tos)<<20|flowHash>>12)
	binary.BigEndian.PutUint16(b[4:], uint16(length-ip6Len))
}

// finishUDP writes what the prepared UDP header at the start of b leaves open.
// Over IPv4 there is no checksum (RFC 7348 5, GUE 5.7); over IPv6, whose header
// has none either, it is left partial for the device.
func (e *Encap) finishUDP(b []byte, h *head, p *packet.Packet, length int, flowHash uint32) {
	binary.BigEndian.PutUint16(b, sourcePort(flowHash))
	binary.BigEndian.PutUint16(b[4:], uint16(length))
	if e.ipLen == ip4Len || e.config.ZeroChecksum6 {
		return
	}
	binary.BigEndian.PutUint16(b[6:], fold(h.sum+uint64(length)))
	p.Offload = packet.Offload{
		NeedsCsum: true,
		CsumStart: uint16(p.L3 - e.size + e.ipLen), CsumOffset: 6,
	}
}

// sourcePort is one of the dynamic ports 49152 to 65535 (RFC 7348 5).
func sourcePort(flowHash uint32) uint16 { return 0xc000 | uint16(flowHash) }

// PushSegments gives emit what p becomes in the tunnel: p itself if it can go
// in whole, else the segments of the super-packet that it is, each in scratch
// and valid until emit returns. The reason is that of the first one that could
// not go in, after which none is emitted. scratch's Store must not overlap
// p's; it is made anew only if it is too small.
func (e *Encap) PushSegments(p, scratch *packet.Packet, flowHash uint32, emit func(*packet.Packet)) packet.Reason {
	if p.Offload.GSO == packet.GSONone || e.keepsGSO() && p.L3End-p.L3 <= e.largest() {
		r := e.Push(p, flowHash)
		if r == packet.OK {
			emit(p)
		}
		return r
	}
	r := packet.OK
	packet.Segment(p, scratch, func(s *packet.Packet) {
		if r != packet.OK {
			return
		}
		if r = e.Push(s, flowHash); r == packet.OK {
			emit(s)
		}
	})
	return r
}
