// Package netstack turns devices into an IP host and router. It knows frames,
// addresses, routes and neighbours, and nothing of load balancing: what is
// special about a packet is the Hook's to say, before anything was spent on it.
package netstack

import (
	"log/slog"
	"net/netip"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// Hook decides about frames below the IP stack. Ingress and Next are called
// from every receive loop at once and from the timer; they must be safe for
// that, must not block and must not keep p.
type Hook interface {
	// Ingress is asked about every IP frame that parsed and passed the MAC
	// filter of port in, which lets pass everything untagged in a bridge; p is the hook's to rewrite until it returns. ARP and
	// neighbour discovery are not shown to it: they belong to the link.
	//
	// It is also asked about ICMP errors that the stack owes about a packet
	// the hook had rewritten, as if a router behind the egress port sent them.
	Ingress(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict
	// Next hands out one frame that was held and whose wait has ended, loaded
	// into p, with the port it came in by. It is called after each frame and
	// at each tick until ok is false.
	Next(now time.Duration, p *packet.Packet) (in packet.PortID, v packet.Verdict, ok bool)
	// Tick is called every 100 ms from one goroutine.
	Tick(now time.Duration)
}

// PortConfig describes one port. The Stack owns the device from New on, also
// when New fails.
type PortConfig struct {
	Name      string // unique, not empty
	Device    device.Device
	Addresses []netip.Prefix // own addresses with their on-link prefixes

	// SharedThread spares the receive loops a thread of their own: for devices
	// whose Read blocks in Go and not in the kernel, as a wire's does.
	SharedThread bool
}

// Route sends the destinations in To to a gateway, or straight onto a port.
// The networks of the ports' addresses need none.
type Route struct {
	To   netip.Prefix
	Via  netip.Addr // the gateway; zero: the destinations are on Port's link
	Port string     // may be empty where Via is on-link at one port
}

// Config describes a Stack.
type Config struct {
	Ports []PortConfig
	// Routes; where the only port is LinkRaw, everything without a route goes
	// there, since it can go nowhere else.
	Routes  []Route
	Forward bool // route transit packets; else drop them as NotForwarding
	// Bridge makes all ports, which must be LinkEthernet, one broadcast domain.
	// The addresses of all of them are then the bridge's, and so is the MAC of
	// the first. What is not for the stack itself crosses it as it is, unless
	// the hook says otherwise, which is asked about foreign IP frames too.
	Bridge bool
	Log    *slog.Logger         // nil: discarded
	Clock  func() time.Duration // monotonic; nil: time since New
}
