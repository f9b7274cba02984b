package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weir/netstack/packet"
)

// Topology describes a network without saying what it is made of.
type Topology struct {
	Name     string
	Segments []Segment
	Nodes    []Node
	Weir     Attachment

	// Offload leaves checksum and segmentation offloads of the kernel world's
	// links on. That is fast, but captures then show partial checksums and
	// super-packets; leave it false where a capture is evidence.
	Offload bool
}

// Segment is one broadcast domain.
type Segment struct {
	Name string // also the interfaces' name in the kernel world: 12 characters at most
	MTU  int    // bytes of IP; 0: 1500
}

// Node is a station: a host, or with Forward a router.
type Node struct {
	Name       string
	Interfaces []Interface
	Routes     []Route
	Forward    bool
	// Loopback are addresses that the node has without answering for them on
	// its segments: the VIPs of a real server that answers clients itself.
	Loopback []netip.Addr
	// Decap are the networks of directors whose tunnels, of all formats, the
	// node opens for packets to its Loopback addresses.
	Decap []netip.Prefix
	// Sysctls are written in the kernel world only, below /proc/sys/net of the
	// node's own namespace: "ipv4/tcp_max_tw_buckets": "2048".
	Sysctls map[string]string
}

// Interface joins a node to a segment.
type Interface struct {
	Segment   string
	MAC       packet.MAC // zero: made from the segment and the node's place in it
	Addresses []netip.Prefix
}

// Route sends the destinations in To to a neighbour.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Attachment is the place that a topology keeps for weir.
type Attachment struct {
	// Node is whose kernel weir's TUN stands in (topology host); empty where
	// weir is a station of its own with TAPs on segments.
	Node  string
	Ports []Port
	// Topology is what weir's configuration calls it; empty: host where Node is
	// set, else routed.
	Topology string
	// Pool are source addresses for fullnat, as a configuration lists them.
	Pool []netip.Addr
	// VIPs are the addresses weir serves, and Reals those it serves them with.
	// In the kernel world weir itself steers them into its TUN; a simulated
	// host has nobody to do it and is built with the steering in place.
	VIPs, Reals []netip.Addr
}

// Port is one device of weir: a TAP on a segment, or without a segment a TUN.
type Port struct {
	Name      string // in weir's configuration
	Device    string // of the TUN or TAP: 15 characters at most
	Segment   string
	MAC       packet.MAC // of a TAP; zero: left to the device
	Addresses []netip.Prefix
}

// Node finds a node by its name; nil where there is none.
func (t *Topology) Node(name string) *Node {
	for i := range t.Nodes {
		if t.Nodes[i].Name == name {
			return &t.Nodes[i]
		}
	}
	return nil
}

// Segment finds a segment by its name; nil where there is none.
func (t *Topology) Segment(name string) *Segment {
	for i := range t.Segments {
		if t.Segments[i].Name == name {
			return &t.Segments[i]
		}
	}
	return nil
}

// Addr4 is the node's first IPv4 address, Addr6 its first IPv6 address; the
// zero Addr where it has none.
func (n *Node) Addr4() netip.Addr { return n.first(netip.Addr.Is4) }
func (n *Node) Addr6() netip.Addr { return n.first(netip.Addr.Is6) }

func (n *Node) first(is func(netip.Addr) bool) netip.Addr {
	for _, i := range n.Interfaces {
		for _, p := range i.Addresses {
			if is(p.Addr()) {
				return p.Addr()
			}
		}
	}
	return netip.Addr{}
}

// deviceNameMax is IFNAMSIZ less the terminating zero; a segment's name must
// leave room for the prefix of its bridge.
const (
	deviceNameMax  = 15
	segmentNameMax = deviceNameMax - len("br-")
)

