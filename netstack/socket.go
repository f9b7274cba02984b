package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
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
		var from *tcpip.FullAddress
		if local.IsValid() {
			a := full(local)
			from = &a
		}
		c, err := gonet.DialUDP(s.host, from, &to, protocolOf(remote.Addr()))
		if err != nil {
			return fail(cause(err))
		}
		return &udpConn{UDPConn: c}, nil
	}
	e, err := s.connect(ctx, full(local), to, protocolOf(remote.Addr()))
	if err != nil {
		return fail(cause(err))
	}
	return e, nil
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
		from := full(at)
		var c *gonet.UDPConn
		if c, err = gonet.DialUDP(s.host, &from, nil, protocolOf(at.Addr())); err == nil {
			return &udpConn{UDPConn: c}, nil
		}
	}
	return nil, &net.OpError{Op: "listen", Net: network, Addr: goAddr(network, at), Err: cause(err)}
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

// cause is the translated error inside gonet's: what it was about is said by
// the caller's own wrapping.
func cause(err error) error {
	err = translateText(err)
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// tcpConn is gonet's connection with errors that errors.Is knows. Deadlines
// and half-closes are gonet's.
type tcpConn struct {
	*gonet.TCPConn
	closed atomic.Bool
}

func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	return n, c.translate(err)
}

func (c *tcpConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	return n, c.translate(err)
}

func (c *tcpConn) CloseRead() error  { return c.translate(c.TCPConn.CloseRead()) }
func (c *tcpConn) CloseWrite() error { return c.translate(c.TCPConn.CloseWrite()) }

func (c *tcpConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	return translateText(c.TCPConn.Close())
}

// translate knows, as gonet does not, which side ended the connection.
func (c *tcpConn) translate(err error) error {
	if err == nil || err == io.EOF && !c.closed.Load() {
		return err
	}
	if c.closed.Load() {
		return &net.OpError{Op: "use", Net: "tcp", Err: net.ErrClosed}
	}
	return translateText(err)
}

// udpConn is likewise.
type udpConn struct {
	*gonet.UDPConn
	closed atomic.Bool
}

func (c *udpConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	return n, c.translate(err)
}

func (c *udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(b)
	return n, from, c.translate(err)
}

func (c *udpConn) Write(b []byte) (int, error) {
	n, err := c.UDPConn.Write(b)
	return n, c.translate(err)
}

// WriteTo takes a *net.UDPAddr.
func (c *udpConn) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: syscall.EINVAL}
	}
	if v4 := udp.IP.To4(); v4 != nil {
		udp = &net.UDPAddr{IP: v4, Port: udp.Port}
	}
	n, err := c.UDPConn.WriteTo(b, udp)
	return n, c.translate(err)
}

func (c *udpConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	return translateText(c.UDPConn.Close())
}

func (c *udpConn) translate(err error) error {
	if err != nil && c.closed.Load() {
		return &net.OpError{Op: "use", Net: "udp", Err: net.ErrClosed}
	}
	return translateText(err)
}
