package netstack

import (
	"net/netip"
	"time"

	"weir/netstack/packet"
)

// solicit sends one question of the neighbour table: to everybody, or, to see
// whether a neighbour is still there, to its MAC.
func (s *Stack) solicit(now time.Duration, q solicit) {
	out := s.links[q.key.port]
	target := q.key.addr.Netip()
	src := s.solicitSource(out, target)
	if !src.IsValid() {
		return // no address to be answered to: the questions run out unsent
	}
	w := s.worker()
	defer s.retire(w)
	p := &w.frame
	if target.Is4() {
		dst := packet.Broadcast
		if !q.to.IsZero() {
			dst = q.to
		}
		a := packet.ARP{Op: packet.ARPRequest, SenderMAC: out.mac, Sender: src, Target: target}
		if !packet.BuildARP(p, &a, dst) {
			return
		}
	} else {
		if !packet.BuildNS(p, out.mac, src, target) {
			return
		}
		if !q.to.IsZero() {
			p.SetMACs(out.mac, q.to)
		}
	}
	s.stats.solicits.Add(1)
	s.transmit(now, out, p)
}

// solicitSource is the address to ask for target from. A port that only has
// VIPs of the family asks as one of them.
func (s *Stack) solicitSource(out *port, target netip.Addr) netip.Addr {
	if src := out.source(target); src.IsValid() {
		return src
	}
	if target.Is6() {
		return linkLocal(out.mac).Addr()
	}
	for a, at := range *s.owners.Load() {
		if at == packet.NoPort && a.Is4() {
			return a.Netip()
		}
	}
	return netip.Addr{}
}

// spoofed counts and reports that mac claims an address of ours, and claims it
// back (RFC 5227 2.4 b): whoever believed mac is put right within the second.
func (s *Stack) spoofed(now time.Duration, in *port, addr netip.Addr, mac packet.MAC) {
	s.stats.spoofs.Add(1)
	s.quiet.Lock()
	defend := s.defences.take(now)
	s.quiet.Unlock()
	if !defend {
		return
	}
	s.log.Warn("another station claims an address of ours", "port", in.name, "address", addr, "mac", mac)
	if s.answersFor(addr, in) {
		s.announce(now, in.host, addr)
	}
}

// Announce tells every station on the links of addr that it is here: by
// gratuitous ARP, or an unsolicited neighbour advertisement. addr must be a VIP
// or an address of a port; nothing is said on LinkRaw.
func (s *Stack) Announce(addr netip.Addr) {
	at, ours := s.owner(packet.AddrFrom(addr))
	if !ours {
		return
	}
	now := s.clock()
	for _, p := range s.links {
		if p.link == packet.LinkEthernet && (at == packet.NoPort || at == p.id) {
			s.announce(now, p, addr)
		}
	}
}

func (s *Stack) announce(now time.Duration, out *port, addr netip.Addr) {
	w := s.worker()
	defer s.retire(w)
	p := &w.frame
	built := false
	if addr.Is4() {
		// A request, which RFC 5227 3 prefers to a reply.
		a := packet.ARP{Op: packet.ARPRequest, SenderMAC: out.mac, Sender: addr, Target: addr}
		built = packet.BuildARP(p, &a, packet.Broadcast)
	} else {
		n := packet.NDP{Override: true, Router: s.forwarding, Target: addr, Link: out.mac}
		built = packet.BuildNA(p, &n, packet.GroupMAC(allNodes6), addr, allNodes6)
	}
	if built {
		s.transmit(now, out, p)
	}
}
