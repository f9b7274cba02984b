package tunnel

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"weir/netstack/packet"
)

// Lengths of headers, in bytes.
const (
	ip4Len      = 20
	ip6Len      = 40
	udpLen      = 8
	greLen      = 4
	gueLen      = 4
	vxlanLen    = 8
	etherLen    = 14
	maxOverhead = ip6Len + udpLen + vxlanLen + etherLen
)

// Encap is one direction of one tunnel: everything of the outer headers that
// does not depend on the packet, prepared. It may be used by any number of
// goroutines. Several services with one real server should share one, since
// outer IPv4 identifications are unique within it.
type Encap struct {
	config   Config
	size     int // bytes that are put in front
	ipLen    int // of the outer IP header
	proto    [2]uint8
	src, dst packet.Addr
	heads    [2]head // around IPv4, around IPv6

	// id is the last identification given to an outer packet that may be
	// fragmented: the only thing here that changes (RFC 6864 4.2).
	id atomic.Uint32
}

// head is the outer headers around one IP version.
type head struct {
	b [maxOverhead]byte
	// sum is of what never changes: the IPv4 header, or IPv6's pseudo-header
	// for UDP.
	sum uint64
}

// New prepares the headers of a tunnel. The error is one line and names the
// field that cannot be.
func New(c Config) (*Encap, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("tunnel: %w", err)
	}
	e := &Encap{config: c, ipLen: ip4Len, src: packet.AddrFrom(c.Src), dst: packet.AddrFrom(c.Dst)}
	if c.Src.Is6() {
		e.ipLen = ip6Len
	}
	e.size = e.ipLen
	switch c.Type {
	case GRE:
		e.size += greLen
	case GUE:
		e.size += udpLen + gueLen
	case VXLAN:
		e.size += udpLen + vxlanLen + etherLen
	}
	e.prepare(&e.heads[0], packet.IPIP, packet.EtherIPv4)
	e.prepare(&e.heads[1], packet.IPv6, packet.EtherIPv6)
	return e, nil
}

// Config is what e was made of, with the defaults filled in.
func (e *Encap) Config() Config { return e.config }

// headOf is the index of the head around an IP version.
func headOf(version uint8) int { return int(version>>1) & 1 }

// prepare writes the head around packets that IP calls proto and everybody
// else etherType.
func (e *Encap) prepare(h *head, proto uint8, etherType uint16) {
	c := &e.config
	shim := h.b[e.ipLen:]
	outer := proto
	switch c.Type {
	case GRE:
		outer = packet.GRE
		binary.BigEndian.PutUint16(shim[2:], etherType)
	case GUE:
		outer = packet.UDP
		shim[udpLen+1] = proto
	case VXLAN:
		outer = packet.UDP
		vxlan := shim[udpLen:]
		binary.BigEndian.PutUint32(vxlan, vxlanValid<<24)
		binary.BigEndian.PutUint32(vxlan[4:], c.VNI<<8)
		copy(vxlan[vxlanLen:], c.InnerDstMAC[:])
		copy(vxlan[vxlanLen+6:], c.InnerSrcMAC[:])
		binary.BigEndian.PutUint16(vxlan[vxlanLen+12:], etherType)
	}
	if c.Type.UDP() {
		binary.BigEndian.PutUint16(shim[2:], c.Port)
	}
	e.proto[headOf(versionOf(proto))] = outer
	if e.ipLen == ip4Len {
		e.prepare4(h, outer)
	} else {
		e.prepare6(h, outer)
	}
}

// versionOf is the IP version of what follows a header that calls it proto.
func versionOf(proto uint8) uint8 {
	if proto == packet.IPIP {
		return 4
	}
	return 6
}

func (e *Encap) prepare4(h *head, proto uint8) {
	b := h.b[:ip4Len]
	b[0], b[8], b[9] = 0x45, e.config.TTL, proto
	copy(b[12:], e.src[12:])
	copy(b[16:], e.dst[12:])
	h.sum = sum(b)
}

func (e *Encap) prepare6(h *head, proto uint8) {
	b := h.b[:ip6Len]
	b[0], b[6], b[7] = 0x60, proto, e.config.TTL
	copy(b[8:], e.src[:])
	copy(b[24:], e.dst[:])
	h.sum = sum(b[8:]) + packet.UDP
}
