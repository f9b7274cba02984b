package netstack

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"weir/netstack/packet"
)

// fate is what became of a message about the link.
type fate uint8

const (
	overheard fate = iota // others may want to hear it too
	answered              // it asked for an address of ours
	theft                 // it claims an address of ours
	dropped               // of no use to us, and addressed to nobody else
)

// arp reads an ARP message for the neighbour table, and lets gVisor answer
// requests for what is ours on this port. Requests for an address of another
// port are not answered: it is on another link.
func (w *worker) arp(now time.Duration, in *port, p *packet.Packet) fate {
	a, ok := p.ARP()
	if !ok {
		return w.unread(now, in, p, packet.UnknownEther)
	}
	forUs := a.Op == packet.ARPRequest && w.s.answersFor(a.Target, in)
	if !w.claim(now, in, p, a.Sender, a.SenderMAC, a.Op == packet.ARPReply, forUs) {
		return theft
	}
	if !forUs {
		return overheard
	}
	in.host.nic.inject(header.ARPProtocolNumber, kindOf(p), p.Store[p.L3:p.L3End])
	return answered
}

// isDiscovery reports whether p is one of IPv6's messages about the link. They
// are not the hook's: like ARP, they are how frames find their way to it.
func isDiscovery(p *packet.Packet) bool {
	if p.Proto != packet.ICMPv6 || !p.HasL4 || p.Frag {
		return false
	}
	t := p.ICMPType()
	return t >= packet.RouterSolicit && t <= packet.NeighbourAdvert
}

// ndp is arp for IPv6. Router discovery is read by nobody: addresses and
// routes are configured.
func (w *worker) ndp(now time.Duration, in *port, p *packet.Packet) fate {
	n, ok := p.NDP()
	if !ok {
		r := packet.NotForwarding
		if t := p.ICMPType(); t == packet.NeighbourSolicit || t == packet.NeighbourAdvert {
			r = packet.Martian
		}
		return w.unread(now, in, p, r)
	}
	who, solicited := p.Src(), false
	if n.Type == packet.NeighbourAdvert {
		who, solicited = n.Target, n.Solicited
		if n.Link.IsZero() {
			n.Link = p.SrcMAC() // an answer to a unicast question may leave it out
		}
	}
	forUs := n.Type == packet.NeighbourSolicit && w.s.answersFor(n.Target, in)
	if !n.Link.IsZero() && !w.claim(now, in, p, who, n.Link, solicited, forUs) {
		return theft
	}
	if !forUs {
		return overheard
	}
	w.s.inject(in.host, kindOf(p), p)
	return answered
}

// unread ends a message that no neighbour table can use, for r, unless others
// behind a bridge may have a use for it.
func (w *worker) unread(now time.Duration, in *port, p *packet.Packet, r packet.Reason) fate {
	if w.s.bridge != nil && p.DstMAC() != in.mac {
		return overheard
	}
	w.drop(now, in, p, packet.Dropped(r))
	return dropped
}

// claim hears that mac has the address who; false if that is an address of
// ours and mac is not. answer and forUs as in neighbours.heard: an answer must
// have come to us alone, and only who is on this link is worth an entry. What a
// station says of another's MAC is not believed.
func (w *worker) claim(now time.Duration, in *port, p *packet.Packet, who netip.Addr, mac packet.MAC, answer, forUs bool) bool {
	if who.IsUnspecified() || who.IsMulticast() {
		return true // asks whether an address is free, and has none yet
	}
	key := neighbourKey{addr: packet.AddrFrom(who), port: in.host.id}
	if _, ours := w.s.owner(key.addr); ours {
		if !w.s.isOurs(mac) {
			w.s.spoofed(now, in, who, mac)
		}
		return false
	}
	if mac == p.SrcMAC() {
		w.s.heard(now, key, mac, answer && p.DstMAC() == in.mac, forUs && in.onLink(who))
	}
	return true
}

// answersFor reports whether a is an address that in answers for.
func (s *Stack) answersFor(a netip.Addr, in *port) bool {
	at, ours := s.owner(packet.AddrFrom(a))
	return ours && (at == packet.NoPort || at == in.host.id)
}

func (s *Stack) isOurs(mac packet.MAC) bool {
	for _, p := range s.links {
		if p.mac == mac && p.link == packet.LinkEthernet {
			return true
		}
	}
	return false
}

func (p *port) onLink(a netip.Addr) bool {
	for _, own := range p.addresses {
		if own.Contains(a) {
			return true
		}
	}
	return false
}

func kindOf(p *packet.Packet) tcpip.PacketType {
	switch dst := p.DstMAC(); {
	case dst == packet.Broadcast:
		return tcpip.PacketBroadcast
	case dst.IsMulticast():
		return tcpip.PacketMulticast
	}
	return tcpip.PacketHost
}
