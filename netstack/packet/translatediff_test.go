package packet_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// neutral are the names under which a field of either IP version is compared.
// Fields of these layers that it does not name have no counterpart.
var neutral = map[string]string{
	"IPv4.TOS": "IP.TOS", "IPv6.TrafficClass": "IP.TOS", "IPv4.TTL": "IP.TTL", "IPv6.HopLimit": "IP.TTL",
	"IPv4.SrcIP": "IP.SrcIP", "IPv6.SrcIP": "IP.SrcIP", "IPv4.DstIP": "IP.DstIP", "IPv6.DstIP": "IP.DstIP",
	"ICMPv4.Id": "ICMP.Id", "ICMPv6.Id": "ICMP.Id", "ICMPv4.Seq": "ICMP.Seq", "ICMPv6.Seq": "ICMP.Seq",
	"ICMPv4.TypeCode": "ICMP.TypeCode", "ICMPv6.TypeCode": "ICMP.TypeCode",
}

// dissected is a frame as gopacket reads it, in words that both IP versions
// have. Lengths, checksums and padding are left out.
func dissected(frame []byte, link packet.Link) map[string]string {
	all := map[string]string{}
	for _, f := range packettest.Fields(frame, link) {
		name, quoted := strings.CutPrefix(f.Name, "quote.")
		layer, field, _ := strings.Cut(name, ".")
		switch {
		case neutral[name] != "":
			name = neutral[name]
			if layer == "ICMPv6" && field != "TypeCode" {
				n, _ := strconv.ParseUint(f.Value, 16, 16)
				f.Value = fmt.Sprint(n)
			}
		case strings.HasPrefix(layer, "IP") || strings.HasPrefix(layer, "ICMP"), strings.HasPrefix(name, "trailer"), name == "Ethernet.EthernetType",
			strings.HasPrefix(name, "Dot1Q.Type"), field == "Checksum":
			continue
		}
		if quoted {
			name = "quote." + name
		}
		all[name] = f.Value
	}
	return all
}

// allowed are the reasons for which gopacket's view of a frame and the tables
// of RFC 7915 let a translation be refused; none: it must be made.
func allowed(s *packettest.Sample, p *packet.Packet, had map[string]string) (reasons []packet.Reason) {
	refuse := func(r packet.Reason, when bool) {
		if when {
			reasons = append(reasons, r)
		}
	}
	quoted := func(f packettest.Field) bool { return strings.HasPrefix(f.Name, "quote.IPSecAH") }
	fields := packettest.Fields(s.Frame, s.Link)
	authenticated := slices.ContainsFunc(fields, func(f packettest.Field) bool { return strings.HasPrefix(f.Name, "IPSecAH") })
	what := func(word string) bool { return strings.Contains(s.What, word) }
	fragment := what("first fragment") || what("last fragment")
	icmp := p.Proto == packet.ICMP || p.Proto == packet.ICMPv6
	refuse(packet.Untranslatable, authenticated || icmp && fragment)
	refuse(packet.Untranslatable, what("UDP, no checksum") && what("first fragment") && p.Version == 4 && p.Proto == packet.UDP)
	if !icmp || fragment {
		return reasons
	}
	kind, code := p.ICMPType(), p.ICMPCode()
	if !p.IsICMPError() {
		refuse(packet.Untranslatable, !strings.HasPrefix(had["ICMP.TypeCode"], "Echo"))
		return reasons
	}
	refuse(packet.ICMPQuote, slices.ContainsFunc(fields, quoted))
	inside := had["quote.ICMP.TypeCode"]
	refuse(packet.ICMPQuote, inside != "" && !strings.HasPrefix(inside, "Echo"))
	if p.Version == 4 {
		refuse(packet.Untranslatable, kind == 4 || kind == 12 && code != 0 && code != 2)
	} else { // the pointer of a sample is 0x500, behind the header
		refuse(packet.Untranslatable, kind == 1 && code > 4 || kind == 4 && code != 1)
	}
	return reasons
}

// A translation changes what RFC 7915 says and nothing else, and every checksum
// is as right, or as wrong by as much, as before; gopacket is the judge.
func TestTranslateAgainstGopacket(t *testing.T) {
	count := 20000
	if testing.Short() {
		count = 2000
	}
	var p packet.Packet
	made := map[uint8]int{}
	for seed := range count {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		s := packettest.Random(rng)
		s.Load(&p)
		if r := p.Parse(s.Link); r != packet.OK {
			t.Fatalf("seed %d (%s): refused: %s", seed, s.What, r)
		}
		copy(p.Store, bytes.Repeat([]byte{0xff}, p.Start)) // what lies in the headroom must not matter
		had := dissected(s.Frame, s.Link)
		reasons := allowed(&s, &p, had)
		version, want, upper := p.Version, wanted(rng, &p, had), upperName(&p)
		payload := bytes.Clone(p.PayloadBytes())
		src, dst := packet.AddrFrom(want.src), packet.AddrFrom(want.dst)
		r := packet.Translate(&p, &src, &dst, want.sport, want.dport)
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d (%s): %s\nbefore %x\nafter  %x", seed, s.What, fmt.Sprintf(format, args...), s.Frame, p.Bytes())
		}
		if r != packet.OK {
			if !slices.Contains(reasons, r) || !bytes.Equal(p.Bytes(), s.Frame) {
				fail("%s, allowed are %v", r, reasons)
			}
			continue
		}
		if len(reasons) > 0 {
			fail("translated, although %v", reasons)
		}
		made[version]++
		if fault := judgeFields(&p, want.fields, upper); fault != "" {
			fail("%s", fault)
		}
		if fault := judgeSums(&s, &p); fault != "" {
			fail("%s", fault)
		}
		if p.End != p.L3End {
			fail("%d bytes of padding", p.End-p.L3End)
		}
		if !p.IsICMPError() && !bytes.Equal(payload, p.PayloadBytes()) {
			fail("it carried %x", payload)
		}
		reread(t, &p)
	}
	if made[4] < count/5 || made[6] < count/5 {
		t.Errorf("only %v of %d were translated", made, count)
	}
}

