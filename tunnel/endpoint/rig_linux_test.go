package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"weir/netstack/device"
	"weir/netstack/packet"
	"weir/tunnel"
)

// insideEnv marks the test binary that runs in namespaces of its own, childEnv
// the one that is to be an Endpoint and nothing else.
const (
	insideEnv = "WEIR_ENDPOINT_INSIDE"
	childEnv  = "WEIR_ENDPOINT_CHILD"
)

// outside says why these tests cannot run in a namespace; "" if they do.
var outside string

// TestMain runs the tests once more in a new user and network namespace, where
// this process is root.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(childEnv) != "":
		child()
	case os.Getenv(insideEnv) != "":
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		Pdeathsig:   unix.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	if exited := new(exec.ExitError); err == nil || errors.As(err, &exited) {
		os.Exit(cmd.ProcessState.ExitCode())
	}
	outside = fmt.Sprintf("no user and network namespace here: %v", err)
	os.Exit(m.Run())
}

// child is an Endpoint that is there to be killed.
func child() {
	e, err := Open(Config{VIPs: []netip.Addr{vip4, vip6}})
	if err == nil {
		fmt.Println("ready")
		err = e.Run(context.Background())
	}
	fmt.Println(err)
	os.Exit(1)
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Who is where in the world of these tests.
var (
	dip4, rip4       = addr("10.2.0.1"), addr("10.2.0.2")
	dip6, rip6       = addr("fd00:2::1"), addr("fd00:2::2")
	vip4, vip6       = addr("192.0.2.10"), addr("2001:db8:f::10")
	client4, client6 = addr("198.51.100.9"), addr("2001:db8:9::9")
)

// world is two hosts at the ends of one cable. front is the client's and the
// director's: what it sends to a VIP comes out of a TUN, for the test to put
// into a tunnel. real is the real server.
type world struct {
	t           *testing.T
	front, real netns.NsHandle
	tun         device.Device
	wire        int // packet socket on near
	near, far   netlink.Link
}

func newWorld(t *testing.T) *world {
	t.Helper()
	needNamespaces(t)
	w := &world{t: t}
	w.front, w.real = newNamespace(t), newNamespace(t)
	within(t, w.front, func() {
		pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "far", PeerNamespace: netlink.NsFd(int(w.real))}
		pair.Name = "near"
		must(t, netlink.LinkAdd(pair))
	})
	within(t, w.real, func() {
		quiet(t, "far")
		w.far = up(t, "far")
		up(t, "lo")
		addAddr(t, w.far, rip4, 24)
		addAddr(t, w.far, rip6, 64)
		addRoute(t, w.far, client4, dip4)
		addRoute(t, w.far, client6, dip6)
	})
	within(t, w.front, func() {
		quiet(t, "near")
		w.near = up(t, "near")
		lo := up(t, "lo")
		addAddr(t, w.near, dip4, 24)
		addAddr(t, w.near, dip6, 64)
		addAddr(t, lo, client4, 32)
		addAddr(t, lo, client6, 128)
		w.tun = openTUN(t)
		w.wire = openWire(t, w.near)
		awaitRoute(t, client6, vip6, unix.RTN_UNICAST)
		awaitRoute(t, dip6, client6, unix.RTN_LOCAL)
	})
	within(t, w.real, func() {
		neighbour(t, w.far, dip4, w.near)
		neighbour(t, w.far, dip6, w.near)
		awaitRoute(t, rip6, client6, unix.RTN_UNICAST)
		awaitRoute(t, addr("::1"), rip6, unix.RTN_LOCAL)
	})
	return w
}

// neighbour spares a host asking for the other end of the cable.
func neighbour(t *testing.T, link netlink.Link, a netip.Addr, other netlink.Link) {
	t.Helper()
	must(t, netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: other.Attrs().HardwareAddr,
	}))
}

// awaitRoute waits until the kernel routes from one address to another, to
// itself or elsewhere. IPv6 does so only some time
// after a link has come up: a worker sees to it.
func awaitRoute(t *testing.T, from, to netip.Addr, kind int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		routes, err := netlink.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: from.AsSlice()})
		if err == nil && routes[0].Type == kind {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no route from %s to %s: %v", from, to, err)
		}
	}
}

