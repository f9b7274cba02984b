package netstack

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// port is a device with what the stack needs to know of it, and its NIC in
// gVisor.
type port struct {
	id           packet.PortID
	name         string
	dev          device.Device
	link         packet.Link
	mac          packet.MAC
	mtu          int
	sharedThread bool
	addresses    []netip.Prefix // as configured, and the link-local one
	nic          nic
	stats        *portStats
	// host is the port that speaks IP on this port's link: itself, or the
	// bridge's. It alone has a NIC in gVisor and is in Stack.links.
	host   *port
	bridge *bridge // of a bridge's own port, else nil
}

func newPort(id packet.PortID, c PortConfig) *port {
	p := &port{
		id: id, name: c.Name, dev: c.Device, link: c.Device.Link(), mac: c.Device.MAC(),
		mtu: c.Device.MTU(), sharedThread: c.SharedThread, addresses: c.Addresses, stats: new(portStats),
	}
	p.host = p
	if p.link == packet.LinkEthernet {
		p.addresses = append(p.addresses[:len(p.addresses):len(p.addresses)], linkLocal(p.mac))
	}
	p.nic.port = p
	return p
}

func (p *port) nicID() tcpip.NICID { return tcpip.NICID(p.id) + 1 }

// hop is how a packet leaves by p towards mac.
func (p *port) hop(mac packet.MAC) packet.Hop {
	if p.bridge != nil {
		return p.bridge.hop(mac)
	}
	if p.link == packet.LinkRaw {
		return packet.Hop{Port: p.id, Link: packet.LinkRaw, MTU: uint16(p.mtu)}
	}
	return packet.Hop{Port: p.id, Link: p.link, MTU: uint16(p.mtu), Src: p.mac, Dst: mac}
}

// source is the address that p speaks from towards dst: the one in dst's
// network, else the first of dst's family and scope, else none.
func (p *port) source(dst netip.Addr) netip.Addr {
	var first netip.Addr
	for _, a := range p.addresses {
		if a.Addr().Is4() != dst.Is4() || a.Addr().IsLinkLocalUnicast() != dst.IsLinkLocalUnicast() {
			continue
		}
		if a.Contains(dst) {
			return a.Addr()
		}
		if !first.IsValid() {
			first = a.Addr()
		}
	}
	return first
}

// isBroadcast reports whether dst is the broadcast address of one of p's IPv4
// networks.
func (p *port) isBroadcast(dst netip.Addr) bool {
	for _, a := range p.addresses {
		if a.Addr().Is4() && a.Bits() <= 30 && dst == lastOf(a) {
			return true
		}
	}
	return false
}

// broadcastsOf are the broadcast addresses of all ports' networks.
func broadcastsOf(ports []*port) (list []packet.Addr) {
	for _, p := range ports {
		for _, a := range p.addresses {
			if a.Addr().Is4() && a.Bits() <= 30 {
				list = append(list, packet.AddrFrom(lastOf(a)))
			}
		}
	}
	return list
}

// fromBroadcast reports whether p claims to come from a broadcast address of
// one of our links: nobody sends from it, and an answer would go to everybody
// there (RFC 1122 3.2.1.3, 3.2.2).
func (s *Stack) fromBroadcast(p *packet.Packet) bool {
	src := p.SrcAddr()
	for i := range s.broadcasts {
		if s.broadcasts[i] == src {
			return true
		}
	}
	return false
}

// lastOf is the highest address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// linkLocal is the address of RFC 4291 appendix A, which every Ethernet
// interface has: neighbours may ask from theirs, and gateways be named by it.
func linkLocal(m packet.MAC) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5],
	}), 64)
}
