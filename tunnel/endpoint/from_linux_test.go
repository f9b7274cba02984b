package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
	"weir/tunnel"
)

// listen is a UDP socket of the real server on the VIP of an IP version.
func (w *world) listen(version uint8) net.PacketConn {
	w.t.Helper()
	_, vip := talk(version)
	var server net.PacketConn
	within(w.t, w.real, func() {
		var err error
		server, err = new(net.ListenConfig).ListenPacket(w.t.Context(), "udp", netip.AddrPortFrom(vip, 53).String())
		must(w.t, err)
	})
	w.t.Cleanup(func() { server.Close() })
	must(w.t, server.SetDeadline(time.Now().Add(10*time.Second)))
	return server
}

// TestDirectorsByDefault are the neighbours on the host's networks, but never
// the host itself: any local user can send UDP to its own address.
func TestDirectorsByDefault(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer // written by Run alone
	e, stop := w.start(Config{VIPs: []netip.Addr{vip4, vip6}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	want := []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("fd00:2::/64")}
	if got := e.Directors(); !slices.Equal(got, want) {
		t.Fatalf("directors are %v", got)
	}
	server := w.listen(4)
	within(t, w.real, func() {
		for _, to := range []string{"10.2.0.2:6080", "[fd00:2::2]:6080", "127.0.0.1:6080", "[::1]:6080", "192.0.2.10:6080"} {
			conn, err := net.Dial("udp", to)
			must(t, err)
			_, err = conn.Write(append([]byte{0, packet.IPIP, 0, 0}, build(t, "udp 198.51.100.9:4000 > 192.0.2.10:53 len 5").Bytes()...))
			must(t, err)
			conn.Close()
		}
	})
	w.await(func() bool {
		d := e.Counters().Drops
		return d[packet.TunnelStranger.String()]+d[packet.NotTunnel.String()]+d[packet.Martian.String()] == 5
	})
	for _, src := range []string{"10.3.0.1", "10.3.0.1", "10.2.0.1"} { // the last is one
		enc, err := tunnel.New(tunnel.Config{Type: tunnel.GUE, Src: addr(src), Dst: rip4})
		must(t, err)
		p := build(t, "udp 198.51.100.9:4000 > 192.0.2.10:53 len 4")
		must(t, reason(enc.Push(p, 1)))
		w.send(p)
	}
	got := make([]byte, 100)
	n, _, err := server.ReadFrom(got)
	must(t, err)
	if n != 4 || e.Counters().Packets != 1 {
		t.Errorf("%d bytes, %+v", n, e.Counters())
	}
	must(t, stop())
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "stranger") || !strings.Contains(got, "address=10.3.0.1\n") {
		t.Errorf("the log says %q", got)
	}
}

// TestAddressGivenLater judges by an address that the host has been given since.
func TestAddressGivenLater(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(Config{VIPs: []netip.Addr{vip6}})
	within(t, w.real, func() { addAddr(t, w.far, addr("fd00:7::1"), 64) })
	must(t, e.refresh())
	if got := e.Directors(); !slices.Contains(got, netip.MustParsePrefix("fd00:7::/64")) {
		t.Errorf("directors are %v", got)
	}
	p := build(t, "udp [fd00:7::1]:4000 > [2001:db8:f::10]:53 len 5")
	must(t, reason(encap(t, tunnel.GRE, 4).Push(p, 1)))
	w.send(p)
	w.await(func() bool { return e.Counters().Drops[packet.SpoofedSource.String()] == 1 })
}

func TestNoNetworkNoDirectors(t *testing.T) {
	needNamespaces(t)
	within(t, newNamespace(t), func() {
		if e, err := Open(Config{VIPs: []netip.Addr{vip4}}); err == nil {
			t.Error("it runs", e.Close())
		} else if !errors.Is(err, errNoDirectors) {
			t.Error(err)
		}
	})
}

