package config

import "net/netip"

// prefixes finds the longest of many prefixes that holds an address.
type prefixes struct {
	all  map[netip.Prefix]owner
	bits [2][129]bool // lengths that occur, of IPv4 and IPv6
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// add notes a masked prefix; the first owner stays.
func (s *prefixes) add(p netip.Prefix, who owner) {
	if _, ok := s.all[p]; !ok {
		s.all[p] = who
	}
	s.bits[family(p.Addr())][p.Bits()] = true
}

func (s *prefixes) find(a netip.Addr) (netip.Prefix, owner, bool) {
	for n := a.BitLen(); n >= 0; n-- {
		if !s.bits[family(a)][n] {
			continue
		}
		p, err := a.Prefix(n)
		if err != nil {
			continue
		}
		if who, ok := s.all[p]; ok {
			return p, who, true
		}
	}
	return netip.Prefix{}, owner{}, false
}

// edge finds the IPv4 subnet of which a is the first or last address: the
// subnet's own name and its broadcast address (RFC 1122, section 3.2.1.3).
// Subnets of one or two addresses have neither (RFC 3021).
func (s *prefixes) edge(a netip.Addr) (netip.Prefix, bool) {
	p, _, ok := s.find(a)
	if !ok || !a.Is4() || p.Bits() > 30 {
		return netip.Prefix{}, false
	}
	return p, a == p.Addr() || a == lastOf(p)
}

// routes checks that every next hop is on a port.
func (c *checker) routes() {
	ports := map[string]owner{}
	var names []string
	for _, p := range c.ports.v {
		if p.name.ok {
			ports[p.name.v] = owner{p.name.v, p.line}
			names = append(names, p.name.v)
		}
	}
	seen := map[netip.Prefix]owner{}
	for _, r := range c.draft.routes.v {
		if r.port.ok {
			if _, ok := ports[r.port.v]; !ok {
				c.fault(r.port.place, "no port has this name: %s", advise(r.port.v, names))
				r.port.ok = false
			}
		}
		if !r.to.ok {
			c.blind = true
			continue
		}
		register(c, seen, r.to.v, r.to.place, "route to", "another route")
		if sub, ok := c.near.all[r.to.v]; ok {
			c.fault(r.to.place, "%s is the subnet of port %s, in line %d: it needs no route", r.to.v, sub.name, sub.line)
		}
		c.far.add(r.to.v, owner{r.port.v, r.line})
		if r.via.ok {
			c.nextHop(r)
		}
	}
}

// nextHop checks the via of a route.
func (c *checker) nextHop(r routeDraft) {
	via, p := r.via.v, r.via.place
	if via.Is4() != r.to.v.Addr().Is4() {
		c.fault(p, "%s is of another family than %s", via, r.to.v)
		return
	}
	if dip, ok := c.dips[via]; ok {
		c.fault(p, "%s is weir's own address on %s, in line %d: the next hop is another host", via, dip.name, dip.line)
		return
	}
	if vip, ok := c.vips[via]; ok {
		c.fault(p, "%s is the VIP of %s, in line %d: the next hop is another host", via, vip.name, vip.line)
		return
	}
	if via.Is6() && via.IsLinkLocalUnicast() {
		if !r.port.given {
			c.fault(p, `%s is link-local: add the key "port" to say on which port`, via)
		}
		return
	}
	_, sub, ok := c.near.find(via)
	switch {
	case c.blind:
	case !ok:
		c.fault(p, "%s is in no port's subnet: weir could not send to it", via)
	case r.port.ok && sub.name != r.port.v:
		c.fault(p, "%s is in the subnet of port %s (line %d), not of port %s", via, sub.name, sub.line, r.port.v)
	}
}

// reach checks that weir can send to every real server. In topology host that
// is the host's routing, which no file knows.
func (c *checker) reach() {
	if c.blind || !c.topology.ok || c.topology.v == TopologyHost {
		return
	}
	for _, s := range c.draft.services.v {
		for _, r := range s.reals.v {
			if !r.address.ok {
				continue
			}
			a := r.address.v.Addr()
			_, _, near := c.near.find(a)
			_, _, far := c.far.find(a)
			if !near && !far {
				c.fault(r.address.place, "no route reaches %s: it is in no port's subnet and in no route's", a)
			}
		}
	}
}
