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
	// filter of port in; p is the hook's to rewrite until it returns. ARP and
	// neighbour discovery are not shown to it: they belong to the link.
	Ingress(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict
	// Next hands out one frame that was held and whose wait has ended, loaded
	// into p, with the port it came in by. It is called after each frame and
	// at each tick until ok is false.
	Next(now time.Duration, p *packet.Packet) (in packet.PortID, v packet.Verdict, ok bool)
	// Tick is called every 100 ms from one goroutine.
	Tick(now time.Duration)
}

// Point says where a Tap saw a frame.
type Point uint8

const (
	Rx   Point = iota // as it was read, before Parse
	Tx                // as it is handed to the device
	Drop              // as it was when it was dropped, with the reason
)

// Tap is shown every frame at every point. It runs on the data path: it must
// copy what it keeps and must not block. p may be unparsed, and must not be
// changed.
type Tap interface {
	Frame(now time.Duration, point Point, port packet.PortID, p *packet.Packet, r packet.Reason)
}

// PortConfig describes one port. The Stack owns the device from New on, also
// when New fails.
type PortConfig struct {
	Name      string // unique, not empty
	Device    device.Device
	Addresses []netip.Prefix // own addresses with their on-link prefixes
}

// Route sends the destinations in To to a gateway, or straight onto a port.
type Route struct {
	To   netip.Prefix
	Via  netip.Addr // the gateway; zero: the destinations are on Port's link
	Port string     // may be empty where Via is on-link at one port
}

// Config describes a Stack.
type Config struct {
	Ports   []PortConfig
	Routes  []Route
	Forward bool                 // route transit packets; else drop them as NotForwarding
	Log     *slog.Logger         // nil: discarded
	Clock   func() time.Duration // monotonic; nil: time since New
}

// NeighbourState is how far a neighbour's MAC can be trusted.
type NeighbourState uint8

const (
	Incomplete NeighbourState = iota // asked for, no answer yet
	Reachable                        // confirmed within the last 30 s
	Stale                            // known, not confirmed lately; still used
	Failed                           // three questions, no answer
	Static                           // set by SetNeighbour, never asked for
)

// Neighbour is one row of the neighbour table.
type Neighbour struct {
	Port  packet.PortID
	Addr  netip.Addr
	MAC   packet.MAC // zero while Incomplete or Failed
	State NeighbourState
	Age   time.Duration // since the last confirmation, or since the first question
}

// PortCounters counts what one port did since New. Drops are counted on the
// port that the frame came in by, failures of a device on that device's port.
type PortCounters struct {
	Name              string
	RxFrames, RxBytes uint64
	TxFrames, TxBytes uint64
	Drops             [packet.NumReasons]uint64
}

// Counters is a snapshot of all counters of a Stack.
type Counters struct {
	Ports      []PortCounters
	Delivered  uint64 // packets given to the host stack
	Forwarded  uint64 // transit packets routed on
	Answers    uint64 // ICMP errors sent
	Suppressed uint64 // ICMP errors owed but over the rate
	Solicits   uint64 // ARP requests and neighbour solicitations sent
	Spoofs     uint64 // ARP or NDP claims to an address of ours
	Contests   uint64 // claims to a neighbour's address that its owner refuted
	Panics     uint64 // frames whose processing panicked
}
