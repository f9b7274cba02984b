package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
	"weir/tunnel"
)

// The variable that tells a re-executed test that it is in its namespace, and
// the status with which it says that the machine forbids what it needs.
const (
	insideEnv     = "WEIR_TEST_NAMESPACE"
	forbiddenExit = 77
)

// inNamespace runs the calling test in a process with a network namespace of
// its own. It returns true in that process; false in the caller's, where the
// test is over and has the other's result.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1m")
	c.Env = append(os.Environ(), insideEnv+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		t.Logf("%s", out)
	case !errors.As(err, &exit) || exit.ExitCode() == forbiddenExit:
		if os.Getenv("WEIR_NO_SKIP") == "1" {
			t.Fatalf("this machine forbids the test, and WEIR_NO_SKIP=1: %v\n%s", err, out)
		}
		t.Skipf("this machine forbids the test: %v\n%s", err, out)
	default:
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// try ends the process as forbidden if the machine refuses a device, else the
// test if anything is wrong.
func try(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(forbiddenExit)
	case err != nil:
		t.Fatalf("%s: %v", what, err)
	}
}

// TestKernelVXLAN sends through Linux's own vxlan devices in both directions:
// the kernel delivers what Push made, over IPv6 with the checksum that it asks
// for, and Pop takes what the kernel sends.
func TestKernelVXLAN(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	w := newKernel(t)
	for _, outer := range []uint8{4, 6} {
		for _, inner := range []uint8{4, 6} {
			c := combination{tunnel.VXLAN, outer, inner}
			t.Run(c.String(), func(t *testing.T) { w.converse(t, c) })
		}
	}
}

// kernel is a network of two ends of one cable: near is the test's, by raw
// frames, far the kernel's, which has a vxlan device over each IP version.
type kernel struct {
	wire      int // packet socket on near
	near, far packet.MAC
	vxlan     map[uint8]netlink.Link // by outer IP version
}

// vni is the network of the device over an IP version.
func vni(outer uint8) uint32 { return 0x700 + uint32(outer) }

func newKernel(t *testing.T) *kernel {
	w := &kernel{vxlan: map[uint8]netlink.Link{}}
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "far"}
	pair.Name = "near"
	try(t, "veth pair", netlink.LinkAdd(pair))
	near, far := w.up(t, "near"), w.up(t, "far")
	copy(w.near[:], near.Attrs().HardwareAddr)
	copy(w.far[:], far.Attrs().HardwareAddr)
	w.up(t, "lo")
	addAddr(t, far, rip4, 24)
	addAddr(t, far, rip6, 64)
	for _, version := range []uint8{4, 6} {
		src, dst := ends(version)
		neighbour(t, far, src, near.Attrs().HardwareAddr)
		w.addVXLAN(t, version, far, src, dst)
	}
	addAddr(t, w.vxlan[4], vip4, 32)
	addAddr(t, w.vxlan[4], vip6, 128)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(htons(unix.ETH_P_ALL)))
	try(t, "packet socket", err)
	try(t, "bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: near.Attrs().Index}))
	try(t, "timeout", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	w.wire = fd
	return w
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

func (w *kernel) up(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	try(t, name, err)
	try(t, name+" up", netlink.LinkSetUp(link))
	return link
}

// addAddr adds an address without duplicate address detection.
func addAddr(t *testing.T, link netlink.Link, a netip.Addr, bits int) {
	t.Helper()
	n := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
	try(t, "address "+a.String(), netlink.AddrAdd(link, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}))
}

func neighbour(t *testing.T, link netlink.Link, a netip.Addr, mac []byte) {
	t.Helper()
	try(t, "neighbour "+a.String(), netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac,
	}))
}

func (w *kernel) addVXLAN(t *testing.T, outer uint8, under netlink.Link, director, real netip.Addr) {
	t.Helper()
	mac := tunnel.MACOf(real)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = fmt.Sprintf("vx%d", outer), mac[:]
	try(t, attrs.Name, netlink.LinkAdd(&netlink.Vxlan{
		LinkAttrs: attrs, VxlanId: int(vni(outer)), VtepDevIndex: under.Attrs().Index,
		SrcAddr: real.AsSlice(), Group: director.AsSlice(), Port: tunnel.PortVXLAN,
	}))
	w.vxlan[outer] = w.up(t, attrs.Name)
}

// client is who talks to the VIP of an IP version.
func client(version uint8) netip.Addr {
	if version == 6 {
		return addr("2001:db8:9::9")
	}
	return addr("198.51.100.9")
}

// converse asks a UDP server on the VIP through the tunnel and has the answer
// come back through it.
func (w *kernel) converse(t *testing.T, c combination) {
	director, real := ends(c.outer)
	link, from := w.vxlan[c.outer], client(c.inner)
	n := &net.IPNet{IP: from.AsSlice(), Mask: net.CIDRMask(from.BitLen(), from.BitLen())}
	try(t, "route", netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: n, Scope: netlink.SCOPE_LINK}))
	back := tunnel.MACOf(director)
	neighbour(t, link, from, back[:])
	vip := vip4
	if c.inner == 6 {
		vip = vip6
	}
	at := netip.AddrPortFrom(vip, 80)
	server, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", at.String())
	try(t, "server", err)
	defer server.Close()

	config := c.config()
	config.VNI = vni(c.outer)
	asker := netip.AddrPortFrom(from, 4000)
	p := build(t, fmt.Sprintf("udp %s > %s partial len 333", asker, at))
	question := bytes.Clone(p.PayloadBytes())
	push(t, newEncap(t, config), p)
	p.Complete()
	p.SetHop(&packet.Hop{Link: packet.LinkEthernet, Src: w.near, Dst: w.far})
	_, err = unix.Write(w.wire, p.Bytes())
	try(t, "send", err)

	try(t, "deadline", server.SetDeadline(time.Now().Add(5*time.Second)))
	got := make([]byte, 2000)
	size, peer, err := server.ReadFrom(got)
	try(t, "the kernel delivers nothing", err)
	if peer.String() != asker.String() || !bytes.Equal(got[:size], question) {
		t.Fatalf("%x from %s", got[:size], peer)
	}
	_, err = server.WriteTo([]byte("answer"), peer)
	try(t, "answer", err)
	w.expect(t, newDecap(t, tunnel.DecapConfig{
		Directors: []netip.Prefix{netip.PrefixFrom(real, real.BitLen())}, VIPs: []netip.Addr{from}, VNI: config.VNI,
	}), at, asker)
}

// expect reads near until the answer comes out of the tunnel.
func (w *kernel) expect(t *testing.T, d *tunnel.Decap, from, to netip.AddrPort) {
	frame := make([]byte, packet.MaxFrame)
	for {
		n, err := unix.Read(w.wire, frame)
		try(t, "the kernel sends nothing", err)
		p := new(packet.Packet)
		p.Load(frame[:n])
		// The devices of one machine leave checksums to a wire that never comes.
		p.Offload.DataValid = true
		if p.Parse(packet.LinkEthernet) != packet.OK || p.Proto != packet.UDP || p.DstPort != tunnel.PortVXLAN {
			continue
		}
		outer := p.String()
		if r := d.Pop(p); r != packet.OK {
			// Neighbour discovery of the vxlan devices themselves.
			t.Logf("%s: %s", r, outer)
			continue
		}
		src, dst := netip.AddrPortFrom(p.Src(), p.SrcPort), netip.AddrPortFrom(p.Dst(), p.DstPort)
		if src != from || dst != to || string(p.PayloadBytes()) != "answer" {
			t.Fatalf("%s came out of %s", p, outer)
		}
		return
	}
}
