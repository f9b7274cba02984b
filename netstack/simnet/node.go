package simnet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"weir/netstack"
	"weir/netstack/device"
)

// Port joins a host or router to a network: an end of a wire, or what
// Segment.Attach returned. The node owns the device.
type Port struct {
	Name      string
	Device    device.Device
	Addresses []netip.Prefix
}

// Host is a station with a TCP/IP stack of its own.
type Host struct {
	name  string
	stack *netstack.Stack
	hook  *hook
	end   func() error
}

// HostConfig describes a host.
type HostConfig struct {
	Name      string
	Device    device.Device
	Addresses []netip.Prefix
	Gateways  []netip.Addr // default gateways: one an IP version at most
	Log       *slog.Logger // nil: discarded
}

// NewHost starts a host on one device. When it returns, the host answers.
func NewHost(c HostConfig) (*Host, error) {
	var routes []netstack.Route
	for _, g := range c.Gateways {
		routes = append(routes, netstack.Route{To: netip.PrefixFrom(unspecified(g), 0), Via: g, Port: c.Name})
	}
	port := Port{Name: c.Name, Device: c.Device, Addresses: c.Addresses}
	return newHost(c.Name, c.Log, []Port{port}, routes, false, newHook())
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// newHost starts a stack and waits until it reads.
func newHost(name string, log *slog.Logger, ports []Port, routes []netstack.Route, forward bool, k *hook) (*Host, error) {
	cfg := netstack.Config{Routes: routes, Forward: forward, Log: log}
	for _, p := range ports {
		cfg.Ports = append(cfg.Ports, netstack.PortConfig{
			Name: p.Name, Device: p.Device, Addresses: p.Addresses, SharedThread: true})
	}
	s, err := netstack.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("simnet: %s: %w", name, err)
	}
	k.stack = s
	s.SetHook(k)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }() // ended by Close, or the loss of a device
	h := &Host{name: name, stack: s, hook: k, end: sync.OnceValue(func() error {
		closing := s.Close()
		if err := <-ended; err != nil {
			return fmt.Errorf("simnet: %s: %w", name, err)
		}
		return closing
	})}
	select {
	case <-s.Ready():
		return h, nil
	case err := <-ended:
		_ = s.Close()
		return nil, fmt.Errorf("simnet: %s: %w", name, err)
	}
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Stack is the host's stack: for taps, counters, neighbours, more addresses.
func (h *Host) Stack() *netstack.Stack { return h.stack }

// Dial, Listen and ListenPacket are the stack's.
func (h *Host) Dial(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error) {
	return h.stack.Dial(ctx, network, local, remote)
}

func (h *Host) Listen(network string, at netip.AddrPort) (net.Listener, error) {
	return h.stack.Listen(network, at)
}

func (h *Host) ListenPacket(network string, at netip.AddrPort) (net.PacketConn, error) {
	return h.stack.ListenPacket(network, at)
}

// DialContext is Dial in the form that net/http.Transport wants. The address is
// a literal one: there are no names in simulated networks.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	remote, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "not an IP address and port", Addr: address}}
	}
	return h.stack.Dial(ctx, network, netip.AddrPort{}, remote)
}

// Close ends the host and its sockets and waits for its goroutines. The error
// is why it ended before, if it did.
func (h *Host) Close() error { return h.end() }
