package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// Dial connects to remote. network is tcp, tcp4, tcp6, udp, udp4 or udp6. The
// zero local lets the stack choose address and port; an invalid local address
// with a port, or an address with port 0, chooses the other. TCP connections
// have keepalive on.
func (s *Stack) Dial(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Source: goAddr(network, local), Addr: goAddr(network, remote), Err: err}
	}
	if err := checkNetwork(network, remote.Addr()); err != nil {
		return fail(err)
	}
	if local.Addr().IsValid() && local.Addr().Is4() != remote.Addr().Is4() {
		return fail(syscall.EAFNOSUPPORT)
	}
	// gVisor has a route to everything on each NIC; weir knows better.
	if _, ok := s.routes.lookup(remote.Addr()); !ok && !s.Local(remote.Addr()) {
		return fail(syscall.ENETUNREACH)
	}
	to := full(remote)
	if network[0] == 'u' {
		c, err := s.datagrams(full(local), &to, protocolOf(remote.Addr()))
		if err != nil {
			return fail(err)
		}
		return c, nil
	}
	c, err := s.connect(ctx, full(local), to, protocolOf(remote.Addr()))
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// Listen accepts TCP connections at an address of ours, a VIP, or at any (the
// unspecified address of a family); network is tcp, tcp4 or tcp6. Accepted
// connections have keepalive on.
func (s *Stack) Listen(network string, at netip.AddrPort) (net.Listener, error) {
	err := checkNetwork(network, at.Addr())
	if err == nil && network[0] != 't' {
		err = net.UnknownNetworkError(network)
	}
	if err == nil {
		var l *listener
		if l, err = s.listen(full(at), protocolOf(at.Addr())); err == nil {
			return l, nil
		}
	}
	return nil, &net.OpError{Op: "listen", Net: network, Addr: goAddr(network, at), Err: err}
}

// ListenPacket receives UDP datagrams likewise; network is udp, udp4 or udp6.
func (s *Stack) ListenPacket(network string, at netip.AddrPort) (net.PacketConn, error) {
	err := checkNetwork(network, at.Addr())
	if err == nil && network[0] != 'u' {
		err = net.UnknownNetworkError(network)
	}
	if err == nil {
		var c *udpConn
		if c, err = s.datagrams(full(at), nil, protocolOf(at.Addr())); err == nil {
			return c, nil
		}
	}
	return nil, &net.OpError{Op: "listen", Net: network, Addr: goAddr(network, at), Err: err}
}

func checkNetwork(network string, a netip.Addr) error {
	switch network {
	case "tcp", "udp", "tcp4", "udp4", "tcp6", "udp6":
	default:
		return net.UnknownNetworkError(network)
	}
	switch {
	case !a.IsValid():
		return errors.New("no address")
	case len(network) == 4 && (network[3] == '4') != a.Is4():
		return fmt.Errorf("%s is no address of network %s: %w", a, network, syscall.EAFNOSUPPORT)
	}
	return nil
}

// full is a in gVisor's form; there an unspecified address is an empty one.
func full(a netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{Port: a.Port()}
	if a.Addr().IsValid() && !a.Addr().IsUnspecified() {
		f.Addr = address(a.Addr())
	}
	return f
}

func goAddr(network string, a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return nil
	}
	if network != "" && network[0] == 'u' {
		return net.UDPAddrFromAddrPort(a)
	}
	return net.TCPAddrFromAddrPort(a)
}
