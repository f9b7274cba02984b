package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"weir/netstack/packet"
)

// Stack is a host, and if told so a router, over its ports.
type Stack struct{ ready chan struct{} }

var errUnbuilt = errors.New("netstack: not built yet")

// New builds a Stack; nothing is read before Run.
func New(cfg Config) (*Stack, error) { return nil, errUnbuilt }

// SetHook installs the hook; before Run only. Without one every frame passes.
func (s *Stack) SetHook(h Hook) {}

// SetTap installs a tap, or removes it with nil; at any time.
func (s *Stack) SetTap(t Tap) {}

// Run reads and processes frames until ctx ends (nil), Close (nil) or the loss
// of a device (an error that names the port). It closes the devices.
func (s *Stack) Run(ctx context.Context) error { return errUnbuilt }

// Ready is closed when every receive loop is about to read.
func (s *Stack) Ready() <-chan struct{} { return s.ready }

// String names the task.
func (s *Stack) String() string { return "netstack" }

// Close ends Run, all sockets and all goroutines, and waits for them.
func (s *Stack) Close() error { return nil }

// AddVIP makes addr an address of every port: answered to in ARP, NDP and ICMP
// echo, usable by Listen, never chosen as a source.
func (s *Stack) AddVIP(addr netip.Addr) error { return errUnbuilt }

// RemoveVIP takes back what AddVIP did; its sockets stay.
func (s *Stack) RemoveVIP(addr netip.Addr) error { return errUnbuilt }

// Local reports whether addr is an address of a port or a VIP.
func (s *Stack) Local(addr netip.Addr) bool { return false }

// NextHop says how a packet to dst leaves. It never blocks: OK, NeighbourWait
// (the next hop has been asked just now or before), NeighbourFailed, NoRoute.
func (s *Stack) NextHop(now time.Duration, dst netip.Addr) (packet.Hop, packet.Reason) {
	return packet.Hop{}, packet.NoRoute
}

// Generation grows whenever an answer of NextHop or Local may have changed.
func (s *Stack) Generation() uint32 { return 0 }

// SetNeighbour pins addr to mac on the port that routes to it on-link.
func (s *Stack) SetNeighbour(addr netip.Addr, mac packet.MAC) error { return errUnbuilt }

// Neighbours is a snapshot of the neighbour table, sorted by port and address.
func (s *Stack) Neighbours() []Neighbour { return nil }

// Counters is a snapshot of all counters.
func (s *Stack) Counters() Counters { return Counters{} }

// Send routes a raw IP packet of our own (p from Store[Start:End], parsed or
// not). Hooks do not see it.
func (s *Stack) Send(p *packet.Packet) packet.Reason { return packet.NoRoute }

// Dial connects to remote; network is tcp, tcp4, tcp6, udp, udp4 or udp6. A zero local
// address lets the stack choose; a zero local port too.
func (s *Stack) Dial(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error) {
	return nil, errUnbuilt
}

// Listen accepts TCP connections at an address of ours, a VIP, or any (the
// zero address of a family).
func (s *Stack) Listen(network string, at netip.AddrPort) (net.Listener, error) {
	return nil, errUnbuilt
}

// ListenPacket receives UDP datagrams likewise.
func (s *Stack) ListenPacket(network string, at netip.AddrPort) (net.PacketConn, error) {
	return nil, errUnbuilt
}
