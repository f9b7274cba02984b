package netstack

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Keepalive of every TCP connection, so that a peer that vanished is noticed
// within about two minutes.
const (
	keepaliveIdle     = 60 * time.Second
	keepaliveInterval = 15 * time.Second
	keepaliveCount    = 4
)

// connect is gonet's DialTCPWithBind for a connection with keepalive.
func (s *Stack) connect(ctx context.Context, local, remote tcpip.FullAddress, proto tcpip.NetworkProtocolNumber) (*tcpConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	queue := new(waiter.Queue)
	ep, err := s.host.NewEndpoint(tcp.ProtocolNumber, proto, queue)
	if err != nil {
		return nil, translate(err)
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	if local != (tcpip.FullAddress{}) {
		err = ep.Bind(local)
	}
	if err == nil {
		err = ep.Connect(remote)
	}
	if _, started := err.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			ep.Close()
			return nil, ctx.Err()
		case <-ready:
			err = ep.LastError()
		}
	}
	if err != nil {
		ep.Close()
		return nil, translate(err)
	}
	return newTCPConn(queue, ep), nil
}

func newTCPConn(queue *waiter.Queue, ep tcpip.Endpoint) *tcpConn {
	idle, interval := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveInterval)
	// These fail only on an endpoint that has ended already, whose user will
	// find out.
	_ = ep.SetSockOpt(&idle)
	_ = ep.SetSockOpt(&interval)
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepaliveCount)
	ep.SocketOptions().SetKeepAlive(true)
	return &tcpConn{TCPConn: gonet.NewTCPConn(queue, ep)}
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
