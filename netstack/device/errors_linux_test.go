package device

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
)

// Each failure is one line that says what failed, on what, and what to do; and
// it leaves nothing open.
func TestOpenFailsInOneLineThatHelps(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T)
		config  Config
		says    []string
	}{
		{"the name belongs to a bridge",
			func(t *testing.T) { addBridge(t, "weir0") }, Config{Name: "weir0"},
			[]string{"TUN weir0", "taken by a bridge", "choose another name"}},
		{"the name belongs to a TAP, a TUN is wanted",
			func(t *testing.T) { persistentDevice(t, "weir0", netlink.TUNTAP_MODE_TAP, false) }, Config{Name: "weir0"},
			[]string{"TUN weir0", "taken by a TAP"}},
		{"the device is open already",
			func(t *testing.T) { open(t, Config{Name: "weir0"}) }, Config{Name: "weir0"},
			[]string{"TUN weir0", "in use by another program"}},
		{"the device is open already, and has room for more queues",
			func(t *testing.T) { open(t, Config{Name: "weir0", Queues: 2}) }, Config{Name: "weir0", Queues: 2},
			[]string{"TUN weir0", "in use by another program"}},
		{"the existing device has one queue, two are wanted",
			func(t *testing.T) { persistentDevice(t, "weir0", netlink.TUNTAP_MODE_TUN, false) }, Config{Name: "weir0", Queues: 2},
			[]string{"TUN weir0", "one queue", "multi_queue"}},
		{"weir and the kernel's end have one MAC",
			func(t *testing.T) { addTAP(t, "weir0", "02:00:00:00:00:07") },
			Config{Name: "weir0", Kind: TAP, MAC: packet.MAC{2, 0, 0, 0, 0, 7}},
			[]string{"TAP weir0", "02:00:00:00:00:07", "choose another"}},
		{"no right to administer the network",
			dropCapabilities, Config{Name: "weir0"},
			[]string{"TUN weir0", "no permission to create", "CAP_NET_ADMIN", "unshare -Urn"}},
		{"no clone device",
			hideCloneDevice, Config{Name: "weir0"},
			[]string{"TUN weir0", "/dev/net/tun", "modprobe tun"}},
		{"no right to open the clone device",
			func(t *testing.T) { lockCloneDevice(t); dropCapabilities(t) }, Config{Name: "weir0"},
			[]string{"TUN weir0", "/dev/net/tun", "permission denied"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// The subtest's thread may lose its rights: it ends with it.
			runtime.LockOSThread()
			tt.prepare(t)
			t.Cleanup(func() { removeLink(t, "weir0") })
			before := descriptors(t)
			d, err := Open(tt.config)
			if err == nil {
				d.Close()
				t.Fatal("opened")
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			t.Log(err)
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func addBridge(t *testing.T, name string) {
	t.Helper()
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	b.Name = name
	if err := netlink.LinkAdd(b); err != nil {
		t.Fatal(err)
	}
}

func addTAP(t *testing.T, name, mac string) {
	t.Helper()
	l := persistentDevice(t, name, netlink.TUNTAP_MODE_TAP, false)
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetHardwareAddr(l, hw); err != nil {
		t.Fatal(err)
	}
}

func removeLink(t *testing.T, name string) {
	elsewhere(t, func() error {
		l, err := netlink.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
}

// elsewhere runs f on a thread that has its rights, whatever became of the
// caller's.
func elsewhere(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() { done <- f() }()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// dropCapabilities takes every right from the calling thread for good.
func dropCapabilities(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}

// hideCloneDevice puts an empty directory over /dev/net in this mount
// namespace, until the test ends.
func hideCloneDevice(t *testing.T) {
	t.Helper()
	if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		elsewhere(t, func() error { return unix.Unmount("/dev/net", 0) })
	})
}

// lockCloneDevice puts a file that nobody may open in its place.
func lockCloneDevice(t *testing.T) {
	t.Helper()
	hideCloneDevice(t)
	fd, err := unix.Open(clonePath, unix.O_CREAT|unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// None of these is an end of the device but the removal.
func TestErrnosOfADevice(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	d := open(t, Config{Name: "weir0"})
	tests := []struct {
		name  string
		errno unix.Errno
		read  error
		write error // nil: another error, which only this frame meets
	}{
		{"the link is down", unix.EIO, ErrAgain, ErrAgain},
		{"the queue is full", unix.EAGAIN, ErrAgain, ErrFull},
		{"no buffer", unix.ENOBUFS, ErrAgain, ErrFull},
		{"no memory", unix.ENOMEM, ErrAgain, ErrFull},
		{"the device is gone", unix.EBADFD, ErrRemoved, ErrRemoved},
		{"the device is gone", unix.ENXIO, ErrRemoved, ErrRemoved},
		{"the device is gone", unix.ENODEV, ErrRemoved, ErrRemoved},
		{"a sleeping reader's device is gone", unix.EFAULT, ErrRemoved, nil},
		{"the frame is malformed", unix.EINVAL, ErrAgain, nil},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.name, " ", unix.ErrnoName(tt.errno)), func(t *testing.T) {
			if err := d.readError(tt.errno); !errors.Is(err, tt.read) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Read: %v, want one line of %v", err, tt.read)
			}
			err := d.writeError(tt.errno)
			final := errors.Is(err, ErrRemoved) || errors.Is(err, ErrClosed)
			if tt.write != nil && !errors.Is(err, tt.write) || tt.write == nil && final {
				t.Errorf("Write: %v, want %v", err, tt.write)
			}
		})
	}
}
