package config

import (
	"net/netip"
	"slices"
)

// maxPool bounds the pool's addresses. Each is announced and answered for, and
// has some 64,000 ports for every real server.
const maxPool = 1024

// pool checks the source addresses of fullnat.
func (c *checker) pool() {
	ranges := c.poolRanges()
	for i, r := range ranges {
		if i > 0 && !ranges[i-1].v.To.Less(r.v.From) {
			c.fault(r.place, "overlaps the range in line %d", ranges[i-1].line)
		}
		c.poolReach(r)
	}
	taken := func(a netip.Addr, what string, who owner) {
		i, exact := slices.BinarySearchFunc(ranges, a, func(r at[PoolRange], a netip.Addr) int { return r.v.From.Compare(a) })
		if !exact {
			i--
		}
		if i >= 0 && a.BitLen() == ranges[i].v.To.BitLen() && !ranges[i].v.To.Less(a) {
			c.fault(ranges[i].place, "holds %s, %s (%s, line %d): a pool address can be nothing else", a, what, who.name, who.line)
		}
	}
	for a, who := range c.dips {
		taken(a, "weir's own address", who)
	}
	for a, who := range c.vips {
		taken(a, "a VIP", who)
	}
	for a, who := range c.back {
		taken(a, "a real server", who)
	}
}

// poolRanges are the ranges without fault, in ascending order.
func (c *checker) poolRanges() []at[PoolRange] {
	var ranges []at[PoolRange]
	room := maxPool
	for _, r := range c.draft.pool.v {
		if !r.ok {
			continue
		}
		if room >= 0 {
			if room -= r.v.count(maxPool); room < 0 {
				c.fault(r.place, "the pool has more than %d addresses with this range: each has some 64,000 ports for every real server", maxPool)
			}
		}
		ranges = append(ranges, r)
	}
	slices.SortFunc(ranges, func(a, b at[PoolRange]) int { return a.v.From.Compare(b.v.From) })
	return ranges
}

// count is how many addresses r holds, or limit+1 for more.
func (r PoolRange) count(limit int) int {
	n := 0
	for a := r.From; n <= limit && a.IsValid() && !r.To.Less(a); a = a.Next() {
		n++
	}
	return n
}

// poolReach checks that replies to the addresses of r find weir. Where weir
// routes, it may be that its neighbours route them to it; where it is a station
// among others it must be asked for their MAC.
func (c *checker) poolReach(r at[PoolRange]) {
	for _, end := range []netip.Addr{r.v.From, r.v.To} {
		if sub, ok := c.near.edge(end); ok {
			c.fault(r.place, "%s is the first or last address of the subnet %s: no host's", end, sub)
			return
		}
	}
	if c.blind || !c.topology.ok || c.topology.v == TopologyHost || c.topology.v == TopologyRouted {
		return
	}
	first, _, ok := c.near.find(r.v.From)
	last, _, ok2 := c.near.find(r.v.To)
	if !ok || !ok2 || first != last {
		c.fault(r.place, "lies in no port's subnet as a whole: on %s real servers ask on the segment for it", c.topology.v)
	}
}

// neighbours checks the stations whose MACs are given.
func (c *checker) neighbours() {
	seen := map[netip.Addr]owner{}
	for _, n := range c.draft.neighbours.v {
		if !n.address.ok {
			continue
		}
		a, p := n.address.v, n.address.place
		register(c, seen, a, p, "address", "another neighbour")
		if dip, ok := c.dips[a]; ok {
			c.fault(p, "%s is weir's own address on %s, in line %d: a neighbour is another station", a, dip.name, dip.line)
		}
		if vip, ok := c.vips[a]; ok {
			c.fault(p, "%s is the VIP of %s, in line %d: a neighbour is another station", a, vip.name, vip.line)
		}
		if c.topology.ok && c.topology.v == TopologyHost {
			c.fault(p, "topology host has a tun, and nobody there has a MAC: remove the neighbour")
			continue
		}
		if _, _, near := c.near.find(a); !near && !c.blind {
			c.fault(p, "%s is in no port's subnet: it is not on weir's segments", a)
		}
	}
}
