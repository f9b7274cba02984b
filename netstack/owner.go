package netstack

import (
	"fmt"
	"maps"
	"net/netip"

	"weir/netstack/packet"
)

// ownerTable says which addresses are ours, and whose: a port's, or NoPort for
// a VIP, which every port has. It is immutable, and replaced when VIPs change.
type ownerTable map[packet.Addr]packet.PortID

func ownersOf(ports []*port) *ownerTable {
	t := ownerTable{}
	for _, p := range ports {
		for _, a := range p.addresses {
			t[packet.AddrFrom(a.Addr())] = p.id
		}
	}
	return &t
}

func (s *Stack) owner(a packet.Addr) (packet.PortID, bool) {
	at, ok := (*s.owners.Load())[a]
	return at, ok
}

// Local reports whether addr is an address of a port or a VIP.
func (s *Stack) Local(addr netip.Addr) bool {
	_, ok := s.owner(packet.AddrFrom(addr))
	return ok
}

// AddVIP makes addr an address of every port: answered to in ARP, neighbour
// discovery and ICMP echo, usable by Listen and as Dial's local address, but
// never chosen as a source. An address that is a VIP already stays one.
func (s *Stack) AddVIP(addr netip.Addr) error {
	if !addr.IsValid() || addr.Is4In6() || addr.IsMulticast() || addr.IsUnspecified() || addr.IsLoopback() ||
		addr.IsLinkLocalUnicast() || addr == broadcast4 {
		return fmt.Errorf("netstack: VIP %s: no host can have this address; choose another", addr)
	}
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	key := packet.AddrFrom(addr)
	if at, taken := s.owner(key); taken {
		if at == packet.NoPort {
			return nil
		}
		return fmt.Errorf("netstack: VIP %s: it is port %s's own address; choose another", addr, s.links[at].name)
	}
	for i, p := range s.links {
		if err := addVIP(s.host, p, addr); err != nil {
			for _, q := range s.links[:i] {
				_ = removeVIP(s.host, q, addr)
			}
			return err
		}
	}
	s.replaceOwners(func(t ownerTable) { t[key] = packet.NoPort })
	return nil
}

// RemoveVIP takes back what AddVIP did. Connections to it end by their own
// timeouts. An address that is no VIP is an error.
func (s *Stack) RemoveVIP(addr netip.Addr) error {
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	key := packet.AddrFrom(addr)
	if at, taken := s.owner(key); !taken || at != packet.NoPort {
		return fmt.Errorf("netstack: VIP %s: there is none with this address; nothing to remove", addr)
	}
	s.replaceOwners(func(t ownerTable) { delete(t, key) })
	for _, p := range s.links {
		if err := removeVIP(s.host, p, addr); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) replaceOwners(change func(ownerTable)) {
	t := maps.Clone(*s.owners.Load())
	change(t)
	s.owners.Store(&t)
	s.generation.Add(1)
}
