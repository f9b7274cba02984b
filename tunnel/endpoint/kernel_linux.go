package endpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// families are the versions of IP.
var families = [...]int{unix.AF_INET, unix.AF_INET6}

// kernel is the kernel of the real server, in one network namespace, and what
// an Endpoint has set there.
type kernel struct {
	log      *slog.Logger
	nl       *netlink.Handle
	link, lo netlink.Link // the TUN, and the loopback interface
	table    int          // of the marks

	settings         []setting // of the TUN, to be put back
	loose            bool      // the TUN's reverse path filter, since it cannot be off
	ignore, announce *os.File  // of ARP on all interfaces; nil before prepare
}

// openKernel changes nothing. It takes all that belongs to a namespace on the
// calling thread.
func openKernel(device string, log *slog.Logger) (k *kernel, err error) {
	k = &kernel{log: log, table: tableOf(device)}
	if k.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("host: open netlink: %w", err)
	}
	for name, link := range map[string]*netlink.Link{device: &k.link, "lo": &k.lo} {
		if *link, err = k.nl.LinkByName(name); err != nil {
			k.nl.Close()
			return nil, fmt.Errorf("host: look %s up: %w", name, err)
		}
	}
	return k, nil
}

// addresses are those of the host now.
func (k *kernel) addresses() (h host, err error) {
	all, err := list(func() ([]netlink.Addr, error) { return k.nl.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return h, fmt.Errorf("host: list addresses: %w", err)
	}
	for i := range all {
		p := prefixOf(all[i].IPNet)
		a := p.Addr()
		if !a.IsValid() || a.IsLoopback() {
			continue
		}
		h.own = append(h.own, a)
		elsewhere := all[i].LinkIndex != k.lo.Attrs().Index && all[i].LinkIndex != k.link.Attrs().Index
		if elsewhere && !p.IsSingleIP() && !a.IsLinkLocalUnicast() {
			h.nets = append(h.nets, p.Masked())
		}
	}
	slices.SortFunc(h.own, netip.Addr.Compare)
	slices.SortFunc(h.nets, netip.Prefix.Compare)
	h.nets = slices.Compact(h.nets)
	return h, nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

func single(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// prepare takes back what an Endpoint that was killed has left and is not
// wanted now.
func (k *kernel) prepare(vips []netip.Addr) error {
	if err := k.openARP(); err != nil {
		return err
	}
	return k.sweep(vips)
}

// hold puts the VIPs on lo. ARP comes first: else there would be a moment in
// which this host answers for a VIP.
func (k *kernel) hold(vips []netip.Addr) error {
	// A new namespace's lo is down, and then nobody's VIP. It is left up: who
	// knows who uses it by the time that this ends.
	if err := k.nl.LinkSetUp(k.lo); err != nil {
		return fmt.Errorf("host: set lo up: %w%s", err, hint(err))
	}
	if slices.ContainsFunc(vips, netip.Addr.Is4) {
		if err := k.holdARP(); err != nil {
			return err
		}
	}
	for _, a := range vips {
		if err := k.holdVIP(a); err != nil {
			return err
		}
	}
	return k.pass(vips)
}

// pass gets packets through a loose reverse path filter, which drops all that
// comes in by an interface without any IPv4 address. One of a VIP will do, and
// goes with the TUN.
func (k *kernel) pass(vips []netip.Addr) error {
	i := slices.IndexFunc(vips, netip.Addr.Is4)
	if i < 0 || !k.loose {
		return nil
	}
	err := k.nl.AddrAdd(k.link, &netlink.Addr{IPNet: single(vips[i])})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("host: put the VIP %s on the TUN: %w%s", vips[i], err, hint(err))
	}
	return nil
}

// close takes back all that was set.
func (k *kernel) close() error {
	var errs []error
	if k.ignore != nil {
		errs = append(errs, k.sweep(nil))
		k.ignore.Close()
		k.announce.Close()
	}
	k.restore()
	k.nl.Close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("host: take back what was set: %w", err)
	}
	return nil
}

// holdVIP puts a on lo and marks it, mark first: what is unmarked was there
// before and stays. One on another interface would be answered for by ARP.
func (k *kernel) holdVIP(a netip.Addr) error {
	at, err := k.interfaceOf(a)
	if err != nil {
		return err
	}
	if at != 0 && at != k.lo.Attrs().Index {
		name := fmt.Sprint(at)
		if link, err := k.nl.LinkByIndex(at); err == nil {
			name = link.Attrs().Name
		}
		return fmt.Errorf("host: the VIP %s is an address of %s, where ARP or NDP answers for it: remove it there, or see to it yourself with --no-setup", a, name)
	}
	marks, err := k.marks()
	if err != nil {
		return err
	}
	mine, others := k.find(marks, a)
	if at != 0 && mine == nil && others == nil {
		return nil // an administrator's
	}
	if mine == nil {
		if err := k.addMark(mark{k.table, a, 0}); err != nil {
			return err
		}
	}
	if at != 0 {
		return nil
	}
	err = k.nl.AddrAdd(k.lo, &netlink.Addr{IPNet: single(a), Flags: unix.IFA_F_NODAD})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("host: put the VIP %s on lo: %w%s", a, err, hint(err))
	}
	return k.await(a)
}

// awaitLimit is how long the kernel may take over an address.
const awaitLimit = 5 * time.Second

// await returns when the kernel takes packets for a. For IPv6 that is some
// milliseconds after the address was added, even without duplicate address
// detection: a worker adds the route. Until then it would tell clients that
// there is none.
func (k *kernel) await(a netip.Addr) error {
	for end := time.Now().Add(awaitLimit); ; time.Sleep(time.Millisecond) {
		routes, err := k.nl.RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("host: the VIP %s is on lo, but the kernel takes no packets for it: look at `ip route get %s` and net.ipv6.conf.lo.disable_ipv6", a, a)
		}
	}
}

// dropVIP takes a off lo, unless somebody else has marked it too.
func (k *kernel) dropVIP(m mark, shared bool) error {
	if !shared {
		if err := gone(k.nl.AddrDel(k.lo, &netlink.Addr{IPNet: single(m.addr)})); err != nil {
			return fmt.Errorf("take the VIP %s off lo: %w", m.addr, err)
		}
	}
	return k.dropMark(m)
}

// interfaceOf is the index of the interface that a is an address of, 0 if none.
// If there are several it is that of lo.
func (k *kernel) interfaceOf(a netip.Addr) (index int, err error) {
	all, err := list(func() ([]netlink.Addr, error) { return k.nl.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return 0, fmt.Errorf("host: list addresses: %w", err)
	}
	for i := range all {
		if prefixOf(all[i].IPNet).Addr() == a && index != k.lo.Attrs().Index {
			index = all[i].LinkIndex
		}
	}
	return index, nil
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

// gone takes "it is not there" for a success of removing it.
func gone(err error) error {
	for _, not := range []error{unix.ESRCH, unix.ENODEV, unix.ENOENT, unix.EADDRNOTAVAIL} {
		if errors.Is(err, not) {
			return nil
		}
	}
	return err
}

// hint says what to do about a refusal.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS):
		return ": run as root or with CAP_NET_ADMIN, or set the host up by hand and say --no-setup"
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return ": this kernel cannot: set the host up by hand and say --no-setup"
	}
	return ""
}
