package appliance

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"weir/appliance/config"
	"weir/appliance/director"
	"weir/netstack/packet"
)

const benchConfig = `
topology: host
ports:
  - {name: tun, tun: weir0}
services:
  - {name: web, vip: "192.0.2.10:80", method: nat, scheduler: rr, reals: ["10.2.0.1:80", "10.2.0.2:80", "10.2.0.3:80", "10.2.0.4:80"]}
`

// packets makes packets of many flows from one: it patches client and port
// into a parsed template, so that the benchmark measures the director and not
// the memory of a million packets.
type packets struct {
	*director.Director
	template, p packet.Packet
	header      [40]byte
}

func newPackets(b *testing.B, flows int) *packets {
	cfg, err := config.Parse("bench", []byte(benchConfig))
	if err != nil {
		b.Fatal(err)
	}
	var mem memory
	b.Cleanup(func() { _ = mem.free() })
	d, err := drawingOf(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	ps := &packets{Director: director.New(director.Options{
		Network: d, MaxFlows: max(flows, 1000), Seed: 9, Memory: mem.take,
	})}
	services, err := specs(cfg, cfg.Services)
	if err != nil {
		b.Fatal(err)
	}
	ps.SetTable(director.NewTable(services, director.DefaultTimeouts(), nil))
	if err := packet.Build(&ps.template, "tcp 10.0.0.1:1024 > 192.0.2.10:80 S"); err != nil {
		b.Fatal(err)
	}
	if why := ps.template.Parse(packet.LinkRaw); why != packet.OK {
		b.Fatal(why)
	}
	copy(ps.header[:], ps.template.Store[ps.template.L3:])
	for n := range uint32(flows) {
		ps.send(b, n, packet.SYN)
	}
	return ps
}

// send puts a packet of the n-th client through the director.
func (ps *packets) send(b *testing.B, n uint32, flags uint8) {
	ps.p = ps.template
	h := ps.p.Store[ps.p.L3:]
	copy(h, ps.header[:])
	binary.BigEndian.PutUint32(h[12:], 10<<24|n>>8)
	ps.p.SrcPort = 1024 + uint16(n&0xff)
	binary.BigEndian.PutUint16(h[20:], ps.p.SrcPort)
	ps.p.Flags = flags
	if v := ps.Ingress(time.Second, 0, &ps.p); v.Action != packet.Emit {
		b.Fatalf("client %d: %v %v", n, v.Action, v.Reason)
	}
}

// benchmarkDirector is decision, rewrite and accounting of one packet of a
// known flow, on the memory that the appliance gives the director.
func benchmarkDirector(b *testing.B, flows int) {
	ps := newPackets(b, flows)
	order := make([]uint32, 1<<16)
	for i := range order {
		order[i] = rand.Uint32N(uint32(flows))
	}
	step := uint32(0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		n := order[i&(1<<16-1)]
		if flows > 1<<16 { // spread over all flows: no two rounds meet the same ones
			step += 2654435761
			n = uint32(uint64(step) * uint64(flows) >> 32)
		}
		ps.send(b, n, packet.ACK)
	}
}

func BenchmarkDirector1(b *testing.B)    { benchmarkDirector(b, 1) }
func BenchmarkDirector1k(b *testing.B)   { benchmarkDirector(b, 1_000) }
func BenchmarkDirector100k(b *testing.B) { benchmarkDirector(b, 100_000) }
func BenchmarkDirector1M(b *testing.B)   { benchmarkDirector(b, 1_000_000) }

// The same look-up in a Go map of as many flows, for the machine's measure.
func BenchmarkGoMap1M(b *testing.B) {
	key := func(n uint32) packet.FlowKey {
		a := netip.AddrFrom4([4]byte{10, byte(n >> 24), byte(n >> 16), byte(n >> 8)})
		return packet.FlowKey{Src: packet.AddrFrom(a), SrcPort: uint16(n & 0xff), DstPort: 80, Proto: packet.TCP, Version: 4}
	}
	m := map[packet.FlowKey]uint32{}
	for n := range uint32(1_000_000) {
		m[key(n)] = n
	}
	step := uint32(0)
	for b.Loop() {
		step += 2654435761
		n := uint32(uint64(step) * 1_000_000 >> 32)
		if m[key(n)] != n {
			b.Fatal("lost")
		}
	}
}
