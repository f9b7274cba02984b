package packet

import (
	"encoding/binary"
	"net/netip"
)

// ARP operations (RFC 826).
const (
	ARPRequest = 1
	ARPReply   = 2
)

// arpSize is the length of an ARP message for IPv4 over Ethernet, in bytes.
const arpSize = 28

// ARP is an ARP message for IPv4 over Ethernet. A gratuitous one has equal
// Sender and Target.
type ARP struct {
	Op                   uint16
	SenderMAC, TargetMAC MAC
	Sender, Target       netip.Addr
}

// ARP is the ARP message in a parsed frame; not ok if it is none, is for other
// than IPv4 over Ethernet, is cut short, or if its sender cannot be a station.
// Whether the sender is also the frame's source is for the table to judge:
// clusters that hide their MAC from the switch have reasons to differ.
func (p *Packet) ARP() (a ARP, ok bool) {
	if p.EtherType != EtherARP || p.Version != 0 || p.L3End-p.L3 < arpSize {
		return ARP{}, false
	}
	b := p.Store[p.L3 : p.L3+arpSize]
	if binary.BigEndian.Uint64(b)>>16 != 0x0001_0800_0604 {
		return ARP{}, false
	}
	a.Op = binary.BigEndian.Uint16(b[6:])
	a.SenderMAC = MAC(b[8:])
	a.Sender = netip.AddrFrom4([4]byte(b[14:]))
	a.TargetMAC = MAC(b[18:])
	a.Target = netip.AddrFrom4([4]byte(b[24:]))
	if a.Op != ARPRequest && a.Op != ARPReply || a.SenderMAC.IsZero() || a.SenderMAC.IsMulticast() ||
		a.Sender.IsMulticast() || a.Sender == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return ARP{}, false
	}
	return a, true
}

// BuildARP makes out the Ethernet frame, parsed, of message a from a.SenderMAC
// to dst. false if an address is not IPv4.
func BuildARP(out *Packet, a *ARP, dst MAC) bool {
	if !a.Sender.Is4() || !a.Target.Is4() {
		return false
	}
	out.begin(arpSize)
	out.L3 = out.Start
	b := out.Bytes()
	binary.BigEndian.PutUint64(b, 0x0001_0800_0604<<16|uint64(a.Op))
	copy(b[8:], a.SenderMAC[:])
	copy(b[14:], a.Sender.AsSlice())
	copy(b[18:], a.TargetMAC[:])
	copy(b[24:], a.Target.AsSlice())
	out.ether(a.SenderMAC, dst, EtherARP)
	return out.Parse(LinkEthernet) == OK
}
