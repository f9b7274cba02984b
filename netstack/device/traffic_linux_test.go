package device

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
)

// mirror reads queues of in, turns what is TCP or UDP and writes it to out.
type mirror struct {
	in, out *tuntap
	frames  [8]atomic.Int64 // read, by queue
	longest atomic.Int64    // frame read, in bytes
	super   [4]atomic.Int64 // super-packets read, by packet.GSO
	partial atomic.Int64    // frames read whose checksum was left to us
	ended   chan error      // one of each queue's reader
}

// startMirror runs one reader a queue, each ended by closing in.
func startMirror(in, out *tuntap) *mirror {
	m := &mirror{in: in, out: out, ended: make(chan error, in.Queues())}
	for q := range in.Queues() {
		go func() {
			runtime.LockOSThread()
			m.ended <- m.run(q)
		}()
	}
	return m
}

func (m *mirror) run(q int) error {
	var p packet.Packet
	for {
		if err := m.in.Read(q, &p); errors.Is(err, ErrAgain) {
			continue
		} else if err != nil {
			return err
		}
		m.frames[q].Add(1)
		m.longest.Store(max(m.longest.Load(), int64(p.End-p.Start)))
		m.super[p.Offload.GSO].Add(1)
		if p.Offload.NeedsCsum {
			m.partial.Add(1)
		}
		if !turn(&p, m.in.Link()) {
			continue
		}
		if err := m.out.Write(&p); err != nil && !errors.Is(err, ErrFull) {
			return err
		}
	}
}

// stop closes the mirrored device and has the readers' results.
func (m *mirror) stop(t *testing.T) {
	t.Helper()
	if err := m.in.Close(); err != nil {
		t.Error(err)
	}
	for range m.in.queues {
		if err := <-m.ended; !errors.Is(err, ErrClosed) {
			t.Errorf("reader ended with %v, not with ErrClosed", err)
		}
	}
}

var families = []struct {
	name             string
	kernel, weirSide netip.Addr
}{{"IPv4", kernelAddr, weirAddr}, {"IPv6", kernel6, weir6}}

func TestUDPTravelsThroughEitherKindOfDevice(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, kind := range []Kind{TUN, TAP} {
		d := open(t, Config{Name: "weir0", Kind: kind})
		connect(t, d)
		m := startMirror(d, d)
		for _, f := range families {
			t.Run(fmt.Sprint(kind, " ", f.name), func(t *testing.T) {
				server := listenUDP(t, f.kernel)
				client := dialUDP(t, netip.AddrPortFrom(f.weirSide, portOf(server)))
				for _, size := range []int{1, 1000, 1400} {
					sent := randomBytes(size)
					if _, err := client.Write(sent); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, 2000)
					n, _, err := server.ReadFrom(got)
					if err != nil || !bytes.Equal(got[:n], sent) {
						t.Fatalf("%d bytes sent, %d received: %v", size, n, err)
					}
				}
			})
		}
		m.stop(t)
		if exists("weir0") {
			t.Fatalf("%s is still there after Close", kind)
		}
	}
}

func TestTCPComesInSuperPacketsUnlessOffloadIsOff(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, kind := range []Kind{TUN, TAP} {
		for _, off := range []bool{false, true} {
			d := open(t, Config{Name: "weir0", Kind: kind, NoOffload: off})
			if d.Features().TSO == off {
				t.Fatalf("features %s with NoOffload %v", d.Features(), off)
			}
			connect(t, d)
			for i, f := range families {
				m := startMirror(d, d)
				t.Run(fmt.Sprintf("%s %s %s", kind, d.Features(), f.name), func(t *testing.T) {
					download(t, f.kernel, f.weirSide, 8<<20)
				})
				super := m.super[packet.GSOTCP4].Load() + m.super[packet.GSOTCP6].Load()
				switch longest := m.longest.Load(); {
				case off && (super != 0 || m.partial.Load() != 0 || longest > 1500+14):
					t.Errorf("%s without offload: %d super-packets, %d partial checksums, longest frame %d", kind, super, m.partial.Load(), longest)
				case !off && (super == 0 || longest < 16<<10):
					t.Errorf("%s with offload: %d super-packets, longest frame %d", kind, super, longest)
				}
				if i == len(families)-1 {
					m.stop(t)
					continue
				}
				m.stop(t)
				d = open(t, Config{Name: "weir0", Kind: kind, NoOffload: off})
				connect(t, d)
			}
		}
	}
}

func TestATAPInABridgeIsReached(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	addBridge(t, "br0")
	bridge := linkOf(t, "br0")
	d := open(t, Config{Name: "weir0", Kind: TAP})
	if err := netlink.LinkSetMaster(linkOf(t, "weir0"), bridge); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
	connectVia(t, d, "br0")
	m := startMirror(d, d)
	for _, f := range families {
		download(t, f.kernel, f.weirSide, 1<<20)
	}
	m.stop(t)
}

