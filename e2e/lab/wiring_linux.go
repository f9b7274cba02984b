package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
)

// linksUp bounds the wait for the kernel to bring links up, which it does in
// the background.
const linksUp = 5 * time.Second

// end is one end of a veth pair.
type end struct {
	ns     *namespace
	name   string
	mac    packet.MAC // zero: the kernel's choice
	bridge string     // to put it into; "" for none
}

// wire makes the links of every segment, then addresses, then routes.
func (w *kernelWorld) wire() error {
	var ends []end
	for i := range w.topology.Segments {
		made, err := w.segment(&w.topology.Segments[i])
		if err != nil {
			return fmt.Errorf("segment %s: %w", w.topology.Segments[i].Name, err)
		}
		ends = append(ends, made...)
	}
	for _, e := range ends {
		if err := e.ns.do(func() error { return w.bringUp(e) }); err != nil {
			return fmt.Errorf("interface %s of %s: %w", e.name, e.ns.name, err)
		}
	}
	if err := awaitUp(ends); err != nil {
		return err
	}
	for i := range w.topology.Nodes {
		n := &w.topology.Nodes[i]
		if err := w.nodes[n.Name].do(func() error { return configure(n) }); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

// segment joins the members of s: two nodes by one veth pair, anything else by
// a bridge, which stands in weir's namespace if one of its TAPs will join it.
func (w *kernelWorld) segment(s *Segment) ([]end, error) {
	var members []end
	for _, n := range w.topology.Nodes {
		for _, i := range n.Interfaces {
			if i.Segment == s.Name {
				members = append(members, end{ns: w.nodes[n.Name], name: s.Name, mac: w.topology.mac(n.Name, s.Name)})
			}
		}
	}
	tap := w.topology.tapOn(s.Name)
	if len(members) == 2 && !tap {
		return members, makeVeth(members[0], members[1], s.mtu())
	}
	at := w.weir
	if !tap {
		var err error
		if at, err = w.bridgeSpace(); err != nil {
			return nil, err
		}
	}
	bridge := bridgeName(s.Name)
	if err := at.do(func() error { return makeBridge(bridge, s.mtu()) }); err != nil {
		return nil, err
	}
	ends := members
	for i, m := range members {
		port := end{ns: at, name: fmt.Sprintf("%.*s.%d", segmentNameMax, s.Name, i), bridge: bridge}
		if err := makeVeth(m, port, s.mtu()); err != nil {
			return nil, err
		}
		ends = append(ends, port)
	}
	return ends, nil
}

// bridgeName is the bridge of a segment that weir has a TAP on.
func bridgeName(segment string) string { return "br-" + segment }

// bridgeSpace is the namespace of bridges that weir has no part in.
func (w *kernelWorld) bridgeSpace() (*namespace, error) {
	if w.bridges == nil {
		ns, err := newSwitch("bridges")
		if err != nil {
			return nil, err
		}
		w.bridges = ns
	}
	return w.bridges, nil
}

func makeVeth(a, b end, mtu int) error {
	link := &netlink.Veth{
		LinkAttrs:     netlink.NewLinkAttrs(),
		PeerName:      b.name,
		PeerMTU:       uint32(mtu),
		PeerNamespace: netlink.NsFd(b.ns.handle),
	}
	link.Name, link.MTU = a.name, mtu
	if !a.mac.IsZero() {
		link.HardwareAddr = net.HardwareAddr(a.mac[:])
	}
	if !b.mac.IsZero() {
		link.PeerHardwareAddr = net.HardwareAddr(b.mac[:])
	}
	if err := a.ns.do(func() error { return netlink.LinkAdd(link) }); err != nil {
		return fmt.Errorf("veth pair %s - %s: %w", a.ns.name, b.ns.name, err)
	}
	return nil
}

// makeBridge makes a bridge that floods what it does not know and holds nothing
// back: no spanning tree, no snooping, no firewall (bridge-nf-call would show
// each bridged frame to netfilter a second time).
func makeBridge(name string, mtu int) error {
	snooping := false
	br := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &snooping}
	br.Name, br.MTU = name, mtu
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	for _, table := range []string{"iptables", "ip6tables", "arptables"} {
		err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+table, []byte("0"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // br_netfilter is not loaded
			return fmt.Errorf("bridge %s: %w", name, err)
		}
	}
	return netlink.LinkSetUp(br)
}

func (w *kernelWorld) bringUp(e end) error {
	link, err := netlink.LinkByName(e.name)
	if err != nil {
		return err
	}
	if !w.topology.Offload {
		if err := offloadsOff(e.name); err != nil {
			return err
		}
	}
	if e.bridge != "" {
		br, err := netlink.LinkByName(e.bridge)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(link, br); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

// awaitUp waits until every end carries frames. Before that the kernel drops
// what is sent, and a lost SYN costs a second.
func awaitUp(ends []end) error {
	ctx, cancel := context.WithTimeout(context.Background(), linksUp)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, e := range ends {
		for {
			var state netlink.LinkOperState
			err := e.ns.do(func() error {
				link, err := netlink.LinkByName(e.name)
				if err == nil {
					state = link.Attrs().OperState
				}
				return err
			})
			if err != nil {
				return err
			}
			if state == netlink.OperUp {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("interface %s of %s is still %s after %v", e.name, e.ns.name, state, linksUp)
			}
		}
	}
	return nil
}

// configure gives the node's interfaces their addresses, then the routes that
// lead over them.
func configure(n *Node) error {
	for _, i := range n.Interfaces {
		link, err := netlink.LinkByName(i.Segment)
		if err != nil {
			return err
		}
		for _, p := range i.Addresses {
			addr := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
			if err := netlink.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("address %s: %w", p, err)
			}
		}
	}
	for _, a := range n.Loopback {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Flags: unix.IFA_F_NODAD}
			err = netlink.AddrAdd(lo, addr)
		}
		if err != nil {
			return fmt.Errorf("address %s on lo: %w", a, err)
		}
	}
	for _, r := range n.Routes {
		if err := netlink.RouteAdd(&netlink.Route{Dst: ipNet(r.To), Gw: r.Via.AsSlice()}); err != nil {
			return fmt.Errorf("route to %s via %s: %w", r.To, r.Via, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// offloadsOff makes what is sent through a link look, at both ends, as it would
// on a cable: checksums filled in, no segment larger than the MTU.
func offloadsOff(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, command := range []uint32{unix.ETHTOOL_SRXCSUM, unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO} {
		if err := ethtoolSet(fd, name, command, 0); err != nil {
			return fmt.Errorf("switch offload %#x of %s off: %w", command, name, err)
		}
	}
	return nil
}

// ethtoolSet is SIOCETHTOOL with a struct ethtool_value, for which x/sys has no
// wrapper.
func ethtoolSet(fd int, name string, command, value uint32) error {
	arg := struct{ command, value uint32 }{command, value}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // struct ifreq is 40 bytes long on 64-bit systems
	}{data: unsafe.Pointer(&arg)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
