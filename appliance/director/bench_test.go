package director

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"weir/netstack/packet"
)

// traffic makes packets of many flows from one: it patches client and port
// into a parsed template, so that the benchmark measures the director and not
// the memory of a million packets.
type traffic struct {
	*Director
	template, p packet.Packet
	header      [40]byte
}

func newTraffic(tb testing.TB, flows int) *traffic {
	net := &network{names: []string{"tun"}, ports: []packet.Hop{{MTU: 1500}}, generation: 1,
		routes: map[netip.Prefix]packet.PortID{netip.MustParsePrefix("0.0.0.0/0"): 0}}
	tr := &traffic{Director: New(Options{Network: net, MaxFlows: max(flows, 1000), Seed: 9})}
	tr.SetTable(NewTable(oneService(4).specs(), DefaultTimeouts(), nil))
	if err := packet.Build(&tr.template, "tcp 10.0.0.1:1024 > 192.0.2.10:80 S"); err != nil {
		tb.Fatal(err)
	}
	if why := tr.template.Parse(packet.LinkRaw); why != packet.OK {
		tb.Fatal(why)
	}
	copy(tr.header[:], tr.template.Store[tr.template.L3:])
	for n := range uint32(flows) {
		if v := tr.send(n, packet.SYN); v.Action != packet.Emit {
			tb.Fatalf("flow %d: %v %v", n, v.Action, v.Reason)
		}
	}
	return tr
}

func (t *Table) specs() (specs []ServiceSpec) {
	for _, s := range t.services {
		specs = append(specs, s.ServiceSpec)
	}
	return specs
}

// send puts a packet of the n-th client through the director.
func (tr *traffic) send(n uint32, flags uint8) packet.Verdict {
	tr.p = tr.template
	h := tr.p.Store[tr.p.L3:]
	copy(h, tr.header[:])
	binary.BigEndian.PutUint32(h[12:], 10<<24|n>>8)
	tr.p.SrcPort = 1024 + uint16(n&0xff)
	binary.BigEndian.PutUint16(h[20:], tr.p.SrcPort)
	tr.p.Flags = flags
	return tr.Ingress(time.Second, 0, &tr.p)
}

// The first packet of a flow: service, scheduler, next hop, insertion; the flow
// is taken out again.
func BenchmarkOpen(b *testing.B) {
	tr := newTraffic(b, 1000)
	b.ReportAllocs()
	for i := range b.N {
		n := uint32(5000 + i)
		if v := tr.send(n, packet.SYN); v.Action != packet.Emit {
			b.Fatalf("%v %v", v.Action, v.Reason)
		}
		k := clientKey(n)
		k.Src = packet.AddrFrom(netip.AddrFrom4([4]byte{10, byte(n >> 24), byte(n >> 16), byte(n >> 8)}))
		h := tr.flows.hash(&k)
		s, f, _ := tr.flows.find(&h, &k, true)
		s.remove(f, tr.Table())
		s.mu.Unlock()
	}
}

func TestIngressOfAKnownFlowAllocatesNothing(t *testing.T) {
	tr := newTraffic(t, 1000)
	n := uint32(0)
	if got := testing.AllocsPerRun(1000, func() {
		n = (n + 1) % 1000
		tr.send(n, packet.ACK)
	}); got != 0 {
		t.Errorf("%v allocations a packet, want 0", got)
	}
}
