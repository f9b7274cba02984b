package config

import (
	"net/netip"
)

// listener is what no two services may share.
type listener struct {
	vip      netip.AddrPort
	protocol Protocol
}

func (l listener) String() string { return l.protocol.String() + " " + l.vip.String() }

// services checks each service, and the services against each other.
func (c *checker) services() {
	names, listeners := map[string]owner{}, map[listener]owner{}
	for _, s := range c.draft.services.v {
		who := "service " + s.name.v
		if s.name.ok {
			register(c, names, s.name.v, s.name.place, "name", who)
		}
		if s.vip.ok {
			register(c, listeners, listener{s.vip.v, s.protocol.or(ProtocolTCP)}, s.vip.place, "VIP", who)
			c.vip(s, who)
		}
		c.pairs(s)
		c.reals(s)
	}
	for _, s := range c.draft.services.v {
		for _, r := range s.reals.v {
			if vip, ok := c.vips[r.address.v.Addr()]; ok && r.address.ok {
				c.fault(r.address.place, "%s is the VIP of %s, in line %d: traffic would run in a circle", r.address.v.Addr(), vip.name, vip.line)
			}
		}
	}
}

// vip checks where the address of a service lies.
func (c *checker) vip(s serviceDraft, who string) {
	a, p := s.vip.v.Addr(), s.vip.place
	if dip, ok := c.dips[a]; ok {
		c.fault(p, "%s is weir's own address on %s, in line %d: a VIP is another one", a, dip.name, dip.line)
	}
	if a.IsLinkLocalUnicast() {
		c.fault(p, "%s is link-local: clients behind a router cannot reach it", a)
	}
	if sub, ok := c.near.edge(a); ok {
		c.fault(p, "%s is the first or last address of the subnet %s: no host's", a, sub)
	}
	if a.Is6() {
		for _, port := range c.ports.v {
			if port.mtu.ok && port.mtu.v < minMTU6 {
				c.fault(port.mtu.place, "%d is too small for IPv6 (VIP %s): %d or more", port.mtu.v, a, minMTU6)
			}
		}
	}
	if _, ok := c.vips[a]; !ok {
		c.vips[a] = owner{who, p.line}
	}
}

// pairs checks a service's method against the wiring and against the keys
// that belong to one method only.
func (c *checker) pairs(s serviceDraft) {
	m := s.method
	if !m.ok {
		return
	}
	if m.v == MethodDSR && c.topology.or(TopologyHost) == TopologyHost { // others refuse the tun itself
		for _, p := range c.ports.v {
			if p.kind.ok && p.kind.v == PortTUN {
				c.fault(m.place, "dsr cannot work on a tun (port %s, line %d): it changes MAC addresses and a tun has none", p.name.v, p.line)
			}
		}
	}
	if m.v == MethodNAT && c.topology.ok && c.topology.v == TopologyOneArm {
		c.fault(m.place, "nat cannot work on one-arm: a real server would answer the client past weir, from its own address, which the client does not know; use fullnat, dsr or tunnel, or topology routed, where weir is the real servers' gateway")
	}
	if m.v == MethodFullNAT && len(c.draft.pool.v) == 0 && (c.draft.pool.ok || !c.draft.pool.given) {
		c.fault(m.place, `fullnat needs source addresses: add the key "pool"`)
	}
	if m.v == MethodProxy && s.protocol.or(ProtocolTCP) == ProtocolUDP {
		c.fault(s.protocol.place, "proxy ends TCP connections: a udp service cannot have it")
	}
	if s.cookie.ok && m.v != MethodProxy {
		c.fault(s.cookie.place, "cookies are read by method proxy only: the method is %s", m.v)
	}
	if s.tunnel.ok && m.v != MethodTunnel {
		c.fault(s.tunnel.place, "belongs to method tunnel: the method is %s", m.v)
	}
	if t := s.tunnel.v; t.port.ok && t.kind.ok && t.kind.v != TunnelGUE && t.kind.v != TunnelVXLAN {
		c.fault(t.port.place, "%s has no ports: only gue and vxlan travel in UDP", t.kind.v)
	}
	if bits := s.affinity.v.prefix; bits.ok && s.vip.ok && bits.v > s.vip.v.Addr().BitLen() {
		c.fault(bits.place, "%d is out of range: the VIP's family has %d bits", bits.v, s.vip.v.Addr().BitLen())
	}
	if k := s.check.v; k.timeout.ok && k.interval.ok && k.timeout.v > k.interval.v {
		c.fault(k.timeout.place, "%s is longer than the interval of %s: checks would overlap", span(k.timeout.v), span(k.interval.v))
	}
}

