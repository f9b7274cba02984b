package director

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/netstack/packet"
)

// Queues, the timer, an operator who lists flows and one who changes the table,
// all at once: for the race detector, and nothing may be lost or counted twice.
func TestEverythingAtOnce(t *testing.T) {
	net := &network{names: []string{"tun"}, ports: []packet.Hop{{MTU: 1500}}, generation: 1,
		routes: map[netip.Prefix]packet.PortID{netip.MustParsePrefix("0.0.0.0/0"): 0}}
	d := New(Options{Network: net, MaxFlows: 2000, Seed: 1})
	specs := oneService(4).specs()
	d.SetTable(NewTable(specs, DefaultTimeouts(), nil))

	var clock atomic.Int64
	var wg sync.WaitGroup
	for q := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(q), 1))
			for range 5_000 {
				now := time.Duration(clock.Add(int64(time.Millisecond)))
				if why := oneRandomPacket(d, rng, now); why != "" {
					t.Error(why)
					return
				}
			}
		})
	}
	others := []func(){
		func() { d.Tick(time.Duration(clock.Load())) },
		func() { d.Flows(time.Duration(clock.Load()), func(f FlowInfo) bool { return f.Service == "web" }) },
		func() { d.Counts() },
		func() {
			specs[0].Reals[1].Weight = 1 - specs[0].Reals[1].Weight
			again := specs[0]
			again.Reals = append([]RealSpec(nil), specs[0].Reals...)
			d.SetTable(NewTable([]ServiceSpec{again}, DefaultTimeouts(), d.Table()))
		},
	}
	for _, f := range others {
		wg.Go(func() {
			for range 200 {
				f()
			}
		})
	}
	wg.Wait()

	c, _ := d.Counts()
	if c.Created != uint64(c.Flows)+c.Expired+c.Evicted+c.Replaced {
		t.Errorf("created %d, but live %d + expired %d + evicted %d + replaced %d", c.Created, c.Flows, c.Expired, c.Evicted, c.Replaced)
	}
	d.Tick(time.Duration(clock.Load()) + 24*time.Hour)
	if c, _ = d.Counts(); c.Flows != 0 {
		t.Errorf("%d flows live after a day of silence", c.Flows)
	}
	for _, r := range d.Table().services[0].reals {
		if r.Active() != 0 || r.Inactive() != 0 {
			t.Errorf("%s counts %d active and %d inactive flows, and there is none", r.Name, r.Active(), r.Inactive())
		}
	}
}

// oneRandomPacket sends a request, and the real server's reply to it.
func oneRandomPacket(d *Director, rng *rand.Rand, now time.Duration) (fault string) {
	flags := []string{"S", "A", "FA"}[rng.IntN(3)]
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(rng.IntN(16)), byte(rng.IntN(250) + 1)}), 4000)
	var p packet.Packet
	if err := packet.Build(&p, "tcp "+client.String()+" > 192.0.2.10:80 "+flags); err != nil {
		return err.Error()
	}
	p.Parse(packet.LinkRaw)
	if v := d.Ingress(now, 0, &p); v.Action != packet.Emit {
		return ""
	}
	back := "tcp " + netip.AddrPortFrom(p.Dst(), p.DstPort).String() + " > " + client.String() + " SA"
	if err := packet.Build(&p, back); err != nil {
		return err.Error()
	}
	p.Parse(packet.LinkRaw)
	if v := d.Ingress(now, 0, &p); v.Action == packet.Emit && p.Src() != netip.MustParseAddr("192.0.2.10") {
		return "a reply left with the source " + p.Src().String()
	}
	return ""
}