func needNamespaces(t *testing.T) {
	t.Helper()
	if outside == "" {
		return
	}
	if os.Getenv("WEIR_NO_SKIP") == "1" {
		t.Fatal(outside)
	}
	t.Skip(outside)
}

// openTUN is where the front host sends what goes to the VIPs.
func openTUN(t *testing.T) device.Device {
	d, err := device.Open(device.Config{Name: "director", Kind: device.TUN})
	must(t, err)
	quiet(t, "director")
	must(t, d.(device.UpDowner).Up())
	link, err := netlink.LinkByName("director")
	must(t, err)
	for _, vip := range []netip.Addr{vip4, vip6} {
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(vip)}))
	}
	return d
}

// openWire is a socket that sends raw frames into the cable.
func openWire(t *testing.T, near netlink.Link) int {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: near.Attrs().Index}))
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// quiet gives an interface no address of the kernel's own.
func quiet(t *testing.T, name string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/addr_gen_mode", []byte("1"), 0))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	made := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its goroutine
		ns, err := netns.New()
		if err != nil {
			t.Error(err)
		}
		made <- ns
	}()
	ns := <-made
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// within calls f on a thread that is in a namespace.
func within(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done) // also if f has ended this goroutine
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
	if t.Failed() {
		t.FailNow()
	}
}

func up(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetUp(link))
	return link
}

// addAddr adds an address without duplicate address detection.
func addAddr(t *testing.T, link netlink.Link, a netip.Addr, bits int) {
	t.Helper()
	n := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
	must(t, netlink.AddrAdd(link, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}))
}

func addRoute(t *testing.T, link netlink.Link, to, via netip.Addr) {
	t.Helper()
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(to), Gw: via.AsSlice()}))
}

// start runs an Endpoint on the real server until the test ends, or until stop
// is called, which returns what Run and Close say.
func (w *world) start(c Config) (e *Endpoint, stop func() error) {
	w.t.Helper()
	within(w.t, w.real, func() {
		var err error
		e, err = Open(c)
		must(w.t, err)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, e.Close())
	})
	w.t.Cleanup(func() { must(w.t, stop()) })
	<-e.Ready()
	return e, stop
}

// ends are the outer addresses of an IP version.
func ends(version uint8) (src, dst netip.Addr) {
	if version == 6 {
		return dip6, rip6
	}
	return dip4, rip4
}

func encap(t *testing.T, format tunnel.Type, outer uint8) *tunnel.Encap {
	t.Helper()
	src, dst := ends(outer)
	e, err := tunnel.New(tunnel.Config{Type: format, Src: src, Dst: dst, MayFragment: true})
	must(t, err)
	return e
}

// direct puts all that the front host sends to the VIPs into a tunnel, until
// the test or stop ends it.
func (w *world) direct(e *tunnel.Encap) (stop func()) {
	var p, scratch packet.Packet
	done := make(chan struct{})
	go func() { // until the TUN is closed
		defer close(done)
		for {
			err := w.tun.Read(0, &p)
			if errors.Is(err, device.ErrClosed) || errors.Is(err, device.ErrRemoved) {
				return
			}
			if err != nil || p.Parse(packet.LinkRaw) != packet.OK {
				continue
			}
			e.PushSegments(&p, &scratch, 1, func(s *packet.Packet) {
				w.fragments(e, s)
			})
		}
	}()
	return func() { w.tun.Close(); <-done }
}

// fragments sends an outer packet by frames of 1,500 bytes.
func (w *world) fragments(e *tunnel.Encap, p *packet.Packet) {
	var piece packet.Packet
	e.Fragment(p, &piece, 1500, func(f *packet.Packet) { w.send(f) })
}

// send puts a raw IP packet on the cable.
func (w *world) send(p *packet.Packet) {
	p.Complete()
	p.SetHop(&packet.Hop{
		Link: packet.LinkEthernet,
		Src:  packet.MAC(w.near.Attrs().HardwareAddr), Dst: packet.MAC(w.far.Attrs().HardwareAddr),
	})
	if _, err := unix.Write(w.wire, p.Bytes()); err != nil {
		w.t.Errorf("send %s: %v", p, err)
	}
}
