// Package packet holds one frame and what is known about it.
//
// Parse proves every length once; afterwards no accessor looks at a length
// again and none can panic, whatever the bytes were. Rewrites happen in place, keep every
// checksum by incremental update (RFC 1624, equation 3) and never make a wrong
// checksum right. Nothing in this package allocates on the way of a packet.
package packet

import (
	"fmt"
	"strconv"
	"strings"
)

// Headroom is the space, in bytes, that a device leaves free in front of the
// frame it reads: enough for a vnet header, a new Ethernet header and the
// largest encapsulation (outer IPv6 + UDP + VXLAN + inner Ethernet).
const Headroom = 128

// MaxFrame is the largest frame, in bytes, that Store must be able to hold
// behind the headroom: the largest IP packet behind an Ethernet header and two
// tags.
const MaxFrame = 65535 + 14 + 2*4

// MaxMTU is the largest MTU of a link, in bytes: what leaves an Ethernet header
// room in the 65,535 bytes that the kernel's devices carry.
const MaxMTU = 65535 - 14

// PortID names a port of the appliance: its index in configuration order.
type PortID uint8

// NoPort is the PortID of no port. There are as many ports at most: 0 to 254.
const NoPort PortID = 255

// Link says what stands in front of the IP header.
type Link uint8

const (
	LinkRaw      Link = iota // nothing: a TUN
	LinkEthernet             // an Ethernet header: a TAP
)

// MAC is an IEEE 802 address.
type MAC [6]byte

// Broadcast is the MAC of every station of a segment.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsMulticast reports whether m is a group address; broadcast is one.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// IsZero reports whether m is all zeros: not an address of any station.
func (m MAC) IsZero() bool { return m == MAC{} }

// String is the colon form, aa:bb:cc:dd:ee:ff.
func (m MAC) String() string {
	b := make([]byte, 0, 17)
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		if x < 16 {
			b = append(b, '0')
		}
		b = strconv.AppendUint(b, uint64(x), 16)
	}
	return string(b)
}

// ParseMAC reads the colon form.
func ParseMAC(s string) (m MAC, err error) {
	parts := strings.Split(s, ":")
	if len(parts) != len(m) {
		return MAC{}, fmt.Errorf("MAC address %q: not six bytes with colons between", s)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) > 2 {
			return MAC{}, fmt.Errorf("MAC address %q: %q is no hexadecimal byte", s, part)
		}
		m[i] = byte(n)
	}
	return m, nil
}

// GSO is the kind of super-packet that a frame is, as in the vnet header.
type GSO uint8

const (
	GSONone GSO = iota
	GSOTCP4     // TCP over IPv4, segments of GSOSize payload bytes
	GSOTCP6     // TCP over IPv6
	GSOUDP      // UDP, datagrams of GSOSize payload bytes (USO)
)

// Offload is what travels beside the bytes of a frame: work on checksums and
// segmentation that the sender left to whoever puts the frame on a wire.
type Offload struct {
	// NeedsCsum: the L4 checksum field holds only the uncomplemented sum of
	// the pseudo-header; addresses are part of it, ports are not.
	NeedsCsum bool
	// DataValid: the device vouches for the L4 checksum.
	DataValid bool
	// ECN: segments after the first must not repeat CWR.
	ECN bool
	GSO GSO
	// GSOSize is the payload of each segment but the last, in bytes.
	GSOSize uint16
	// CsumStart is where summing begins, as an index into Store; CsumOffset is
	// where the result goes, counted from CsumStart.
	CsumStart, CsumOffset uint16
}

// Hop is how a packet leaves: the port, and what its link header must say.
type Hop struct {
	Port     PortID
	Link     Link
	MTU      uint16 // of the port: the largest IP packet, in bytes
	Src, Dst MAC    // zero on LinkRaw
}

// IP protocol numbers that weir looks into or at.
const (
	ICMP     = 1
	IPIP     = 4
	TCP      = 6
	UDP      = 17
	IPv6     = 41
	ROUTING  = 43
	FRAGMENT = 44
	GRE      = 47
	ESP      = 50
	AH       = 51
	ICMPv6   = 58
	NONEXT   = 59
	HOPOPTS  = 0
	DSTOPTS  = 60
)

// EtherTypes.
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherVLAN = 0x8100
	EtherQinQ = 0x88a8
	EtherIPv6 = 0x86dd
)

// TCP flag bits, as in the header's byte 13.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Packet is one frame in its storage, and after Parse the offsets of what is
// in it. It is reused from frame to frame; whoever keeps the bytes copies them.
//
// All offsets are indexes into Store. A field is meaningful only if the fields
// before it say that the thing is there: L4 only if Proto is TCP, UDP, ICMP or
// ICMPv6 and HasL4 reports true.
type Packet struct {
	Store      []byte // headroom, then the frame, then room
	Start, End int    // the frame is Store[Start:End]
	Offload    Offload

	Link      Link
	VLAN      bool   // one or two 802.1Q tags stand between MACs and IP
	EtherType uint16 // the innermost; on LinkRaw set from the IP version
	Version   uint8  // 4, 6, or 0: not IP
	Proto     uint8  // the upper protocol, IPv6 extension headers walked
	Flags     uint8  // TCP flags, else 0
	// Frag: the packet is a fragment (an IPv6 atomic fragment is not one);
	// MoreFrags and FragOffset (bytes) are its header's.
	Frag, MoreFrags bool
	FragOffset      uint16
	FragLen         uint16 // bytes of the datagram that this fragment carries
	FragID          uint32
	HasL4           bool   // the L4 header is there whole: ports, or ICMP's first 8 bytes
	L3, L4, Payload int    // starts of the IP header, of L4, of what L4 carries
	L3End           int    // end of the IP packet; Ethernet padding lies behind it
	SrcPort         uint16 // ICMP queries: the identifier, in both
	DstPort         uint16
	// l4sum is the index of the L4 checksum field, 0 where there is none: the
	// one place that knows where it lies and whether it is there at all.
	l4sum int
}

// Bytes is the whole frame.
func (p *Packet) Bytes() []byte { return p.Store[p.Start:p.End] }

// Reset makes p an empty frame over store with the usual headroom.
func (p *Packet) Reset(store []byte) {
	*p = Packet{Store: store, Start: Headroom, End: Headroom}
}

// Load copies a frame into p's storage behind the headroom, making storage if
// there is too little. What Parse had set is forgotten.
func (p *Packet) Load(frame []byte) {
	if len(p.Store) < Headroom+len(frame) {
		p.Store = make([]byte, Headroom+max(len(frame), 2048))
	}
	store := p.Store
	*p = Packet{Store: store, Start: Headroom, End: Headroom + len(frame)}
	copy(store[Headroom:], frame)
}
