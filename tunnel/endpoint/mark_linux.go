package endpoint

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// protocol says in the kernel that a route is weir's.
const protocol = 87

// tableOf is the number of a routing table that no rule looks at: 0x58 and 24
// bits of the hash of the TUN's name.
func tableOf(device string) int {
	h := fnv.New32a()
	h.Write([]byte(device))
	return tableBase | int(h.Sum32()&0xffffff)
}

const tableBase = 0x58 << 24

// mark is a note in the kernel of something that was set on the host: a
// blackhole route in a table that is never looked at. It lives exactly as long
// as what it is about, a network namespace or a boot, and it is still there
// after a kill -9.
type mark struct {
	table int
	addr  netip.Addr // the VIP that was put on lo, or arpMark
	value int        // of arpMark: what was there before
}

// arpMark is no address of anything: 0/8 is this network (RFC 1122 3.2.1.3).
var arpMark = netip.AddrFrom4([4]byte{0, 87, 0, 1})

// marks are all marks there are, those of other TUNs too.
func (k *kernel) marks() (all []mark, err error) {
	for _, family := range families {
		filter := &netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_UNSPEC, Type: unix.RTN_BLACKHOLE}
		routes, err := list(func() ([]netlink.Route, error) {
			return k.nl.RouteListFiltered(family, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
		})
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without this version of IP
		}
		if err != nil {
			return nil, fmt.Errorf("host: list marks: %w", err)
		}
		for i := range routes {
			r := &routes[i]
			if r.Table&^0xffffff == tableBase && r.Dst != nil {
				all = append(all, mark{r.Table, prefixOf(r.Dst).Addr(), r.Priority})
			}
		}
	}
	return all, nil
}

// find is this TUN's mark of a, and one of another TUN's, nil where there is none.
func (k *kernel) find(marks []mark, a netip.Addr) (mine, other *mark) {
	for i := range marks {
		switch m := &marks[i]; {
		case m.addr != a:
		case m.table == k.table:
			mine = m
		default:
			other = m
		}
	}
	return mine, other
}

func (m mark) route() *netlink.Route {
	return &netlink.Route{Table: m.table, Dst: single(m.addr), Type: unix.RTN_BLACKHOLE, Protocol: protocol, Priority: m.value}
}

func (k *kernel) addMark(m mark) error {
	if err := k.nl.RouteAdd(m.route()); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("host: mark %s in table %d: %w%s", m.addr, m.table, err, hint(err))
	}
	return nil
}

func (k *kernel) dropMark(m mark) error {
	if err := gone(k.nl.RouteDel(m.route())); err != nil {
		return fmt.Errorf("remove the mark of %s in table %d: %w", m.addr, m.table, err)
	}
	return nil
}

// sweep takes back what this TUN's marks are about, but what is wanted.
func (k *kernel) sweep(wanted []netip.Addr) error {
	marks, err := k.marks()
	if err != nil {
		return err
	}
	keep := map[netip.Addr]bool{}
	for _, a := range wanted {
		keep[a] = true
		keep[arpMark] = keep[arpMark] || a.Is4()
	}
	var errs []error
	arp := false // ARP comes last: no VIP is on lo then that could be answered for
	for _, m := range marks {
		switch {
		case m.table != k.table || keep[m.addr]:
		case m.addr == arpMark:
			arp = true
		default:
			_, other := k.find(marks, m.addr)
			errs = append(errs, k.dropVIP(m, other != nil))
		}
	}
	if arp {
		errs = append(errs, k.releaseARP(marks))
	}
	return errors.Join(errs...)
}
