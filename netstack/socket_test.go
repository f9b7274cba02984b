package netstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"weir/netstack/device"
)

// pair is two hosts on one wire: 10.0.0.1 and 10.0.0.2, 2001:db8::1 and ::2.
func pair(t *testing.T) (one, two *Stack) {
	t.Helper()
	a, b := device.NewWire(device.WireConfig{Name: "a", Kind: device.TAP}, device.WireConfig{Name: "b", Kind: device.TAP})
	return start(t, a, "10.0.0.1/24", "2001:db8::1/64"), start(t, b, "10.0.0.2/24", "2001:db8::2/64")
}

func at(a string) netip.AddrPort { return netip.MustParseAddrPort(a) }

func TestTCP(t *testing.T) {
	one, two := pair(t)
	vip := mustAddr("198.51.100.1")
	if err := one.AddVIP(vip); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ network, listen, dial string }{
		{"tcp", "10.0.0.1:80", "10.0.0.1:80"},
		{"tcp6", "[2001:db8::1]:80", "[2001:db8::1]:80"},
		{"tcp4", "0.0.0.0:81", "10.0.0.1:81"},
		{"tcp6", "[::]:81", "[2001:db8::1]:81"},
	} {
		t.Run(test.listen, func(t *testing.T) {
			l, err := one.Listen(test.network, at(test.listen))
			if err != nil {
				t.Fatal(err)
			}
			if l.Addr().String() != test.listen {
				t.Errorf("listens at %s", l.Addr())
			}
			go func() {
				c, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(c)
				if err != nil {
					t.Error(err)
				}
				if _, err := c.Write(b); err != nil {
					t.Error(err)
				}
				_ = c.Close()
			}()
			c, err := two.Dial(context.Background(), test.network, netip.AddrPort{}, at(test.dial))
			if err != nil {
				t.Fatal(err)
			}
			if c.RemoteAddr().String() != test.dial {
				t.Errorf("connected to %s", c.RemoteAddr())
			}
			sent := bytes.Repeat([]byte("weir"), 50_000)
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came back, error %v", len(got), err)
			}
			_ = c.Close()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("accept after close: %v", err)
			}
		})
	}
}

func TestUDP(t *testing.T) {
	one, two := pair(t)
	for _, a := range []string{"10.0.0.1:53", "[2001:db8::1]:53"} {
		server, err := one.ListenPacket("udp", at(a))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			b := make([]byte, 5000)
			n, from, err := server.ReadFrom(b)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := server.WriteTo(b[:n], from); err != nil {
				t.Error(err)
			}
		}()
		c, err := two.Dial(context.Background(), "udp", netip.AddrPort{}, at(a))
		if err != nil {
			t.Fatal(err)
		}
		sent := bytes.Repeat([]byte("datagram"), 500) // 4000 bytes: in fragments
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5000)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.Read(got); err != nil || !bytes.Equal(got[:n], sent) {
			t.Errorf("%s: %d bytes came back, error %v", a, n, err)
		}
	}
}

