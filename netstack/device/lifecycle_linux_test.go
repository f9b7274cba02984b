package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
)

// Under load, idle and on a link that is down, with one queue and two, Close
// gets every reader out, wherever it meets it.
func TestCloseEndsBlockedReadsEveryTime(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	before := descriptors(t)
	stop := make(chan struct{})
	flooded := make(chan struct{})
	go func() { // ends with stop
		defer close(flooded)
		flood(weirAddr, stop)
	}()
	var slowest time.Duration
	for i := range 200 {
		d, err := Open(Config{Name: "weir0", Kind: Kind(i % 2), Queues: 1 + i/2%2})
		if err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 { // else no frame comes, and nothing but Close ends a Read
			connect(t, d.(*tuntap))
		}
		ended := make(chan error, d.Queues())
		for q := range d.Queues() {
			tid := startReader(d, q, ended)
			if i%4 == 1 {
				awaitRead(t, tid)
			}
		}
		start := time.Now()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
		for range d.Queues() {
			if err := <-ended; !errors.Is(err, ErrClosed) {
				t.Fatalf("round %d: Read ended with %v, not with ErrClosed", i, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatalf("second Close: %v", err)
		}
	}
	close(stop)
	<-flooded
	t.Logf("slowest Close: %v", slowest)
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// startReader reads queue q on a thread of its own, which it returns, until the
// device ends.
func startReader(d Device, q int, ended chan<- error) (tid int) {
	thread := make(chan int)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		var p packet.Packet
		for {
			if err := d.Read(q, &p); err != nil {
				ended <- err
				return
			}
		}
	}()
	return <-thread
}

// awaitRead waits until a thread sleeps in read(2).
func awaitRead(t *testing.T, tid int) {
	t.Helper()
	file := fmt.Sprintf("/proc/self/task/%d/syscall", tid)
	want := fmt.Sprintf("%d ", unix.SYS_READ)
	for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			forbidden(t, "this kernel does not tell what a thread waits for")
		}
		if strings.HasPrefix(string(b), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the reader is not in read(2): %q %v", b, err)
		}
	}
}

