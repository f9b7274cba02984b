package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
)

// kernelHost is a node's namespace: its TCP/IP is the kernel's.
type kernelHost struct {
	world *kernelWorld
	node  *Node
	ns    *namespace
}

func (h *kernelHost) Name() string      { return h.node.Name }
func (h *kernelHost) Addr4() netip.Addr { return h.node.Addr4() }
func (h *kernelHost) Addr6() netip.Addr { return h.node.Addr6() }

func (h *kernelHost) Start(cmd *exec.Cmd) (Process, error) { return h.world.start(h.ns, cmd) }

func (h *kernelHost) Listen(network, address string) (ln net.Listener, err error) {
	if _, err := literal(h.node, "listen", address); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // weir is to see plain TCP
	err = h.ns.do(func() (err error) {
		ln, err = lc.Listen(h.world.alive, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", h.node.Name, err)
	}
	return ln, nil
}

func (h *kernelHost) ListenPacket(network, address string) (net.PacketConn, error) {
	if _, err := literal(h.node, "listen", address); err != nil {
		return nil, err
	}
	return h.listenPacket(network, address)
}

func (h *kernelHost) listenPacket(network, address string) (conn net.PacketConn, err error) {
	err = h.ns.do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", h.node.Name, err)
	}
	return conn, nil
}

func (h *kernelHost) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if _, err := literal(h.node, "dial", address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.world.alive, cancel)()
	var d net.Dialer
	d.SetMultipathTCP(false)
	err = h.ns.do(func() (err error) {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", h.node.Name, err)
	}
	return conn, nil
}
