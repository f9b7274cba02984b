package endpoint

import (
	"bytes"
	"encoding/binary"

	"weir/netstack/packet"
)

// tcpSum and udpSum are the offsets of the checksum in its header.
const (
	tcpSum = 16
	udpSum = 6
)

// pseudo is the uncomplemented sum of p's pseudo-header: what stands in the
// checksum field of a packet whose checksum was left to hardware.
func pseudo(p *packet.Packet) uint16 {
	addrs := p.Store[p.L3+12 : p.L3+20]
	if p.Version == 6 {
		addrs = p.Store[p.L3+8 : p.L3+40]
	}
	return fold(words(addrs) + uint32(p.L3End-p.L4) + uint32(p.Proto))
}

// sumAt is the index of p's L4 checksum field; 0 if there is none to look at.
func sumAt(p *packet.Packet) int {
	switch {
	case p.Frag || !p.HasL4:
	case p.Proto == packet.TCP:
		return p.L4 + tcpSum
	case p.Proto == packet.UDP:
		return p.L4 + udpSum
	}
	return 0
}

// unfinished sees whether the kernel has handed over work of its own: raw
// sockets have no vnet header to say so. A packet that never was on a wire, or
// that GRO has put together from others, has a partial checksum, and is told by
// it. One in 65,536 complete checksums looks the same, and does no harm: the
// kernel believes it instead of computing it again.
func unfinished(p *packet.Packet, mtu int) bool {
	at := sumAt(p)
	if at == 0 || binary.BigEndian.Uint16(p.Store[at:]) != pseudo(p) {
		return false
	}
	p.Offload = packet.Offload{NeedsCsum: true, CsumStart: uint16(p.L4), CsumOffset: uint16(at - p.L4)}
	if p.Proto == packet.TCP && p.IPLen() > mtu {
		p.Offload.GSO = gsoOf(p)
		// The true size is lost. TCP only estimates its peer's segments by it.
		p.Offload.GSOSize = uint16(mtu - (p.Payload - p.L3))
	}
	return true
}

func gsoOf(p *packet.Packet) packet.GSO {
	if p.Version == 6 {
		return packet.GSOTCP6
	}
	return packet.GSOTCP4
}

// gro puts consecutive TCP segments of one flow together, so that the kernel's
// stack is walked through once for many. It is as strict as the kernel's own:
// nothing may differ but what differs between two segments of one write, and
// every checksum is verified first, since nobody can do it afterwards.
//
// The packets that it is given must stay as they are until flush.
type gro struct {
	deliver func(*packet.Packet)
	first   *packet.Packet // which others are added to; nil: none
	count   int            // of packets in first
	next    uint32         // sequence number that comes next
	size    int            // of first's own payload, in bytes
	full    bool           // the last one was shorter or pushed: no more
}

// mayFollow are the flags that a segment in the middle of a stream may have.
const mayFollow = packet.ACK | packet.PSH

// add delivers p, now or with others.
func (g *gro) add(p *packet.Packet) {
	if g.first != nil {
		if g.join(p) {
			return
		}
		g.flush()
	}
	if !starts(p) {
		g.deliver(p)
		return
	}
	g.first, g.count, g.full = p, 1, p.Flags&packet.PSH != 0
	g.size = p.L3End - p.Payload
	g.next = p.Seq() + uint32(g.size)
}

// starts reports whether p may be the first of many.
func starts(p *packet.Packet) bool {
	return p.Proto == packet.TCP && p.HasL4 && !p.Frag && !p.Offload.NeedsCsum &&
		p.Flags&^mayFollow == 0 && p.Flags&packet.ACK != 0 && p.L3End > p.Payload &&
		p.L4-p.L3 == headerLen(p)
}

// headerLen is the length of an IP header without options or extensions.
func headerLen(p *packet.Packet) int {
	if p.Version == 6 {
		return ip6Len
	}
	return ip4Len
}

// join adds p to first if it is what comes next.
func (g *gro) join(p *packet.Packet) bool {
	f := g.first
	size := p.L3End - p.Payload
	switch {
	case g.full || !starts(p) || p.Version != f.Version || size > g.size:
		return false
	case p.Seq() != g.next || !sameHeaders(f, p):
		return false
	case f.L3End-f.L3+size > 0xffff || f.L3End+size > len(f.Store):
		return false
	case g.count == 1 && !verified(f), !verified(p):
		return false // a wrong one goes alone, for the kernel to refuse
	}
	copy(f.Store[f.L3End:], p.PayloadBytes())
	f.L3End += size
	f.End = f.L3End
	f.Store[f.L4+13] |= p.Flags
	g.next += uint32(size)
	g.count++
	g.full = size < g.size || p.Flags&packet.PSH != 0
	return true
}

// sameHeaders compares all but lengths, IPv4 id and checksums, and in TCP the
// sequence number, PSH and checksum. Options must be the same to the byte,
// timestamps too.
func sameHeaders(a, b *packet.Packet) bool {
	x, y := a.Store[a.L3:a.Payload], b.Store[b.L3:b.Payload]
	if len(x) != len(y) {
		return false
	}
	n := ip4Len
	if a.Version == 6 {
		n = ip6Len
		if !bytes.Equal(x[:4], y[:4]) || !bytes.Equal(x[6:n], y[6:n]) {
			return false
		}
	} else if x[1] != y[1] || !bytes.Equal(x[6:10], y[6:10]) || !bytes.Equal(x[12:n], y[12:n]) {
		return false
	}
	x, y = x[n:], y[n:]
	return bytes.Equal(x[:4], y[:4]) && bytes.Equal(x[8:13], y[8:13]) &&
		bytes.Equal(x[14:tcpSum], y[14:tcpSum]) && bytes.Equal(x[18:], y[18:])
}

// verified computes p's TCP checksum and compares. p is unchanged.
func verified(p *packet.Packet) bool {
	field := p.Store[p.L4+tcpSum : p.L4+tcpSum+2]
	was := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, pseudo(p))
	p.Offload = packet.Offload{NeedsCsum: true, CsumStart: uint16(p.L4), CsumOffset: tcpSum}
	p.Complete()
	is := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, was)
	return is == was
}

// flush delivers what was put together. It is one super-packet, whose checksum
// the kernel takes for granted.
func (g *gro) flush() {
	f := g.first
	if f == nil {
		return
	}
	g.first = nil
	if g.count > 1 {
		setLength(f)
		binary.BigEndian.PutUint16(f.Store[f.L4+tcpSum:], pseudo(f))
		f.Offload = packet.Offload{
			NeedsCsum: true, CsumStart: uint16(f.L4), CsumOffset: tcpSum,
			GSO: gsoOf(f), GSOSize: uint16(g.size),
		}
	}
	g.deliver(f)
}

// setLength makes p's IP header say the length that p has.
func setLength(p *packet.Packet) {
	h := p.Store[p.L3:]
	if p.Version == 6 {
		binary.BigEndian.PutUint16(h[4:], uint16(p.L3End-p.L3-ip6Len))
		return
	}
	binary.BigEndian.PutUint16(h[2:], uint16(p.L3End-p.L3))
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^fold(words(h[:ip4Len])))
}
