// Package config turns the text of a configuration file into a validated
// Config, or into every fault of the file at once, each with its line and
// column.
//
// It is pure: no file is opened, no clock, environment or network is asked.
// A Config that Parse returned holds nothing left to check and nothing left to
// default; whoever gets one only reads it.
package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"weir/netstack/packet"
)

// Config is one whole configuration. It is immutable by agreement: it is shared
// between goroutines without a lock, so nobody writes to it after Parse.
type Config struct {
	Topology Topology
	Ports    []Port  // in file order: the index is the packet.PortID
	Routes   []Route // in file order; the longest prefix wins
	// Neighbours are stations whose MAC is not asked for.
	Neighbours []Neighbour
	Pool       []PoolRange // source addresses of fullnat
	Services   []Service   // in file order
	Control    Control
	Host       HostSide
	Limits     Limits
	Timeouts   Timeouts
	Log        Log
}

// Port is one network interface of the appliance.
type Port struct {
	Name      string
	Kind      PortKind
	Device    string         // the kernel's name of the TAP or TUN, 15 bytes at most
	Bridge    string         // Linux bridge to put the TAP into; "" for none
	Addresses []netip.Prefix // weir's own (DIP), each with its subnet's length, host bits kept
	MTU       int            // bytes of an IP packet, 576 to 65521; 0: the device's own
	MAC       packet.MAC     // zero: the device chooses
	Queues    int            // 1 to 256
}

// Route says where packets go that no port's subnet holds.
type Route struct {
	To   netip.Prefix
	Via  netip.Addr // invalid: To is on the link of Port
	Port string     // "": the port whose subnet holds Via
}

// Neighbour is a station on a port's segment that is believed to have a MAC
// whatever the segment says.
type Neighbour struct {
	Address netip.Addr
	MAC     packet.MAC
}

// PoolRange is an inclusive run of addresses.
type PoolRange struct{ From, To netip.Addr }

// Service is a virtual service: what clients talk to.
type Service struct {
	Name      string
	VIP       netip.AddrPort // port 0: all ports
	Protocol  Protocol
	Method    Method
	Scheduler Scheduler
	Affinity  *Affinity // nil: none
	Check     *Check    // nil: none
	Cookie    *Cookie   // nil: none
	Tunnel    *Tunnel   // not nil where Method is MethodTunnel
	Reals     []Real    // in file order, which stands for the order of ipvsadm -a; may be empty
}

// Real is a real server of one service.
type Real struct {
	Name    string         // unique in its service; Address as text where the file gives none
	Address netip.AddrPort // port 0: the port that the client asked for
	Weight  int            // 0 to 65535; 0 drains
}

// Affinity keeps a client with its real server longer than one connection.
type Affinity struct {
	By      AffinityKey
	Prefix  int // leading bits of the client's address that count as one client
	Timeout time.Duration
}

// Check asks a real server whether it is well.
type Check struct {
	Kind     CheckKind
	Path     string // of CheckHTTP
	Interval time.Duration
	Timeout  time.Duration
	Rise     int // good answers in a row that bring a real server up
	Fall     int // bad ones that take it down
}

// Cookie is the affinity of the proxy method, in HAProxy's words.
type Cookie struct {
	Name     string
	Mode     CookieMode
	Indirect bool
	NoCache  bool
	PostOnly bool
	Preserve bool
	HTTPOnly bool
	Secure   bool
	Domain   string
	MaxIdle  time.Duration // 0: no limit
	MaxLife  time.Duration // 0: no limit
	Dynamic  bool
}

// Tunnel is the encapsulation towards the real servers of a service.
type Tunnel struct {
	Type TunnelType
	Port uint16 // UDP port of gue and vxlan; 0 for the others
	TTL  uint8  // of the outer packet, 1 to 255
	// Fragment says what becomes of a packet that does not fit with its outer
	// header.
	Fragment Fragment
}

// Control is the operator's way in.
type Control struct {
	Socket string         // path of the unix socket; "": the command's default
	HTTP   netip.AddrPort // invalid: no web page and no metrics over HTTP
}

// HostSide is what weir does to the machine it runs on.
type HostSide struct {
	// Manage: bring the TUN up, route the VIPs into it and, for nat, the
	// replies of the real servers; take all of it back at the end.
	Manage bool
}

// Limits are hard sizes.
type Limits struct {
	Flows int // entries of the flow table, 1 to 16,777,216
	// PoolPorts are the source ports that fullnat takes of each pool address.
	PoolPorts PortRange
}

// PortRange is an inclusive run of ports.
type PortRange struct{ First, Last uint16 }

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Timeouts are how long a flow may stay silent in a state before it is
// forgotten.
type Timeouts struct {
	Established, SynSent, SynRecv, FinWait, TimeWait, Close, CloseWait, LastAck time.Duration
	UDP, ICMP                                                                   time.Duration
}

// Log is what the process writes about itself.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// VIPs are the addresses of all services, each once, in ascending order.
func (c *Config) VIPs() []netip.Addr {
	vips := make([]netip.Addr, 0, len(c.Services))
	for i := range c.Services {
		vips = append(vips, c.Services[i].VIP.Addr())
	}
	slices.SortFunc(vips, netip.Addr.Compare)
	return slices.Compact(vips)
}

// PoolAddrs are the addresses of the pool, in file order: at most 1,024.
func (c *Config) PoolAddrs() []netip.Addr {
	var addrs []netip.Addr
	for _, r := range c.Pool {
		for a := r.From; a.IsValid() && !r.To.Less(a); a = a.Next() {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// Port finds a port and its index by name; -1 and false where there is none.
func (c *Config) Port(name string) (int, bool) {
	i := slices.IndexFunc(c.Ports, func(p Port) bool { return p.Name == name })
	return i, i >= 0
}

// Service finds a service by name; nil where there is none.
func (c *Config) Service(name string) *Service {
	i := slices.IndexFunc(c.Services, func(s Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Services[i]
}

// Real finds a real server of the service by name; nil where there is none.
func (s *Service) Real(name string) *Real {
	i := slices.IndexFunc(s.Reals, func(r Real) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Reals[i]
}

// AllPorts reports whether the service stands for every port of its VIP.
func (s *Service) AllPorts() bool { return s.VIP.Port() == 0 }