// TestLargeUDP sends datagrams of 8,000 bytes through tunnels whose outer
// packets are cut, in order and not: the kernel puts them together first.
func TestLargeUDP(t *testing.T) {
	w := newWorld(t)
	w.start(Config{VIPs: []netip.Addr{vip4, vip6}})
	for _, format := range tunnel.Types {
		for _, outer := range []uint8{4, 6} {
			for _, inner := range []uint8{4, 6} {
				for _, order := range []string{"in order", "backwards"} {
					t.Run(fmt.Sprintf("%s %din%d %s", format, inner, outer, order), func(t *testing.T) {
						server := w.listen(inner)
						defer server.Close()
						from, to := talk(inner)
						p := build(t, fmt.Sprintf("udp %s > %s len 8000", netip.AddrPortFrom(from, 4000), netip.AddrPortFrom(to, 53)))
						want := bytes.Clone(p.PayloadBytes())
						enc := encap(t, format, outer)
						must(t, reason(enc.Push(p, rand.Uint32())))
						var pieces []*packet.Packet
						must(t, reason(enc.Fragment(p, new(packet.Packet), 1400, func(f *packet.Packet) {
							pieces = append(pieces, roomy(f))
						})))
						if order == "backwards" {
							slices.Reverse(pieces)
						}
						for _, f := range pieces {
							w.send(f)
						}
						got := make([]byte, 10000)
						n, _, err := server.ReadFrom(got)
						must(t, err)
						if len(pieces) < 6 || !bytes.Equal(got[:n], want) {
							t.Errorf("%d pieces became %d bytes", len(pieces), n)
						}
					})
				}
			}
		}
	}
}

// TestCongestionMarks holds that what the path has marked outside reaches the
// server inside (RFC 6040), by way of what sockets tell of the outer header.
func TestCongestionMarks(t *testing.T) {
	w := newWorld(t)
	w.start(Config{VIPs: []netip.Addr{vip4, vip6}})
	server := w.listen(4)
	raw, err := server.(*net.UDPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		must(t, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1))
	}))
	for _, format := range tunnel.Types {
		for _, outer := range []uint8{4, 6} {
			p := build(t, "udp 198.51.100.9:4000 > 192.0.2.10:53 len 4 tos 0x2") // ECT(0)
			must(t, reason(encap(t, format, outer).Push(p, 1)))
			p.SetTOS(3) // CE
			w.send(p)
			b, oob := make([]byte, 100), make([]byte, 100)
			_, n, _, _, err := server.(*net.UDPConn).ReadMsgUDP(b, oob)
			must(t, err)
			_, data, _, err := unix.ParseOneSocketControlMessage(oob[:n])
			must(t, err)
			if data[0] != 3 {
				t.Errorf("%s over IPv%d: ToS %#x came out, want CE", format, outer, data[0])
			}
		}
	}
}

// TestKernelVXLAN has the director's end be a vxlan device of this kernel. On
// one machine that sends super-packets and leaves checksums to a wire that
// never comes: what arrives is unfinished.
func TestKernelVXLAN(t *testing.T) {
	for _, inner := range []uint8{4, 6} {
		t.Run(fmt.Sprintf("%din4", inner), func(t *testing.T) {
			w := newWorld(t)
			e, _ := w.start(Config{VIPs: []netip.Addr{vip4, vip6}, VNI: 7})
			w.tun.Close() // its routes go with it
			within(t, w.front, func() {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = "vx"
				must(t, netlink.LinkAdd(&netlink.Vxlan{
					LinkAttrs: attrs, VxlanId: 7, VtepDevIndex: w.near.Attrs().Index,
					SrcAddr: dip4.AsSlice(), Group: rip4.AsSlice(), Port: tunnel.PortVXLAN,
				}))
				quiet(t, "vx")
				vx := up(t, "vx")
				mac := tunnel.MACOf(rip4)
				for _, vip := range []netip.Addr{vip4, vip6} {
					must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: vx.Attrs().Index, Dst: single(vip)}))
					must(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: vx.Attrs().Index, State: netlink.NUD_PERMANENT, IP: vip.AsSlice(), HardwareAddr: mac[:]}))
				}
				awaitRoute(t, client6, vip6, unix.RTN_UNICAST)
			})
			w.converse(inner)
			t.Logf("%+v", e.Counters())
			if n := e.Counters().Packets; n > 500 {
				t.Errorf("%d packets for 1 MB: there were no super-packets, and so nothing was tested", n)
			}
		})
	}
}

// TestRunEndsWithItsContext also when nothing ever came.
func TestRunEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	var e *Endpoint
	within(t, w.real, func() {
		var err error
		e, err = Open(Config{VIPs: []netip.Addr{vip4}})
		must(t, err)
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	must(t, e.Run(ctx))
	must(t, e.Close())
}
