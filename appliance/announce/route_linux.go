package announce

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// protocol marks routes and rules as weir's own, in the kernel's field for who
// has made them. Nobody else is known to use 87.
const protocol = 87

// tableOf is the number of the routing table for a device: 0x57 ("W") and 24
// bits of its name's hash. A weir that comes back after a kill -9 finds its own
// leftovers by it, and another weir's are not touched.
func tableOf(device string) int {
	h := fnv.New32a()
	h.Write([]byte(device))
	return 0x57<<24 | int(h.Sum32()&0xffffff)
}

// Priorities of the rules. They stand after the local table (0) and before the
// main one (32766), so that replies reach weir wherever else they would go.
const (
	prioritySkip  = 8700 // what comes out of the TUN goes past the next
	priorityReply = 8701 // replies of real servers
	priorityEnd   = 8702 // where skipping ends
)

// actionNop is FR_ACT_NOP of linux/fib_rules.h: a rule that only is there.
const actionNop = 3

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// route sends a through the TUN.
func (s *steering) route(a netip.Addr) *netlink.Route {
	r := &netlink.Route{LinkIndex: s.link.Attrs().Index, Dst: host(a), Protocol: protocol, Table: unix.RT_TABLE_MAIN}
	if a.Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

func (s *steering) addRoute(a netip.Addr) error {
	switch err := s.nl.RouteAdd(s.route(a)); {
	case err == nil:
		s.to[a] = true
		return nil
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("host: route %s into %s: there is a route to it already: remove that, or set host.manage to false", a, s.device)
	default:
		return fmt.Errorf("host: route %s into %s: %w%s", a, s.device, err, hint(err))
	}
}

func (s *steering) dropRoute(a netip.Addr) error {
	delete(s.to, a)
	if err := gone(s.nl.RouteDel(s.route(a))); err != nil {
		return fmt.Errorf("remove the route to %s: %w", a, err)
	}
	return nil
}

// base puts in place, for a family, what all rules for replies need: a table
// whose only route is the TUN; and around those rules a bridge for what has
// been in weir and comes out of the TUN, which would else go round in circles.
func (s *steering) base(family int) error {
	s.based[family] = true
	if err := s.nl.RouteReplace(s.defaultRoute(family)); err != nil {
		return fmt.Errorf("host: default route of table %d into %s: %w%s", s.table, s.device, err, hint(err))
	}
	for _, r := range s.bridge(family) {
		if err := s.nl.RuleAdd(r); err != nil {
			return fmt.Errorf("host: rule for what comes out of %s: %w%s", s.device, err, hint(err))
		}
	}
	return nil
}

func (s *steering) unbase(family int) error {
	delete(s.based, family)
	var errs []error
	for _, r := range s.bridge(family) {
		errs = append(errs, gone(s.nl.RuleDel(r)))
	}
	errs = append(errs, gone(s.nl.RouteDel(s.defaultRoute(family))))
	if s.down {
		errs = append(errs, gone(s.nl.RouteDel(s.blackhole(family))))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove table %d: %w", s.table, err)
	}
	return nil
}

func (s *steering) defaultRoute(family int) *netlink.Route {
	everything := netip.IPv4Unspecified()
	r := &netlink.Route{LinkIndex: s.link.Attrs().Index, Protocol: protocol, Table: s.table, Scope: netlink.SCOPE_LINK}
	if family == unix.AF_INET6 {
		everything, r.Scope = netip.IPv6Unspecified(), netlink.SCOPE_UNIVERSE
	}
	r.Dst = &net.IPNet{IP: everything.AsSlice(), Mask: net.CIDRMask(0, everything.BitLen())}
	return r
}

// blackhole is behind the default route, for when the device has none.
func (s *steering) blackhole(family int) *netlink.Route {
	r := s.defaultRoute(family)
	r.LinkIndex, r.Scope, r.Type, r.Priority = 0, netlink.SCOPE_UNIVERSE, unix.RTN_BLACKHOLE, priorityEnd
	return r
}

// bridge are the rules around those for replies. The one to land on comes
// first: the other is of no effect without it.
func (s *steering) bridge(family int) []*netlink.Rule {
	end := s.rule(family, priorityEnd)
	end.Type = actionNop
	skip := s.rule(family, prioritySkip)
	skip.IifName, skip.Goto = s.device, priorityEnd
	return []*netlink.Rule{end, skip}
}

func (s *steering) rule(family, priority int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = family, priority, s.table, protocol
	return r
}

// sourceRule sends what src names to the device's table.
func (s *steering) sourceRule(src Source) *netlink.Rule {
	r := s.rule(familyOf(src.Addr), priorityReply)
	r.Src, r.IPProto = host(src.Addr), int(src.Proto)
	if src.Port != 0 {
		r.Sport = netlink.NewRulePortRange(src.Port, src.Port)
	}
	return r
}

func (s *steering) addSource(src Source) error {
	if err := s.nl.RuleAdd(s.sourceRule(src)); err != nil {
		return fmt.Errorf("host: rule for %s: %w%s", src, err, hint(err))
	}
	s.from[src] = true
	return nil
}

func (s *steering) dropSource(src Source) error {
	delete(s.from, src)
	if err := gone(s.nl.RuleDel(s.sourceRule(src))); err != nil {
		return fmt.Errorf("remove the rule for %s: %w", src, err)
	}
	return nil
}

// sweep removes what an earlier weir has left for this device: rules and routes
// of the device's table, and routes that go into it.
func (s *steering) sweep() error {
	swept := 0
	for _, family := range families {
		rules, err := list(func() ([]netlink.Rule, error) { return s.nl.RuleList(family) })
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without this version of IP, or without rules
		}
		if err != nil {
			return fmt.Errorf("host: list rules: %w", err)
		}
		for i := range rules {
			r := &rules[i]
			if r.Protocol != protocol || r.Table != s.table {
				continue
			}
			if err := gone(s.nl.RuleDel(r)); err != nil {
				return fmt.Errorf("host: remove a leftover rule: %w%s", err, hint(err))
			}
			swept++
		}
		weirs := &netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_UNSPEC}
		routes, err := list(func() ([]netlink.Route, error) {
			return s.nl.RouteListFiltered(family, weirs, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return fmt.Errorf("host: list routes: %w", err)
		}
		for i := range routes {
			if routes[i].LinkIndex != s.link.Attrs().Index && routes[i].Table != s.table {
				continue
			}
			if err := gone(s.nl.RouteDel(&routes[i])); err != nil {
				return fmt.Errorf("host: remove a leftover route: %w%s", err, hint(err))
			}
			swept++
		}
	}
	if swept > 0 {
		s.log.Info("removed what an earlier weir had left on the host", "device", s.device, "routes and rules", swept)
	}
	return nil
}

// list repeats a dump that a change in the middle has made inconsistent.
func list[T any](dump func() ([]T, error)) (all []T, err error) {
	for range 10 {
		if all, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}

// hint says what to do about a refusal.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return ": run as root or with CAP_NET_ADMIN, or set host.manage to false"
	case errors.Is(err, unix.ENETDOWN):
		return ": its link is down"
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return ": this kernel cannot: set host.manage to false and route by hand"
	}
	return ""
}
