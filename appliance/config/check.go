package config

import (
	"cmp"
	"net/netip"
	"slices"

	"weir/netstack/packet"
)

// check reports what is wrong with values that are each right alone.
func check(d *decoder, f *draft) {
	c := &checker{
		decoder: d,
		draft:   f,
		dips:    map[netip.Addr]owner{},
		vips:    map[netip.Addr]owner{},
		back:    map[netip.Addr]owner{},
		near:    prefixes{all: map[netip.Prefix]owner{}},
		far:     prefixes{all: map[netip.Prefix]owner{}},
	}
	c.wiring()
	c.portNames()
	c.addresses()
	c.families()
	c.services()
	c.routes()
	c.pool()
	c.neighbours()
	c.reach()
}

// checker holds what the checks look up. Everything is a map or a sorted
// list: a file of the largest size must not take minutes.
type checker struct {
	*decoder
	*draft
	dips map[netip.Addr]owner // weir's own addresses
	vips map[netip.Addr]owner
	back map[netip.Addr]owner // real servers
	near prefixes             // the ports' subnets
	far  prefixes             // destinations of routes

	// Which families weir has addresses of its own of, and which the pool has;
	// a faulty value may be of either.
	dipOf, poolOf [2]bool

	// blind: an address, subnet or route is missing or faulty, so that what
	// can be reached is not known.
	blind bool
}

// owner says who has something, for the text of a fault.
type owner struct {
	name string
	line int
}

// register notes that key belongs to who; false with a fault if it has an
// owner already.
func register[K comparable](c *checker, seen map[K]owner, key K, p place, what, who string) bool {
	if was, ok := seen[key]; ok {
		c.fault(p, "%s %v is taken: %s has it, in line %d", what, key, was.name, was.line)
		return false
	}
	seen[key] = owner{who, p.line}
	return true
}

// wiring checks that the ports are those of the topology.
func (c *checker) wiring() {
	t, ports := c.topology, c.ports.v
	if !t.ok || !c.ports.ok {
		return
	}
	n := len(ports)
	kind, why := PortTAP, "frames with MAC addresses cross it"
	switch t.v {
	case TopologyHost:
		kind, why = PortTUN, "it hands IP packets to the host's own routing"
		if n != 1 {
			c.fault(t.place, "host has exactly one port, %d are given", n)
		}
	case TopologyOneArm:
		if n != 1 {
			c.fault(t.place, "one-arm has exactly one port, %d are given", n)
		}
	case TopologyRouted:
		if n < 2 {
			c.fault(t.place, "routed has two ports or more, %d given; with one port the topology is host or one-arm", n)
		}
	case TopologyBridged:
		if n != 2 {
			c.fault(t.place, "bridged has exactly two ports, %d given: weir sits in one wire", n)
		}
	}
	if n > maxPorts {
		c.fault(ports[maxPorts].place, "more than %d ports", maxPorts)
	}
	for _, p := range ports {
		if p.kind.ok && p.kind.v != kind {
			c.fault(p.kind.place, "topology %s needs a %s: %s", t.v, kind, why)
		}
		if t.v.addressed() && (!p.addresses.given || p.addresses.ok && len(p.addresses.v) == 0) {
			c.fault(p.addresses.place, "missing: a port of %s needs weir's own address in its subnet", t.v)
		}
	}
}

// addressed reports whether every port has an address of its own: it sends to
// real servers and next hops and must ask for their MACs.
func (t Topology) addressed() bool { return t == TopologyRouted || t == TopologyOneArm }

// portNames checks what must be unique among ports, and what a tun cannot have.
func (c *checker) portNames() {
	names, devices, macs := map[string]owner{}, map[string]owner{}, map[packet.MAC]owner{}
	for _, p := range c.ports.v {
		who := "port " + p.name.v
		if p.name.ok {
			register(c, names, p.name.v, p.name.place, "name", who)
		}
		if p.device.ok {
			register(c, devices, p.device.v, p.device.place, "device", who)
		}
		if p.mac.ok {
			register(c, macs, p.mac.v, p.mac.place, "MAC", who)
		}
		if p.kind.ok && p.kind.v == PortTUN {
			if p.mac.ok {
				c.fault(p.mac.place, "a tun has no MAC address: remove the key")
			}
			if p.bridge.ok {
				c.fault(p.bridge.place, "a tun carries no Ethernet frames: only a tap can be put into a bridge")
			}
		}
	}
	for _, p := range c.ports.v {
		if dev, ok := devices[p.bridge.v]; ok && p.bridge.ok {
			c.fault(p.bridge.place, "bridge %s is the device of %s in line %d", p.bridge.v, dev.name, dev.line)
		}
	}
}

// addresses checks weir's own addresses and the subnets they lie in.
func (c *checker) addresses() {
	c.blind = !c.ports.ok
	type subnet struct {
		at[netip.Prefix]
		port int
	}
	var all []subnet
	for i, p := range c.ports.v {
		who := "port " + p.name.v
		if !p.addresses.ok && (p.addresses.given || c.topology.v.addressed()) {
			c.blind = true
		}
		for _, a := range p.addresses.v {
			if !a.ok {
				c.blind = true
				continue
			}
			register(c, c.dips, a.v.Addr(), a.place, "address", who)
			c.near.add(a.v.Masked(), owner{p.name.v, a.line})
			if !a.v.Addr().IsLinkLocalUnicast() {
				all = append(all, subnet{a, i})
			}
			if a.v.Addr().Is6() && p.mtu.ok && p.mtu.v < minMTU6 {
				c.fault(p.mtu.place, "%d is too small for IPv6 (address %s): %d or more", p.mtu.v, a.v.Addr(), minMTU6)
			}
		}
	}
	if c.topology.or(TopologyBridged) == TopologyBridged {
		return // both ports are in one subnet, as they should be
	}
	slices.SortFunc(all, func(a, b subnet) int {
		return cmp.Or(a.v.Masked().Addr().Compare(b.v.Masked().Addr()), cmp.Compare(a.v.Bits(), b.v.Bits()), cmp.Compare(a.line, b.line))
	})
	var around []subnet // those that hold the one looked at, widest first
	for _, s := range all {
		for len(around) > 0 && !around[len(around)-1].v.Contains(s.v.Addr()) {
			around = around[:len(around)-1]
		}
		if len(around) > 0 && around[len(around)-1].port != s.port && around[len(around)-1].v.Addr() != s.v.Addr() {
			o := around[len(around)-1]
			c.fault(s.place, "%s overlaps %s of another port, in line %d: weir could not tell where an address is", s.v, o.v, o.line)
		}
		around = append(around, s)
	}
}

// families notes of which families weir's own addresses and the pool are.
func (c *checker) families() {
	for a := range c.dips {
		if !a.IsLinkLocalUnicast() {
			c.dipOf[family(a)] = true
		}
	}
	if c.draft.pool.given && !c.draft.pool.ok {
		c.poolOf = [2]bool{true, true}
	}
	for _, r := range c.draft.pool.v {
		if !r.ok {
			c.poolOf = [2]bool{true, true}
			return
		}
		c.poolOf[family(r.v.From)] = true
	}
}

// minMTU6 is what RFC 8200, section 5, asks of every link.
const minMTU6 = 1280