// Check reports every fault of the description at once.
func (t *Topology) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	names := map[string]bool{}
	once := func(what, name string) {
		switch {
		case name == "":
			fault("a %s has no name", what)
		case names[what+name]:
			fault("two %ss are named %s", what, name)
		}
		names[what+name] = true
	}
	for _, s := range t.Segments {
		once("segment", s.Name)
		if len(s.Name) > segmentNameMax {
			fault("segment %s: its name is longer than %d characters", s.Name, segmentNameMax)
		}
	}
	for _, n := range t.Nodes {
		once("node", n.Name)
		on := map[string]bool{}
		for _, i := range n.Interfaces {
			if t.Segment(i.Segment) == nil {
				fault("node %s: there is no segment %q", n.Name, i.Segment)
			}
			if on[i.Segment] {
				fault("node %s: two interfaces on segment %s", n.Name, i.Segment)
			}
			on[i.Segment] = true
		}
	}
	for _, p := range t.Weir.Ports {
		once("port", p.Name)
		if p.Device == "" || len(p.Device) > deviceNameMax {
			fault("port %s: device name %q is not 1 to %d characters long", p.Name, p.Device, deviceNameMax)
		}
		if p.Segment != "" && t.Segment(p.Segment) == nil {
			fault("port %s: there is no segment %q", p.Name, p.Segment)
		}
		if p.Segment == "" && t.Weir.Node == "" {
			fault("port %s: a TUN needs a node to stand in", p.Name)
		}
	}
	if t.Weir.Node != "" && t.Node(t.Weir.Node) == nil {
		fault("weir's place: there is no node %q", t.Weir.Node)
	}
	if len(faults) > 0 {
		return fmt.Errorf("topology %s: %w", t.Name, errors.Join(faults...))
	}
	return nil
}

// mtu is the segment's MTU with its default.
func (s *Segment) mtu() int {
	if s.MTU == 0 {
		return 1500
	}
	return s.MTU
}

// mac is the MAC of the node's interface on the segment, or the one its place
// gives it: locally administered, and the same in both worlds, so that captures
// of the two can be compared.
func (t *Topology) mac(node, segment string) packet.MAC {
	mac, _ := t.station(node, segment)
	return mac
}

// station is mac, and whether the node has an interface on the segment.
func (t *Topology) station(node, segment string) (mac packet.MAC, there bool) {
	on := slices.IndexFunc(t.Segments, func(s Segment) bool { return s.Name == segment })
	at := slices.IndexFunc(t.Nodes, func(n Node) bool { return n.Name == node })
	if on < 0 || at < 0 {
		return mac, false
	}
	for _, f := range t.Nodes[at].Interfaces {
		if f.Segment != segment {
			continue
		}
		if f.MAC.IsZero() {
			return packet.MAC{0x02, 0, 0, 0xff, byte(on), byte(at)}, true
		}
		return f.MAC, true
	}
	return mac, false
}

// tapOn reports whether weir has a TAP on the segment.
func (t *Topology) tapOn(segment string) bool {
	for _, p := range t.Weir.Ports {
		if p.Segment == segment {
			return true
		}
	}
	return false
}

// device finds a port by its device's name.
func (a *Attachment) device(name string) (Port, bool) {
	for _, p := range a.Ports {
		if p.Device == name {
			return p, true
		}
	}
	return Port{}, false
}

// config is the head of weir's configuration for its place; manage says whether
// there is a host around weir for it to manage.
func (t *Topology) config(manage bool) string {
	a := &t.Weir
	topology, kind := "routed", "tap"
	if a.Node != "" {
		topology, kind = "host", "tun"
	}
	if a.Topology != "" {
		topology = a.Topology
	}
	var c strings.Builder
	fmt.Fprintf(&c, "topology: %s\nports:\n", topology)
	for _, p := range a.Ports {
		fmt.Fprintf(&c, "  - name: %s\n    %s: %s\n", p.Name, kind, p.Device)
		if !p.MAC.IsZero() {
			fmt.Fprintf(&c, "    mac: \"%s\"\n", p.MAC)
		}
		if s := t.Segment(p.Segment); s != nil && s.MTU != 0 {
			fmt.Fprintf(&c, "    mtu: %d\n", s.MTU)
		}
		if len(p.Addresses) > 0 {
			c.WriteString("    addresses:\n")
		}
		for _, prefix := range p.Addresses {
			fmt.Fprintf(&c, "      - \"%s\"\n", prefix)
		}
	}
	if len(a.Pool) > 0 {
		c.WriteString("pool:\n")
	}
	for _, addr := range a.Pool {
		fmt.Fprintf(&c, "  - \"%s\"\n", addr)
	}
	if a.Node != "" && !manage {
		c.WriteString("host: {manage: false}\n")
	}
	return c.String()
}
