package packet_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// change is what a rewrite should do to a packet: fields by gopacket's names.
type change map[string]string

// operation is one rewrite of the package, and its effect.
type operation struct {
	name string
	// do rewrites p, which holds s, and says what should be different.
	do func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change
}

var operations = []operation{
	{"RewriteSrc", func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change {
		want := change{}
		rewriteEnd(rng, "Src", p, want)
		return want
	}},
	{"RewriteDst", func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change {
		want := change{}
		rewriteEnd(rng, "Dst", p, want)
		return want
	}},
	{"RewriteSrc and RewriteDst", func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change {
		want := change{}
		rewriteEnd(rng, "Src", p, want)
		rewriteEnd(rng, "Dst", p, want)
		return want
	}},
	{"DecTTL", func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change {
		want := change{ipName(p) + map[uint8]string{4: ".TTL", 6: ".HopLimit"}[p.Version]: fmt.Sprint(p.TTL() - 1)}
		p.DecTTL()
		return want
	}},
	{"SetTOS", func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change {
		tos := uint8(rng.Uint32())
		p.SetTOS(tos)
		return change{ipName(p) + map[uint8]string{4: ".TOS", 6: ".TrafficClass"}[p.Version]: fmt.Sprint(tos)}
	}},
	{"RewriteQuotedSrc", func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change {
		want := change{}
		rewriteQuoted(rng, "Src", s, p, want)
		return want
	}},
	{"RewriteQuotedDst and RewriteSrc", func(rng *rand.Rand, s *packettest.Sample, p *packet.Packet) change {
		want := change{}
		rewriteQuoted(rng, "Dst", s, p, want)
		rewriteEnd(rng, "Src", p, want)
		return want
	}},
}

func ipName(p *packet.Packet) string { return map[uint8]string{4: "IPv4", 6: "IPv6"}[p.Version] }

// randomAddr is an address of the packet's family, often with words of zeros or
// ones.
func randomAddr(rng *rand.Rand, version uint8) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = []byte{0, 0xff, byte(rng.Uint32()), byte(rng.Uint32())}[rng.IntN(4)]
	}
	if version == 4 {
		return netip.AddrFrom4([4]byte(b[:]))
	}
	b[0] = 0x20
	return netip.AddrFrom16(b)
}

// portField names the field that port is written to, and its value.
func portField(p *packet.Packet, side string, port uint16, want change, prefix string) {
	switch {
	case !p.HasL4:
	case p.Proto == packet.TCP:
		want[prefix+"TCP."+side+"Port"] = layers.TCPPort(port).String()
	case p.Proto == packet.UDP:
		want[prefix+"UDP."+side+"Port"] = layers.UDPPort(port).String()
	case p.IsICMPQuery() && p.Version == 4:
		want[prefix+"ICMPv4.Id"] = fmt.Sprint(port)
	case p.IsICMPQuery():
		want[prefix+"ICMPv6.Id"] = hex.EncodeToString([]byte{byte(port >> 8), byte(port)})
	}
}

func rewriteEnd(rng *rand.Rand, side string, p *packet.Packet, want change) {
	to, port := randomAddr(rng, p.Version), uint16(rng.Uint32())
	toAddr := packet.AddrFrom(to)
	portField(p, side, port, want, "")
	want[ipName(p)+"."+side+"IP"] = to.String()
	from, fromPort := p.SrcAddr(), p.SrcPort
	if side == "Dst" {
		from, fromPort = p.DstAddr(), p.DstPort
		p.RewriteDst(&toAddr, port, packet.DeltaOf(&from, &toAddr, fromPort, port))
		return
	}
	p.RewriteSrc(&toAddr, port, packet.DeltaOf(&from, &toAddr, fromPort, port))
}

func rewriteQuoted(rng *rand.Rand, side string, s *packettest.Sample, p *packet.Packet, want change) {
	var q packet.Packet
	if p.Quote(&q) != packet.OK {
		return
	}
	to, port := randomAddr(rng, p.Version), uint16(rng.Uint32())
	toAddr := packet.AddrFrom(to)
	portField(&q, side, port, want, "quote.")
	want["quote."+ipName(p)+"."+side+"IP"] = to.String()
	if side == "Dst" {
		p.RewriteQuotedDst(&q, &toAddr, port)
	} else {
		p.RewriteQuotedSrc(&q, &toAddr, port)
	}
}

// Every rewrite changes what it was asked to change and nothing else, and every
// checksum is as right, or as wrong by as much, as before; gopacket is the judge.
func TestRewritesAgainstGopacket(t *testing.T) {
	count := 20000
	if testing.Short() {
		count = 2000
	}
	var p packet.Packet
	for seed := range count {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		s := packettest.Random(rng)
		s.Load(&p)
		if r := p.Parse(s.Link); r != packet.OK {
			t.Fatalf("seed %d (%s): refused: %s", seed, s.What, r)
		}
		if s.L4 != p.HasL4 {
			t.Fatalf("seed %d (%s): HasL4 is %v", seed, s.What, p.HasL4)
		}
		if r := p.Quote(new(packet.Packet)); s.Quotes && r != packet.OK {
			t.Fatalf("seed %d (%s): quote: %s", seed, s.What, r)
		}
		op := operations[seed%len(operations)]
		want := op.do(rng, &s, &p)
		if fault := judge(&s, s.Frame, p.Bytes(), want); fault != "" {
			t.Fatalf("seed %d, %s of (%s): %s\nbefore %x\nafter  %x", seed, op.name, s.What, fault, s.Frame, p.Bytes())
		}
	}
}

// judge compares two frames; empty if after is before with the change wanted.
func judge(s *packettest.Sample, before, after []byte, want change) string {
	sums, now := packettest.Checksums(before, s.Link), packettest.Checksums(after, s.Link)
	if len(sums) != len(now) {
		return fmt.Sprintf("checksums were %v, are %v", sums, now)
	}
	for i, sum := range sums {
		if now[i].Name != sum.Name || now[i].Error() != sum.Error() {
			return fmt.Sprintf("checksum %v became %v", sum, now[i])
		}
	}
	value := map[string]string{}
	for _, f := range packettest.Fields(after, s.Link) {
		value[f.Name] = f.Value
	}
	for name, v := range want {
		if value[name] != v {
			return fmt.Sprintf("%s is %s, want %s", name, value[name], v)
		}
	}
	for _, c := range packettest.Diff(before, after, s.Link) {
		_, asked := want[c.Name]
		judged := slices.ContainsFunc(sums, func(sum packettest.Checksum) bool { return sum.Name == c.Name })
		// What gopacket cannot sum, TestRewritesOfParts does.
		part := strings.HasSuffix(c.Name, ".Checksum") && c.Before != "0" &&
			(strings.Contains(s.What, "first fragment") || strings.Contains(s.What, "cut quote"))
		if !asked && !judged && !part {
			return fmt.Sprintf("nobody asked for %v", c)
		}
	}
	return ""
}
