package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// insideEnv marks the test binary that runs in namespaces of its own.
const insideEnv = "WEIR_APPLIANCE_INSIDE"

// outside says why these tests cannot run in a namespace; "" if they do.
var outside string

// TestMain runs the tests once more in a new user and network namespace, where
// this process may open devices and set routes.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
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

// street is a TUN of the test that stands for the network around this host:
// what goes to 10.0.0.0/8 comes out of it.
func street(t *testing.T) (device.Device, <-chan string) {
	t.Helper()
	if outside != "" {
		if os.Getenv("WEIR_NO_SKIP") == "1" {
			t.Fatal(outside)
		}
		t.Skip(outside)
	}
	d, err := device.Open(device.Config{Name: "street0", Kind: device.TUN, NoOffload: true})
	if err != nil {
		t.Fatal(err)
	}
	frames := make(chan string, 100)
	var reading sync.WaitGroup
	reading.Go(func() { // until the device is closed
		for {
			var p packet.Packet
			if err := d.Read(0, &p); errors.Is(err, device.ErrClosed) {
				return
			} else if err == nil && p.Parse(packet.LinkRaw) == packet.OK {
				select {
				case frames <- p.String():
				default: // the kernel's own chatter
				}
			}
		}
	})
	t.Cleanup(func() { d.Close(); reading.Wait() })
	if err := d.(device.UpDowner).Up(); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName("street0")
	if err != nil {
		t.Fatal(err)
	}
	dst, _ := netlink.ParseIPNet("10.0.0.0/8")
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	return d, frames
}

// passes has a packet come from the street and waits for what must go out.
func passes(t *testing.T, d device.Device, frames <-chan string, in, out string) {
	t.Helper()
	var p packet.Packet
	if err := packet.Build(&p, in); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(&p); err != nil {
		t.Fatal(err)
	}
	for late := time.After(patience); ; {
		select {
		case got := <-frames:
			if got == out {
				return
			}
		case <-late:
			t.Errorf("%s came, and %s did not go out", in, out)
			return
		}
	}
}

// rulesAndRoutes are all of this namespace, those of the street aside.
func rulesAndRoutes(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := netlink.RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			fmt.Fprintln(&b, r)
		}
	}
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

// With no options but the configuration, weir is on this machine's kernel.
func TestOnTheKernel(t *testing.T) {
	d, frames := street(t)
	before := rulesAndRoutes(t)
	for range 2 { // the second finds nothing in its way
		var log bytes.Buffer
		a, err := New(configOf(t, hosted), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }() // until cancel
		waitFor(t, "ready", a.Ready())
		passes(t, d, frames, "icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1", "icmp 192.0.2.10 > 10.1.0.9 echo-reply id 7 seq 1 ttl 63")
		passes(t, d, frames, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", "tcp 10.1.0.9:4000 > 10.2.0.11:8080 S ttl 61")
		passes(t, d, frames, "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", "tcp 192.0.2.10:80 > 10.1.0.9:4000 SA ttl 61")
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if s := log.String(); !strings.Contains(s, "offloads=checksum") || strings.Contains(s, "WARN") {
			t.Errorf("the log says\n%s", s)
		}
		if now := rulesAndRoutes(t); now != before {
			t.Errorf("left behind:\n%s\nbefore:\n%s", now, before)
		}
		if _, err := net.InterfaceByName("weir0"); err == nil {
			t.Error("weir0 is still there")
		}
	}
}

func TestFailureOnTheKernelLeavesNothing(t *testing.T) {
	street(t)
	for _, row := range []struct{ name, text, says string }{
		{"a device that is taken", changed(t, hosted, "tun: weir0", "tun: street0"), "street0: in use by another program"},
		{"a VIP that has a route already", changed(t, hosted, "192.0.2.10", "192.0.2.99"), "there is a route to it already"},
	} {
		t.Run(row.name, func(t *testing.T) {
			link, err := netlink.LinkByName("street0")
			if err != nil {
				t.Fatal(err)
			}
			dst, _ := netlink.ParseIPNet("192.0.2.99/32")
			taken := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst}
			if err := netlink.RouteAdd(taken); err != nil {
				t.Fatal(err)
			}
			defer netlink.RouteDel(taken)
			before := rulesAndRoutes(t)
			_, err = New(configOf(t, row.text), Options{})
			if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("New: %v, want one line with %q", err, row.says)
			}
			if now := rulesAndRoutes(t); now != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", now, before)
			}
			if _, err := net.InterfaceByName("weir0"); err == nil {
				t.Error("weir0 is still there")
			}
		})
	}
}
