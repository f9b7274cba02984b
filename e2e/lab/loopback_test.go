package lab_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
	"weir/netstack/packet"
)

// A real server that has the VIP on its loopback serves there, and nobody on
// the segment is told so: without weir the VIP is nowhere.
func TestLoopbackAddressesAreServedAndNotAnsweredFor(t *testing.T) {
	labtest.Run(t, lab.DirectReturn(lab.OneArmTopology(1, 1)), func(t *testing.T, w lab.World) {
		seen, err := w.Capture("client1", lab.LANSegment)
		if err != nil {
			t.Fatal(err)
		}
		for _, vip := range []netip.Addr{lab.NearVIP4, lab.NearVIP6} {
			ln, err := w.Host("real1").Listen("tcp", netip.AddrPortFrom(vip, 80).String())
			if err != nil {
				t.Errorf("the real server cannot serve at %v: %v", vip, err)
				continue
			}
			defer ln.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := w.Host("client1").Ping(ctx, vip); err == nil {
				t.Errorf("%v answers", vip)
			}
		}
		if _, err := w.Host("client1").Ping(bounded(t), w.Host("real1").Addr4()); err != nil {
			t.Errorf("the real server's own address: %v", err)
		}
		if err := seen.Stop(); err != nil {
			t.Fatal(err)
		}
		asked := false
		for _, f := range seen.Frames() {
			var p packet.Packet
			p.Load(f.Data)
			if p.Parse(packet.LinkEthernet) != packet.OK {
				continue
			}
			a, ok := p.ARP()
			asked = asked || ok && f.Out && a.Target == lab.NearVIP4
			if n, ndp := p.NDP(); !f.Out && (ok && a.Sender == lab.NearVIP4 || ndp && n.Target == lab.NearVIP6) {
				t.Errorf("somebody speaks for a VIP: %v", &p)
			}
		}
		if !asked {
			t.Error("the client did not even ask")
		}
	})
}

// A tunnel end does not keep a world from closing, nor a second one from being
// built in its place.
func TestTunnelEndsLeaveWithTheirWorld(t *testing.T) {
	for range 2 {
		labtest.Run(t, lab.Decapsulating(lab.OneArmTopology(1, 2)), func(t *testing.T, w lab.World) {
			if _, err := w.Host("client1").Ping(bounded(t), w.Host("real2").Addr6()); err != nil {
				t.Error(err)
			}
			if c := w.Weir().Config(); !strings.HasPrefix(c, "topology: one-arm\n") {
				t.Errorf("weir's place says\n%s", c)
			}
		})
	}
}