// reals checks the real servers of a service.
func (c *checker) reals(s serviceDraft) {
	names, addresses := map[string]owner{}, map[netip.AddrPort]owner{}
	for _, r := range s.reals.v {
		if !r.address.ok {
			continue
		}
		who := "real server " + r.fullName()
		named := r.address.place
		if r.name.ok {
			named = r.name.place
		}
		if register(c, addresses, r.address.v, r.address.place, "address", who) {
			register(c, names, r.fullName(), named, "name", who)
		}
		c.real(s, r)
	}
}

// real checks one real server against its service.
func (c *checker) real(s serviceDraft, r realDraft) {
	a, p := r.address.v, r.address.place
	if dip, ok := c.dips[a.Addr()]; ok {
		c.fault(p, "%s is weir's own address on %s, in line %d", a.Addr(), dip.name, dip.line)
	}
	if _, ok := c.back[a.Addr()]; !ok {
		c.back[a.Addr()] = owner{"service " + s.name.v, p.line}
	}
	if a.Addr().Is6() && a.Addr().IsLinkLocalUnicast() {
		c.fault(p, "%s is link-local: without a port it names no host", a.Addr())
	}
	if sub, ok := c.near.edge(a.Addr()); ok {
		c.fault(p, "%s is the first or last address of the subnet %s: no host's", a.Addr(), sub)
	}
	if !s.vip.ok {
		return
	}
	vip := s.vip.v
	switch {
	case vip.Port() == 0 && a.Port() != 0:
		c.fault(p, "the service stands for all ports: write %s without a port", a.Addr())
	case vip.Port() != 0 && a.Port() == 0 && !s.keepsPorts():
		c.fault(p, "%s needs a port, as in %s: only a service for all ports goes without", a.Addr(), netip.AddrPortFrom(a.Addr(), vip.Port()))
	}
	if s.method.ok {
		c.realPair(s, r)
	}
}

// keepsPorts reports whether the method of s leaves ports as they are, so that
// a real server can go without one.
func (s serviceDraft) keepsPorts() bool {
	return s.method.ok && (s.method.v == MethodDSR || s.method.v == MethodTunnel)
}

// realPair checks one real server against the method of its service.
func (c *checker) realPair(s serviceDraft, r realDraft) {
	a, p, vip, m := r.address.v, r.address.place, s.vip.v, s.method.v
	if s.keepsPorts() && a.Port() != 0 && a.Port() != vip.Port() && vip.Port() != 0 {
		c.fault(p, "port %d is not the VIP's %d: %s leaves ports as they are", a.Port(), vip.Port(), m)
	}
	switch m {
	case MethodNAT, MethodDSR:
		if a.Addr().Is4() != vip.Addr().Is4() {
			c.fault(p, "%s is of another family than the VIP %s: %s does not translate between IPv4 and IPv6", a.Addr(), vip.Addr(), m)
		}
	case MethodFullNAT:
		if len(c.draft.pool.v) > 0 && !c.poolOf[family(a.Addr())] {
			c.fault(p, "the pool has no %s address to send to %s from", ipVersion(a.Addr()), a.Addr())
		}
	}
	if c.blind || !c.topology.ok {
		return
	}
	switch m {
	case MethodDSR:
		if _, _, near := c.near.find(a.Addr()); !near && c.topology.v != TopologyHost {
			c.fault(p, "%s is in no port's subnet: dsr changes MAC addresses, which reach no further than the segment", a.Addr())
		}
	case MethodTunnel:
		if !c.dipOf[family(a.Addr())] {
			c.fault(p, "weir has no %s address of its own to send the tunnel to %s from: add one to a port", ipVersion(a.Addr()), a.Addr())
		}
	}
}

func ipVersion(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
