package netstack

import (
	"net"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// backlog is how many connections may wait to be accepted; beyond, gVisor
// answers with SYN cookies.
const backlog = 4096

// listener is a listening endpoint. gonet has one too, which keeps accepted
// endpoints to itself; but they inherit no keepalive, so it must be set here.
type listener struct {
	ep     tcpip.Endpoint
	queue  *waiter.Queue
	addr   net.Addr
	close  sync.Once
	closed chan struct{}
}

func (s *Stack) listen(at tcpip.FullAddress, proto tcpip.NetworkProtocolNumber) (*listener, error) {
	queue := new(waiter.Queue)
	ep, err := s.host.NewEndpoint(tcp.ProtocolNumber, proto, queue)
	if err != nil {
		return nil, translate(err)
	}
	if err = ep.Bind(at); err == nil {
		err = ep.Listen(backlog)
	}
	if err != nil {
		ep.Close()
		return nil, translate(err)
	}
	l := &listener{ep: ep, queue: queue, closed: make(chan struct{})}
	if a, err := ep.GetLocalAddress(); err == nil {
		ip := net.IP(a.Addr.AsSlice())
		if a.Addr.BitLen() == 0 {
			ip = net.IPv6unspecified
			if proto == header.IPv4ProtocolNumber {
				ip = net.IPv4zero
			}
		}
		l.addr = &net.TCPAddr{IP: ip, Port: int(a.Port)}
	}
	return l, nil
}

func (l *listener) Accept() (net.Conn, error) {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
	l.queue.EventRegister(&entry)
	defer l.queue.EventUnregister(&entry)
	for {
		ep, queue, err := l.ep.Accept(nil)
		switch err.(type) {
		case nil:
			return newTCPConn(queue, ep), nil
		case *tcpip.ErrWouldBlock:
		default:
			return nil, l.fail(translate(err))
		}
		select {
		case <-ready:
		case <-l.closed:
			return nil, l.fail(net.ErrClosed)
		}
	}
}

func (l *listener) fail(err error) error {
	select {
	case <-l.closed:
		err = net.ErrClosed
	default:
	}
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: err}
}

func (l *listener) Close() error {
	err := net.ErrClosed
	l.close.Do(func() {
		close(l.closed)
		l.ep.Close()
		err = nil
	})
	return err
}

func (l *listener) Addr() net.Addr { return l.addr }
