package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
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

func (h *kernelHost) ListenPacket(network, address string) (conn net.PacketConn, err error) {
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
	// A name would send package net to a resolver on another thread.
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("on %s: dial %s: the address must be literal: %w", h.node.Name, address, err)
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

// Ping uses a raw socket, not the kernel's ping socket: that one belongs to a
// group range which a user namespace with a single group cannot express.
func (h *kernelHost) Ping(ctx context.Context, dst netip.Addr) (time.Duration, error) {
	p := pinger{network: "ip4:icmp", request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply, proto: 1}
	if dst.Is6() {
		p = pinger{network: "ip6:ipv6-icmp", request: ipv6.ICMPTypeEchoRequest, reply: ipv6.ICMPTypeEchoReply, proto: 58}
	}
	conn, err := h.ListenPacket(p.network, "")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	expire := func() { conn.SetDeadline(time.Unix(1, 0)) }
	defer context.AfterFunc(ctx, expire)()
	defer context.AfterFunc(h.world.alive, expire)()
	rtt, err := p.ping(conn, dst)
	switch {
	case err == nil:
		return rtt, nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case h.world.alive.Err() != nil:
		err = errClosed
	}
	return 0, fmt.Errorf("on %s: ping %s: %w", h.node.Name, dst, err)
}

// pinger is what differs between the IP versions.
type pinger struct {
	network        string
	request, reply icmp.Type
	proto          int
}

// ping sends one request and reads until its reply is there.
func (p pinger) ping(conn net.PacketConn, dst netip.Addr) (time.Duration, error) {
	id := os.Getpid() & 0xffff
	if local, ok := conn.(*net.IPConn); ok { // two pings at once must not take each other's reply
		if raw, err := local.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { id ^= int(fd) << 8 & 0xffff })
		}
	}
	request := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: id, Seq: 1, Data: []byte("weir lab echo request")}}
	bytes, err := request.Marshal(nil) // the kernel fills in ICMPv6's checksum
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	if _, err := conn.WriteTo(bytes, &net.IPAddr{IP: dst.AsSlice()}); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		src, _ := netip.AddrFromSlice(from.(*net.IPAddr).IP)
		reply, err := icmp.ParseMessage(p.proto, buf[:n])
		if err != nil || src.Unmap() != dst || reply.Type != p.reply {
			continue
		}
		if echo, ok := reply.Body.(*icmp.Echo); ok && echo.ID == id {
			return time.Since(sent), nil
		}
	}
}