// A reader that left its thread, which Device forbids, is found all the same.
func TestCloseFindsAReaderOnAnotherThread(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	d := open(t, Config{Name: "weir0", Kind: TUN})
	connect(t, d)
	client := dialUDP(t, netip.AddrPortFrom(weirAddr, 9))
	if _, err := client.Write([]byte("for the first reader")); err != nil {
		t.Fatal(err)
	}
	first := make(chan error)
	go func() { // ends with the frame, and its thread with it
		runtime.LockOSThread()
		first <- d.Read(0, new(packet.Packet))
	}()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := d.Down(); err != nil { // no frame comes any more
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	awaitRead(t, startReader(d, 0, ended))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// flood sends UDP to a until stop, whether or not there is a way.
func flood(a netip.Addr, stop <-chan struct{}) {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return
	}
	defer c.Close()
	b := make([]byte, 64)
	for port := uint16(1); ; port = port%60000 + 1 {
		select {
		case <-stop:
			return
		default:
			c.WriteToUDPAddrPort(b, netip.AddrPortFrom(a, port))
		}
	}
}

func TestUseAfterCloseSaysClosed(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	d := open(t, Config{Name: "weir0", Kind: TAP})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var p packet.Packet
	p.Load(make([]byte, 60))
	for what, err := range map[string]error{"Read": d.Read(0, &p), "Write": d.Write(&p), "Up": d.Up(), "Down": d.Down()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
}

func TestRemovalUnderUsIsToldToReaderAndWriter(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, kind := range []Kind{TUN, TAP} {
		before := descriptors(t)
		d := open(t, Config{Name: "weir0", Kind: kind})
		connect(t, d)
		ended := make(chan error, 1)
		awaitRead(t, startReader(d, 0, ended))
		if err := netlink.LinkDel(linkOf(t, "weir0")); err != nil {
			t.Fatal(err)
		}
		var p packet.Packet
		p.Load(make([]byte, 60))
		for what, err := range map[string]error{"blocked Read": <-ended, "Read": d.Read(0, &p), "Write": d.Write(&p), "Up": d.Up()} {
			if !errors.Is(err, ErrRemoved) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s %s: %v, want ErrRemoved in one line", kind, what, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	}
}

// An administrator's device was there before and stays; what weir asked of the
// kernel for itself is taken back.
func TestAFoundDeviceStays(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, multi := range []bool{false, true} {
		made := persistentDevice(t, "weir0", netlink.TUNTAP_MODE_TAP, multi)
		d := open(t, Config{Name: "weir0", Kind: TAP})
		if d.MTU() != made.Attrs().MTU {
			t.Errorf("MTU %d, the device had %d and none was asked for", d.MTU(), made.Attrs().MTU)
		}
		connect(t, d)
		m := startMirror(d, d)
		download(t, kernelAddr, weirAddr, 64<<10)
		m.stop(t)
		if !exists("weir0") {
			t.Fatal("gone after Close")
		}
		again := open(t, Config{Name: "weir0", Kind: TAP, MTU: 1400})
		if again.MTU() != 1400 || linkOf(t, "weir0").Attrs().MTU != 1400 {
			t.Errorf("MTU %d, asked for 1400", again.MTU())
		}
		again.Close()
		if err := netlink.LinkDel(linkOf(t, "weir0")); err != nil {
			t.Fatal(err)
		}
	}
}

// persistentDevice is `ip tuntap add`.
func persistentDevice(t *testing.T, name string, mode netlink.TuntapMode, multi bool) netlink.Link {
	t.Helper()
	tap := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: mode}
	tap.Name = name
	if multi {
		tap.Flags, tap.Queues = netlink.TUNTAP_MULTI_QUEUE_DEFAULTS, 1
	}
	if err := netlink.LinkAdd(tap); err != nil {
		t.Fatal(err)
	}
	for _, f := range tap.Fds {
		f.Close()
	}
	return linkOf(t, name)
}

// Every step of Open that takes a descriptor is made to fail in its turn, by
// allowing one descriptor more each time.
func TestAFailureInTheMiddleLeavesNothing(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	c := Config{Name: "weir0", Kind: TAP, Queues: 3}
	open(t, c).Close() // whatever the runtime keeps open is open now
	before := descriptors(t)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	failed := ""
	for allowed := uint64(3); ; allowed++ {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: allowed, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
		d, err := Open(c)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			d.Close()
			break
		}
		failed += err.Error() + "\n"
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%d descriptors: %v", allowed, err)
		}
		if after := descriptors(t); after != before {
			t.Fatalf("%d descriptors: %v: %d before, %d after", allowed, err, before, after)
		}
		if exists("weir0") {
			t.Fatalf("%d descriptors: %v: the device was left behind", allowed, err)
		}
	}
	for _, step := range []string{": open /dev", "open netlink", "create", "queue 2: open"} {
		if !strings.Contains(failed, step) {
			t.Errorf("the step %q never failed:\n%s", step, failed)
		}
	}
}

// The lab opens devices in namespaces of threads and uses them from others.
func TestADeviceBelongsToTheNamespaceItWasOpenedIn(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	type result struct {
		d   Device
		err error
	}
	opened := make(chan result)
	look, seen := make(chan struct{}), make(chan bool)
	go func() { // ends with look; the thread ends with it, and its namespace
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			opened <- result{err: err}
			return
		}
		d, err := Open(Config{Name: "weir0", Kind: TAP})
		opened <- result{d, err}
		<-look
		l, err := netlink.LinkByName("weir0")
		seen <- err == nil && l.Attrs().Flags&net.FlagUp != 0
	}()
	r := <-opened
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.d.Close()
	if exists("weir0") {
		t.Error("the device is in the namespace of the process")
	}
	if err := r.d.(UpDowner).Up(); err != nil {
		t.Error(err)
	}
	close(look)
	if !<-seen {
		t.Error("the device is not up in its own namespace")
	}
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, off := range []bool{false, true} {
		d := open(t, Config{Name: "weir0", Kind: TUN, NoOffload: off})
		connect(t, d)
		client := dialUDP(t, netip.AddrPortFrom(weirAddr, 9))
		var fd atomic.Int64
		raw, _ := client.SyscallConn()
		raw.Control(func(f uintptr) { fd.Store(int64(f)) })
		var in packet.Packet
		payload := make([]byte, 100)
		round := func() {
			if _, err := unix.Write(int(fd.Load()), payload); err != nil {
				t.Fatal(err)
			}
			if err := d.Read(0, &in); err != nil {
				t.Fatal(err)
			}
			turn(&in, packet.LinkRaw)
			if err := d.Write(&in); err != nil {
				t.Fatal(err)
			}
		}
		round()
		if n := testing.AllocsPerRun(1000, round); n != 0 {
			t.Errorf("NoOffload %v: %v allocations a round", off, n)
		}
		d.Close()
	}
}
