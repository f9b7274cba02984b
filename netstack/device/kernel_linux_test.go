package device

import (
	"bytes"
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
)

// The variable that tells a re-executed test that it is in its namespace, and
// the status with which it says that the machine forbids what it needs.
const (
	insideEnv     = "WEIR_TEST_NAMESPACE"
	forbiddenExit = 77
)

// inNamespace runs the calling test in a process of its own with a network
// namespace of its own, which needs no root where the machine allows user
// namespaces. It returns true in that process; false in the caller's, where
// the test is over and has the other's result.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	out, err := runInside(t.Name(), &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	})
	var exit *exec.ExitError
	switch {
	case err == nil:
		t.Logf("%s", out)
	case !errors.As(err, &exit):
		forbidden(t, fmt.Sprintf("no user and network namespace: %v", err))
	case exit.ExitCode() == forbiddenExit:
		forbidden(t, string(bytes.TrimSpace(out)))
	default:
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func runInside(test string, attr *syscall.SysProcAttr) ([]byte, error) {
	c := exec.Command("/proc/self/exe", "-test.run=^"+test+"$", "-test.v", "-test.timeout=2m")
	c.Env = append(os.Environ(), insideEnv+"=1")
	c.SysProcAttr = attr
	return c.CombinedOutput()
}

func forbidden(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("WEIR_NO_SKIP") == "1" {
		t.Fatalf("this machine forbids the test, and WEIR_NO_SKIP=1: %s", why)
	}
	t.Skipf("this machine forbids the test: %s", why)
}

// TestMain leaves at once, with forbiddenExit, where a namespace was made but
// gives no right over its network or no clone device.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		fd, err := openClone()
		if err == nil {
			err = mayCreate(fd)
			unix.Close(fd)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(forbiddenExit)
		}
	}
	os.Exit(m.Run())
}

// The two stations of a test: the kernel's end of the cable, and weir's.
var (
	kernelAddr = netip.MustParseAddr("10.77.0.1")
	weirAddr   = netip.MustParseAddr("10.77.0.2")
	kernel6    = netip.MustParseAddr("fd77::1")
	weir6      = netip.MustParseAddr("fd77::2")
)

// open opens a device that the test closes in the end.
func open(t *testing.T, c Config) *tuntap {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d.(*tuntap)
}

// connect sets d up, gives the kernel's end its addresses and tells the kernel
// where weir's are: there is nobody in these tests to answer ARP.
func connect(t *testing.T, d *tuntap) {
	t.Helper()
	connectVia(t, d, d.name)
}

// connectVia puts the kernel's addresses on an interface that leads to d.
func connectVia(t *testing.T, d *tuntap, name string) {
	t.Helper()
	if err := d.Up(); err != nil {
		t.Fatal(err)
	}
	link := linkOf(t, name)
	for _, cidr := range []string{kernelAddr.String() + "/24", kernel6.String() + "/64"} {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, a); err != nil {
			t.Fatal(err)
		}
	}
	awaitLocal(t, kernel6)
	if d.kind == TUN {
		return
	}
	for _, ip := range []netip.Addr{weirAddr, weir6} {
		n := netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: net.HardwareAddr(d.mac[:])}
		if err := netlink.NeighSet(&n); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitLocal waits until the kernel takes packets for a. Even without duplicate
// address detection that is some time after AddrAdd: a worker adds the route.
func awaitLocal(t *testing.T, a netip.Addr) {
	t.Helper()
	routes, done := make(chan netlink.RouteUpdate), make(chan struct{})
	defer func() {
		close(done)
		for range routes { // closed behind the socket: tests count descriptors
		}
	}()
	if err := netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{ListExisting: true}); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(5 * time.Second)
	for {
		select {
		case r := <-routes:
			if r.Table == unix.RT_TABLE_LOCAL && r.Dst != nil && r.Dst.IP.Equal(a.AsSlice()) {
				return
			}
		case <-deadline:
			t.Fatalf("%s has not become a local address", a)
		}
	}
}

func linkOf(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func exists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// descriptors counts the open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

// turn turns p round: what the kernel sent to weir's address comes back to
// the kernel's, from weir's. Swapping both addresses keeps every checksum, also
// a partial one, so a kernel socket can talk to another through it. It reports
// whether p was TCP or UDP between the two.
func turn(p *packet.Packet, link packet.Link) bool {
	if p.Parse(link) != packet.OK || !p.HasL4 || p.Proto != packet.TCP && p.Proto != packet.UDP {
		return false
	}
	b := p.Store
	if link == packet.LinkEthernet {
		swap(b[p.Start:p.Start+6], b[p.Start+6:p.Start+12])
	}
	if p.Version == 4 {
		swap(b[p.L3+12:p.L3+16], b[p.L3+16:p.L3+20])
	} else {
		swap(b[p.L3+8:p.L3+24], b[p.L3+24:p.L3+40])
	}
	return true
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}
