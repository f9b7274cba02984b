// Package e2e_test proves weir from outside: the appliance stands in a world of
// e2e/lab, hosts talk through it, and captures on the links are the evidence.
// Every scenario runs in both worlds.
package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"weir/appliance"
	"weir/appliance/announce"
	"weir/appliance/config"
	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
	"weir/netstack/device"
)

func TestMain(m *testing.M) {
	exit := labtest.Main(m)
	for _, f := range atEnd {
		f()
	}
	os.Exit(exit)
}

// atEnd tidies up what tests share.
var atEnd []func()

// whole: every method moves 100 MB, not nat alone. `make peers` has the time.
var whole = os.Getenv("WEIR_WHOLE") == "1"

// limit bounds every wait of a scenario.
const limit = 30 * time.Second

// topologies are the ones that method nat runs in.
var topologies = []lab.Topology{lab.HostTopology(1, 2), lab.RoutedTopology(1, 2)}

// everywhere runs a scenario in each topology and each world.
func everywhere(t *testing.T, scenario func(t *testing.T, w lab.World)) {
	for _, topology := range topologies {
		t.Run(topology.Name, func(t *testing.T) { labtest.Run(t, topology, scenario) })
	}
}

// startWeir runs the appliance in its place of the world until the test ends.
func startWeir(t testing.TB, w lab.World, services string) *appliance.Appliance {
	t.Helper()
	a, stop := runWeir(t, w, services)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("weir ended with: %v", err)
		}
	})
	return a
}

// runWeir runs the appliance until stop is called, which returns what Run did.
func runWeir(t testing.TB, w lab.World, services string) (a *appliance.Appliance, stop func() error) {
	t.Helper()
	cfg, err := config.Parse("test", []byte(w.Weir().Config()+services))
	if err != nil {
		t.Fatalf("%v\n%s", err, w.Weir().Config()+services)
	}
	o := appliance.Options{OpenDevice: func(p config.Port) (device.Device, error) {
		kind := device.TAP
		if p.Kind == config.PortTUN {
			kind = device.TUN
		}
		return w.Weir().Open(device.Config{Name: p.Device, Kind: kind, MTU: p.MTU, MAC: p.MAC})
	}}
	if w.Name() == "sim" {
		o.Host = announce.None // a simulated host is built with its routes in place
	}
	if err := w.Weir().Do(func() (err error) { a, err = appliance.New(cfg, o); return err }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = func() error { cancel(); return <-ended }
	select {
	case <-a.Ready():
	case err := <-ended:
		t.Fatalf("weir ended before it was ready: %v", err)
	case <-time.After(limit):
		t.Fatal("weir is not ready")
	}
	return a, stop
}

// family is one IP version with the addresses of the ready-made topologies.
type family struct {
	name string
	vip  netip.Addr
	of   func(lab.Host) netip.Addr
}

var families = []family{
	{"v4", lab.VIP4, lab.Host.Addr4},
	{"v6", lab.VIP6, lab.Host.Addr6},
}

// at is the family's VIP with a port.
func (f family) at(port uint16) string { return netip.AddrPortFrom(f.vip, port).String() }

// service is one virtual service over all real servers of a world.
func (f family) service(w lab.World, protocol string, port, realPort uint16) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s%s-%d\n    vip: \"%s\"\n    protocol: %s\n    method: nat\n    scheduler: rr\n    reals:\n", protocol, f.name, port, f.at(port), protocol)
	for _, r := range []string{"real1", "real2"} {
		fmt.Fprintf(&b, "      - {name: %s, address: \"%s\"}\n", r, netip.AddrPortFrom(f.of(w.Host(r)), realPort))
	}
	return b.String()
}

// services are the ones that most scenarios use: TCP 80 to 8080 and UDP 53 to
// 5353, both families.
func services(w lab.World) string {
	text := "services:\n"
	for _, f := range families {
		text += f.service(w, "tcp", 80, 8080) + f.service(w, "udp", 53, 5353)
	}
	return text
}

// serveTCP answers each connection to port on each real server with handle,
// until the test ends.
func serveTCP(t testing.TB, w lab.World, f family, port uint16, handle func(name string, c net.Conn)) {
	t.Helper()
	for _, name := range []string{"real1", "real2"} {
		l, err := w.Host(name).Listen("tcp", netip.AddrPortFrom(f.of(w.Host(name)), port).String())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		t.Cleanup(func() { l.Close(); <-done })
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { // ends with the connection, which weir may not live to tell
					defer context.AfterFunc(t.Context(), func() { c.Close() })()
					defer c.Close()
					c.SetDeadline(time.Now().Add(limit))
					handle(name, c)
				}()
			}
		}()
	}
}

// echoUDP sends every datagram back, from each real server.
func echoUDP(t testing.TB, w lab.World, f family, port uint16) {
	t.Helper()
	for _, name := range []string{"real1", "real2"} {
		c, err := w.Host(name).ListenPacket("udp", netip.AddrPortFrom(f.of(w.Host(name)), port).String())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		t.Cleanup(func() { c.Close(); <-done })
		go func() {
			defer close(done)
			buf := make([]byte, 65535)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				if _, err := c.WriteTo(buf[:n], from); err != nil {
					return
				}
			}
		}()
	}
}

// dial connects client1 to an address.
func dial(t testing.TB, w lab.World, network, address string) net.Conn {
	t.Helper()
	c, err := tryDial(t, w, network, address)
	if err != nil {
		t.Fatalf("dial %s %s: %v", network, address, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tryDial(t testing.TB, w lab.World, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := w.Host("client1").Dial(ctx, network, address)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(limit))
	}
	return c, err
}

// ask sends a line and returns all of the answer.
func ask(t testing.TB, c net.Conn, line string) string {
	t.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
