package netstack

import (
	"net"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// datagrams makes a UDP endpoint at local, connected if there is a remote.
func (s *Stack) datagrams(local tcpip.FullAddress, remote *tcpip.FullAddress, proto tcpip.NetworkProtocolNumber) (*udpConn, error) {
	queue := new(waiter.Queue)
	ep, err := s.host.NewEndpoint(udp.ProtocolNumber, proto, queue)
	if err != nil {
		return nil, translate(err)
	}
	if local != (tcpip.FullAddress{}) || remote == nil {
		err = ep.Bind(local)
	}
	if err == nil && remote != nil {
		err = ep.Connect(*remote)
	}
	if err != nil {
		ep.Close()
		return nil, translate(err)
	}
	// gonet's Read waits for data only. An ICMP error wakes it by this; from a
	// goroutine, since the queue's lock is held here.
	onError := waiter.NewFunctionEntry(waiter.EventErr, func(waiter.EventMask) {
		go queue.Notify(waiter.ReadableEvents)
	})
	queue.EventRegister(&onError)
	return &udpConn{UDPConn: gonet.NewUDPConn(queue, ep)}, nil
}

// udpConn is gonet's UDP connection with errors that errors.Is knows.
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
