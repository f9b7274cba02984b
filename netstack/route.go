package netstack

import (
	"fmt"
	"net/netip"
	"slices"

	"weir/netstack/packet"
)

// hopRoute is one row of the route table: where destinations in prefix go.
type hopRoute struct {
	prefix netip.Prefix
	via    netip.Addr // zero: the destination is itself on the link
	port   packet.PortID
}

// next is the address whose MAC is needed to reach dst.
func (r hopRoute) next(dst netip.Addr) netip.Addr {
	if r.via.IsValid() {
		return r.via
	}
	return dst
}

// routeTable is immutable. A family's rows stand longest prefix first, so that
// the first match is the best one; appliances have tens of routes, and a scan
// of those beats a trie.
type routeTable struct{ v4, v6 []hopRoute }

func (t *routeTable) lookup(dst netip.Addr) (hopRoute, bool) {
	rows := t.v6
	if dst.Is4() {
		rows = t.v4
	}
	for i := range rows {
		if rows[i].prefix.Contains(dst) {
			return rows[i], true
		}
	}
	return hopRoute{}, false
}

func (t *routeTable) rows() []hopRoute { return slices.Concat(t.v4, t.v6) }

func (t *routeTable) insert(r hopRoute) {
	rows := &t.v6
	if r.prefix.Addr().Is4() {
		rows = &t.v4
	}
	at, _ := slices.BinarySearchFunc(*rows, r, func(a, b hopRoute) int {
		if d := b.prefix.Bits() - a.prefix.Bits(); d != 0 {
			return d
		}
		return -1 // behind its equals: the first one configured wins
	})
	*rows = slices.Insert(*rows, at, r)
}

// onLink finds the only port that has addr in one of its prefixes.
func (t *routeTable) onLink(addr netip.Addr) (packet.PortID, bool) {
	r, ok := t.lookup(addr)
	return r.port, ok && !r.via.IsValid()
}

// buildRoutes makes the table of the ports' own prefixes and the configured
// routes, and refuses what could never carry a packet.
func buildRoutes(ports []PortConfig, routes []Route) (*routeTable, error) {
	t := &routeTable{}
	for i, p := range ports {
		for _, a := range p.Addresses {
			r := hopRoute{prefix: a.Masked(), port: packet.PortID(i)}
			if other, taken := t.exact(r.prefix); taken {
				if other.port == r.port {
					continue
				}
				return nil, fmt.Errorf("netstack: port %s: network %s is on port %s too; a network can be on one port only",
					p.Name, r.prefix, ports[other.port].Name)
			}
			t.insert(r)
		}
	}
	connected := &routeTable{v4: slices.Clone(t.v4), v6: slices.Clone(t.v6)}
	for _, c := range routes {
		r, err := connected.resolve(ports, c)
		if err != nil {
			return nil, err
		}
		if _, taken := t.exact(r.prefix); taken {
			return nil, fmt.Errorf("netstack: route to %s: there is one already; remove one of the two", r.prefix)
		}
		t.insert(r)
	}
	t.addOnlyWay(ports)
	return t, nil
}

// addOnlyWay routes everything to a TUN that is the only port: it has no
// network of its own, and nothing could go anywhere else.
func (t *routeTable) addOnlyWay(ports []PortConfig) {
	if len(ports) != 1 || ports[0].Device.Link() != packet.LinkRaw {
		return
	}
	for _, all := range []netip.Prefix{
		netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	} {
		if _, taken := t.exact(all); !taken {
			t.insert(hopRoute{prefix: all})
		}
	}
}

// resolve turns a configured route into a row, finding the gateway's port
// among the connected prefixes in t.
func (t *routeTable) resolve(ports []PortConfig, c Route) (hopRoute, error) {
	if !c.To.IsValid() {
		return hopRoute{}, fmt.Errorf("netstack: route via %s: it has no destination; give it one, such as 0.0.0.0/0", c.Via)
	}
	r := hopRoute{prefix: c.To.Masked(), via: c.Via.WithZone(""), port: packet.NoPort}
	if c.Via.IsValid() && c.Via.Is4() != c.To.Addr().Is4() {
		return r, fmt.Errorf("netstack: route to %s: gateway %s is of the other IP version", c.To, c.Via)
	}
	if c.Port != "" {
		i := slices.IndexFunc(ports, func(p PortConfig) bool { return p.Name == c.Port })
		if i < 0 {
			return r, fmt.Errorf("netstack: route to %s: there is no port %q; name one of the configured ports", c.To, c.Port)
		}
		r.port = packet.PortID(i)
	}
	if !c.Via.IsValid() {
		if c.Port == "" {
			return r, fmt.Errorf("netstack: route to %s: it has neither gateway nor port; give it one of them", c.To)
		}
		return r, nil
	}
	if r.port != packet.NoPort {
		raw := ports[r.port].Device.Link() == packet.LinkRaw
		at, ok := t.onLink(r.via)
		if !raw && !c.Via.IsLinkLocalUnicast() && (!ok || at != r.port) {
			return r, fmt.Errorf("netstack: route to %s: gateway %s is in no network of port %s; correct one of the two",
				c.To, c.Via, c.Port)
		}
		return r, nil
	}
	at, ok := t.onLink(r.via)
	if !ok {
		return r, fmt.Errorf("netstack: route to %s: gateway %s is in no port's network; correct it or name the port",
			c.To, c.Via)
	}
	r.port = at
	return r, nil
}

func (t *routeTable) exact(p netip.Prefix) (hopRoute, bool) {
	for _, r := range t.rows() {
		if r.prefix == p {
			return r, true
		}
	}
	return hopRoute{}, false
}