// Each failure of a socket is the error that package net's users look for.
func TestSocketErrors(t *testing.T) {
	one, two := pair(t)
	ctx := context.Background()
	l, err := one.Listen("tcp", at("10.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(network, local, remote string) error {
		var from netip.AddrPort
		if local != "" {
			from = at(local)
		}
		c, err := two.Dial(ctx, network, from, at(remote))
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	connected := func() (client, server net.Conn) {
		client, err := two.Dial(ctx, "tcp", netip.AddrPort{}, at("10.0.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		server, err = l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	for _, test := range []struct {
		name string
		do   func() error
		want error
	}{
		{"nobody listens", func() error { return dial("tcp", "", "10.0.0.1:81") }, syscall.ECONNREFUSED},
		{"nobody listens, IPv6", func() error { return dial("tcp", "", "[2001:db8::1]:81") }, syscall.ECONNREFUSED},
		{"no route", func() error { return dial("tcp", "", "8.8.8.8:80") }, syscall.ENETUNREACH},
		{"no neighbour", func() error { return dial("tcp", "", "10.0.0.77:80") }, syscall.EHOSTUNREACH},
		{"not our address", func() error { return dial("tcp", "10.0.0.9:0", "10.0.0.1:80") }, syscall.EADDRNOTAVAIL},
		{"two families", func() error { return dial("tcp", "10.0.0.2:0", "[2001:db8::1]:80") }, syscall.EAFNOSUPPORT},
		{"address of the other network", func() error { return dial("tcp6", "", "10.0.0.1:80") }, syscall.EAFNOSUPPORT},
		{"port in use", func() error { _, err := one.Listen("tcp", at("10.0.0.1:80")); return err }, syscall.EADDRINUSE},
		{"context ended", func() error {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, err := two.Dial(ended, "tcp", netip.AddrPort{}, at("10.0.0.1:80"))
			return err
		}, context.Canceled},
		{"context ends during dial", func() error {
			ended, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := two.Dial(ended, "tcp", netip.AddrPort{}, at("10.0.0.78:80"))
			return err
		}, context.DeadlineExceeded},
		{"read deadline", func() error {
			c, _ := connected()
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			return err
		}, os.ErrDeadlineExceeded},
		{"read from a connection we closed", func() error {
			c, _ := connected()
			_ = c.Close()
			_, err := c.Read(make([]byte, 1))
			return err
		}, net.ErrClosed},
		{"write to a connection we closed", func() error {
			c, _ := connected()
			_ = c.Close()
			_, err := c.Write(make([]byte, 1))
			return err
		}, net.ErrClosed},
		{"close twice", func() error {
			c, _ := connected()
			_ = c.Close()
			return c.Close()
		}, net.ErrClosed},
		{"the peer closed", func() error {
			c, s := connected()
			_ = s.Close()
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, err := c.Read(make([]byte, 1))
			return err
		}, io.EOF},
		{"write after our half-close", func() error {
			c, _ := connected()
			_ = c.(*tcpConn).CloseWrite()
			_, err := c.Write(make([]byte, 1))
			return err
		}, syscall.EPIPE},
		{"UDP to nobody", func() error {
			c, err := two.Dial(ctx, "udp", netip.AddrPort{}, at("10.0.0.1:5353"))
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("?")); err != nil {
				return err
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
			return err
		}, syscall.ECONNREFUSED},
		{"UDP closed while reading", func() error {
			c, err := two.ListenPacket("udp", at("10.0.0.2:5353"))
			if err != nil {
				return err
			}
			_ = c.Close()
			_, _, err = c.ReadFrom(make([]byte, 1))
			return err
		}, net.ErrClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.do(); !errors.Is(err, test.want) {
				t.Errorf("error is %v (%T), want %v", err, err, test.want)
			}
		})
	}
	for _, network := range []string{"", "unix", "ip4", "tcp5"} {
		var unknown net.UnknownNetworkError
		if _, err := two.Dial(ctx, network, netip.AddrPort{}, at("10.0.0.1:80")); !errors.As(err, &unknown) {
			t.Errorf("network %q: %v", network, err)
		}
	}
}

// The socket is on the NIC with the larger MTU, the way is by the smaller:
// gVisor is told by an ICMP error, and not under WritePackets.
func TestOwnPacketsThatAreTooBigAreGivenBack(t *testing.T) {
	r := newRig(t, mtu("wan", 1280), routeTo("203.0.113.0/24", "192.0.2.1", ""))
	if err := r.s.SetNeighbour(mustAddr("192.0.2.1"), stations["gw"]); err != nil {
		t.Fatal(err)
	}
	c, err := r.s.Dial(context.Background(), "udp", at("10.0.0.2:1000"), at("203.0.113.9:9"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100, 1400} {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	r.collect()
	r.play(`
		out wan: udp 10.0.0.2:1000 > 203.0.113.9:9 df len 100 mac wan>gw
		count lan too-big=1`)
	if c := r.s.Counters(); c.Answers != 1 || c.Delivered != 1 {
		t.Errorf("%d errors made, %d delivered, want 1 and 1", c.Answers, c.Delivered)
	}
}

// accepted and dialled connections both have keepalive, which gVisor does not
// inherit.
func TestKeepalive(t *testing.T) {
	one, two := pair(t)
	l, err := one.Listen("tcp", at("10.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := two.Dial(context.Background(), "tcp", netip.AddrPort{}, at("10.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c, accepted
	for _, s := range []*Stack{one, two} {
		found := 0
		for _, ep := range s.host.RegisteredEndpoints() {
			ep, ok := ep.(tcpip.Endpoint)
			if !ok || tcp.EndpointState(ep.State()) != tcp.StateEstablished {
				continue
			}
			found++
			var idle tcpip.KeepaliveIdleOption
			if err := ep.GetSockOpt(&idle); err != nil || time.Duration(idle) != keepaliveIdle || !ep.SocketOptions().GetKeepAlive() {
				t.Errorf("keepalive %v after %v", ep.SocketOptions().GetKeepAlive(), time.Duration(idle))
			}
		}
		if found != 1 {
			t.Errorf("%d connections found, want 1", found)
		}
	}
}
