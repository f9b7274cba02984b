package lab_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
	"weir/netstack/device"
	"weir/netstack/packet"
)

// A device that weir opens at its place carries frames between it and the
// hosts of its segment.
func TestKernelTAPJoinsItsSegment(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	for _, row := range []struct {
		rule string
		open func(lab.Place, device.Config) (device.Device, error)
	}{
		{"a TAP that the lab opens", lab.Place.Open},
		{"a TAP that another program makes", func(p lab.Place, c device.Config) (d device.Device, err error) {
			err = p.Do(func() (err error) { d, err = device.Open(c); return err })
			return d, err
		}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			topology := lab.RoutedTopology(1, 1)
			w := labtest.Kernel(t, topology)
			port := topology.Weir.Ports[0]
			tap, err := row.open(w.Weir(), device.Config{Name: port.Device, Kind: device.TAP, MAC: port.MAC})
			if err != nil {
				t.Fatal(err)
			}
			defer tap.Close()
			if err := tap.(device.UpDowner).Up(); err != nil {
				t.Fatal(err)
			}
			go w.Host("client1").Ping(t.Context(), lab.VIP4) // asks for its gateway, weir; ends with the test
			want := fmt.Sprintf("arp who-has 10.1.0.1 from %s", w.Host("client1").Addr4())
			if got := readARP(t, tap); got != want {
				t.Errorf("the TAP got %q, want %q", got, want)
			}
		})
	}
}

// readARP reads from the device until there is an ARP request.
func readARP(t *testing.T, d device.Device) string {
	t.Helper()
	late := time.AfterFunc(10*time.Second, func() { d.Close() })
	defer late.Stop()
	var p packet.Packet
	for {
		if err := d.Read(0, &p); err != nil {
			t.Fatalf("no ARP request came: %v", err)
		}
		b := p.Bytes()
		if len(b) >= 42 && b[12] == 0x08 && b[13] == 0x06 && b[21] == 1 {
			asks, _ := netip.AddrFromSlice(b[28:32])
			for_, _ := netip.AddrFromSlice(b[38:42])
			return fmt.Sprintf("arp who-has %s from %s", for_, asks)
		}
	}
}