func TestUDPSuperPacketsTravelWhole(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	d := open(t, Config{Name: "weir0", Kind: TUN})
	if !d.Features().USO {
		forbidden(t, "this kernel is older than 6.2: no UDP segmentation offload")
	}
	connect(t, d)
	m := startMirror(d, d)
	for _, f := range families {
		sendUSO(t, f.kernel, f.weirSide)
	}
	m.stop(t)
	if n := m.super[packet.GSOUDP].Load(); n != 2 {
		t.Errorf("%d UDP super-packets came in, want one of each family", n)
	}
}

// sendUSO sends 20 datagrams as one super-packet and wants 20 back.
func sendUSO(t *testing.T, kernel, weirSide netip.Addr) {
	t.Helper()
	server := listenUDP(t, kernel)
	client := dialUDP(t, netip.AddrPortFrom(weirSide, portOf(server)))
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1000)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	sent := randomBytes(20_000)
	if _, err := client.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2000)
	for i := range 20 {
		n, _, err := server.ReadFrom(got)
		if err != nil || !bytes.Equal(got[:n], sent[i*1000:(i+1)*1000]) {
			t.Fatalf("datagram %d: %d bytes: %v", i, n, err)
		}
	}
}

// A device without offloads is given what another one read with them.
func TestSuperPacketsAreCutForADeviceWithoutOffload(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	in := open(t, Config{Name: "weir0", Kind: TUN})
	out := open(t, Config{Name: "weir1", Kind: TUN, NoOffload: true})
	connect(t, in)
	if err := out.Up(); err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	m := startMirror(in, out)
	for _, f := range families {
		before := linkOf(t, "weir1").Attrs().Statistics.RxPackets
		download(t, f.kernel, f.weirSide, size)
		packets := linkOf(t, "weir1").Attrs().Statistics.RxPackets - before
		if packets < size/1500 {
			t.Errorf("%s: %d bytes were written in %d frames: some were larger than the MTU", f.name, size, packets)
		}
	}
	m.stop(t)
	if m.super[packet.GSOTCP4].Load() == 0 || m.super[packet.GSOTCP6].Load() == 0 {
		t.Error("no super-packets came in: nothing was proven")
	}
}

func TestFlowsSpreadOverQueues(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	const queues = 4
	d := open(t, Config{Name: "weir0", Kind: TUN, Queues: queues})
	if d.Queues() != queues {
		t.Fatalf("%d queues, asked for %d", d.Queues(), queues)
	}
	connect(t, d)
	m := startMirror(d, d)
	for range 16 {
		download(t, kernelAddr, weirAddr, 64<<10)
	}
	m.stop(t)
	used := 0
	for q := range queues {
		if m.frames[q].Load() > 10 {
			used++
		}
	}
	if used < 2 {
		t.Errorf("frames by queue: %v", m.frames[:queues])
	}
}

func TestQueueIsBackAfterTheLinkWasDown(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	d := open(t, Config{Name: "weir0", Kind: TUN})
	connect(t, d)
	m := startMirror(d, d)
	exchange := func() {
		server := listenUDP(t, kernelAddr)
		client := dialUDP(t, netip.AddrPortFrom(weirAddr, portOf(server)))
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := server.ReadFrom(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	exchange()
	if err := d.Down(); err != nil {
		t.Fatal(err)
	}
	var p packet.Packet
	p.Load(append([]byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0}, make([]byte, 8)...))
	if err := d.Write(&p); !errors.Is(err, ErrAgain) {
		t.Errorf("Write while the link is down: %v, want ErrAgain", err)
	}
	if err := d.Up(); err != nil {
		t.Fatal(err)
	}
	exchange() // its deadline is the second that THREATS row 31 allows
	m.stop(t)
}

// download sends size random bytes by TCP from a kernel socket to another
// through the mirror, and compares.
func download(t *testing.T, kernel, weirSide netip.Addr, size int) {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(kernel, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetDeadline(time.Now().Add(10 * time.Second))
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	sent := randomBytes(size)
	go func() { // ends with the write, which the deadline bounds
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(weirSide, port).String(), 10*time.Second)
		if err != nil {
			l.Close() // Accept below fails and tells
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		c.Write(sent)
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	got, err := io.ReadAll(c)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Fatalf("%d bytes sent, %d received, or others: %v", len(sent), len(got), err)
	}
}

func listenUDP(t *testing.T, a netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Second))
	return c
}

func dialUDP(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func portOf(c *net.UDPConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}
