package netstack

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"weir/netstack/packet"
)

var (
	broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	allHosts4  = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	allNodes6  = netip.MustParseAddr("ff02::1")
)

// pass is the fate of packets that the hook has nothing to say about: they are
// for us, in transit, or nobody's business.
func (w *worker) pass(now time.Duration, in *port, p *packet.Packet) {
	if b := w.s.bridge; b != nil && p.DstMAC() != b.link.mac {
		w.cross(now, in, p)
		if p.DstMAC().IsMulticast() && in.isGroup(p) && in.listensTo(p.Dst()) && w.s.suspicious(p) == packet.OK {
			w.deliver(in.host, p)
		}
		return
	}
	at, r := w.s.local(in, p)
	switch {
	case r != packet.OK:
		w.drop(now, in, p, packet.Dropped(r))
	case at != nil:
		w.deliver(at, p)
	default:
		w.forward(now, in, p)
	}
}

// suspicious is the reason not to believe p's source, or OK.
func (s *Stack) suspicious(p *packet.Packet) packet.Reason {
	if r := p.Martian(); r != packet.OK {
		return r
	}
	if _, ours := s.owner(p.SrcAddr()); ours {
		return packet.SpoofedSource
	}
	if p.IsRedirect() {
		return packet.ICMPRedirect
	}
	return packet.OK
}

// nicOf is the port whose NIC owns an address: gVisor's hosts are strong and
// accept an address on its own NIC only. A VIP is on all of them.
func (s *Stack) nicOf(at packet.PortID, in *port) *port {
	if at == packet.NoPort {
		return in.host
	}
	return s.links[at]
}

// listensTo reports whether a group is one that a plain host is member of.
func (in *port) listensTo(group netip.Addr) bool {
	return !group.IsMulticast() || group == allHosts4 || group == allNodes6
}

// deliver gives p to gVisor as one that came in by at.
func (w *worker) deliver(at *port, p *packet.Packet) {
	kind := tcpip.PacketHost
	if dst := p.Dst(); at.isGroup(p) {
		kind = tcpip.PacketBroadcast
		if dst.IsMulticast() {
			kind = tcpip.PacketMulticast
		}
	}
	if p.Offload.GSO == packet.GSOUDP {
		packet.Segment(p, &w.part, func(datagram *packet.Packet) { w.s.inject(at, kind, datagram) })
		return
	}
	if p.Offload.NeedsCsum {
		p.Complete()
	}
	w.s.inject(at, kind, p)
}

// inject hands over one packet. gVisor verifies the L4 checksum, copies the
// bytes, and answers what is to be answered before it returns.
func (s *Stack) inject(at *port, kind tcpip.PacketType, p *packet.Packet) {
	proto := header.IPv4ProtocolNumber
	if p.Version == 6 {
		proto = header.IPv6ProtocolNumber
	}
	s.stats.delivered.Add(1)
	at.nic.inject(proto, kind, p.Store[p.L3:p.L3End])
}