// upperName is gopacket's name of what p carries, in the other version.
func upperName(p *packet.Packet) string {
	switch p.Proto {
	case packet.ICMP:
		return "ICMPv6"
	case packet.ICMPv6:
		return "ICMPv4"
	}
	return layers.IPProtocol(p.Proto).String()
}

// judgeFields compares what gopacket reads in the translated p; empty if it is
// what was wanted.
func judgeFields(p *packet.Packet, want map[string]string, upper string) string {
	got := dissected(p.Bytes(), p.Link)
	if p.IsICMPError() { // the tables are another test's
		for _, name := range []string{"ICMP.TypeCode", "ICMP.Id", "ICMP.Seq"} {
			delete(got, name)
			delete(want, name)
		}
	}
	if !maps.Equal(got, want) {
		for name := range want {
			if got[name] != want[name] {
				return fmt.Sprintf("%s is %q, want %q", name, got[name], want[name])
			}
		}
		return fmt.Sprintf("fields are %v, want %v", got, want)
	}
	carried := ""
	for _, f := range packettest.Fields(p.Bytes(), p.Link) {
		switch f.Name {
		case "IPv6.FlowLabel", "quote.IPv6.FlowLabel", "IPv6Fragment.Reserved1", "IPv6Fragment.Reserved2":
			if f.Value != "0" {
				return f.Name + " is " + f.Value
			}
		case "IPv4.Protocol", "IPv6.NextHeader", "IPv6Fragment.NextHeader":
			carried = f.Value
		case "IPv4.Options", "quote.IPv4.Options":
			if f.Value != "[]" {
				return "options " + f.Value
			}
		}
	}
	if carried != upper {
		return fmt.Sprintf("it carries %s, want %s", carried, upper)
	}
	return ""
}

// judgeSums compares the checksums before and after; empty if each is as wrong
// as it was.
func judgeSums(s *packettest.Sample, p *packet.Packet) string {
	was := map[string]uint16{}
	for _, sum := range packettest.Checksums(s.Frame, s.Link) {
		was[strings.Replace(sum.Name, "ICMPv4", "ICMPv6", 1)] = sum.Error()
	}
	for _, sum := range packettest.Checksums(p.Bytes(), p.Link) {
		name := strings.Replace(sum.Name, "ICMPv4", "ICMPv6", 1)
		before, had := was[name]
		delete(was, name)
		switch {
		case strings.HasSuffix(name, "IPv4.Checksum"), !had && name == "UDP.Checksum":
			before = 0
		case !had:
			return fmt.Sprintf("%v was not there", sum)
		}
		if sum.Error() != before {
			return fmt.Sprintf("%v was wrong by %#x", sum, before)
		}
	}
	delete(was, "IPv4.Checksum")
	delete(was, "quote.IPv4.Checksum")
	if len(was) > 0 {
		return fmt.Sprintf("checksums are gone: %v", was)
	}
	return ""
}

// endsOf is where a packet shall come from and go to.
type endsOf struct {
	src, dst     netip.Addr
	sport, dport uint16
}

// put writes the ends to the fields that there are.
func (e endsOf) put(want change, prefix string) {
	ports := map[string]string{
		"TCP.SrcPort": layers.TCPPort(e.sport).String(), "TCP.DstPort": layers.TCPPort(e.dport).String(),
		"UDP.SrcPort": layers.UDPPort(e.sport).String(), "UDP.DstPort": layers.UDPPort(e.dport).String(),
		"IP.SrcIP": e.src.String(), "IP.DstIP": e.dst.String(), "ICMP.Id": fmt.Sprint(e.dport),
	}
	for name, value := range ports {
		if _, ok := want[prefix+name]; ok {
			want[prefix+name] = value
		}
	}
}

// translation is what is asked for, and what a frame's fields should then be.
type translation struct {
	fields change
	endsOf
}

// wanted chooses new ends for p, whose fields gopacket reads as had.
func wanted(rng *rand.Rand, p *packet.Packet, had change) translation {
	e := endsOf{randomAddr(rng, 10-p.Version), randomAddr(rng, 10-p.Version), uint16(rng.Uint32()), uint16(rng.Uint32())}
	want := maps.Clone(had)
	e.put(want, "")
	if p.IsICMPError() {
		endsOf{e.dst, e.src, e.dport, e.sport}.put(want, "quote.")
	}
	return translation{want, e}
}
