package packettest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"weir/netstack/packet"
)

func build(t *testing.T, text string) []byte {
	t.Helper()
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(p.Bytes())
}

func TestDiff(t *testing.T) {
	const before = "tcp 10.1.0.9:4000 > 192.0.2.10:80 S"
	tests := []struct {
		name, after string
		want        []string // the changed fields, checksums left out
	}{
		{"nothing", before, nil},
		{"a port and an address", "tcp 10.1.0.9:4000 > 10.2.0.2:8080 S", []string{"IPv4.DstIP", "TCP.DstPort"}},
		{"the TTL", before + " ttl 63", []string{"IPv4.TTL"}},
		{"flags", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A", []string{"TCP.SYN", "TCP.ACK"}},
		{"the payload", before + " len 3", []string{"IPv4.Length", "payload"}},
		{"the protocol", "udp 10.1.0.9:4000 > 192.0.2.10:80", []string{"IPv4.Length", "IPv4.Protocol", "UDP.SrcPort", "UDP.Length"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range Diff(build(t, before), build(t, tt.after), packet.LinkRaw) {
				if !strings.HasSuffix(c.Name, ".Checksum") {
					got = append(got, c.Name)
				}
			}
			for _, name := range tt.want {
				if !slices.Contains(got, name) {
					t.Errorf("%s is not among %v", name, got)
				}
			}
			if tt.name != "the protocol" && len(got) != len(tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// A flip of any bit of any sample is a difference in some field.
func TestDiffMissesNothing(t *testing.T) {
	for seed := range 3000 {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		s := Random(rng)
		bit := rng.IntN(8 * len(s.Frame))
		flipped := bytes.Clone(s.Frame)
		flipped[bit/8] ^= 1 << (bit % 8)
		if len(Diff(s.Frame, flipped, s.Link)) == 0 {
			t.Errorf("seed %d (%s): bit %d of %x is in no field", seed, s.What, bit, s.Frame)
		}
	}
}

func TestChecksums(t *testing.T) {
	const quote = "(tcp 10.1.0.9:4000 > 192.0.2.10:80 S)"
	tests := []struct {
		text  string
		names string
		wrong string
	}{
		{"udp 10.1.0.9:1 > 10.1.0.1:2", "IPv4.Checksum UDP.Checksum", ""},
		{"udp 10.1.0.9:1 > 10.1.0.1:2 nosum", "IPv4.Checksum", ""},
		{"tcp [2001:db8::1]:1 > [2001:db8::2]:2 badsum", "TCP.Checksum", "TCP.Checksum"},
		{"udp 10.1.0.9:1 > 10.1.0.1:2 frag 0+ len 64", "IPv4.Checksum", ""},
		{"icmp 10.9.0.1 > 10.1.0.9 unreachable port " + quote, "IPv4.Checksum ICMPv4.Checksum quote.IPv4.Checksum quote.TCP.Checksum", ""},
		{"icmp 10.9.0.1 > 10.1.0.9 unreachable port badsum cut 30 " + quote, "IPv4.Checksum ICMPv4.Checksum quote.IPv4.Checksum", "ICMPv4.Checksum"},
	}
	for _, tt := range tests {
		var names, wrong []string
		for _, sum := range Checksums(build(t, tt.text), packet.LinkRaw) {
			names = append(names, sum.Name)
			if sum.Error() != 0 {
				wrong = append(wrong, sum.Name)
			}
		}
		if strings.Join(names, " ") != tt.names || strings.Join(wrong, " ") != tt.wrong {
			t.Errorf("%s has %v, wrong are %v", tt.text, names, wrong)
		}
	}
}

// One state of the generator is one sample, and all kinds come.
func TestRandom(t *testing.T) {
	seen := map[string]bool{}
	for seed := range 2000 {
		s := Random(rand.New(rand.NewPCG(uint64(seed), 8)))
		again := Random(rand.New(rand.NewPCG(uint64(seed), 8)))
		if !bytes.Equal(s.Frame, again.Frame) {
			t.Fatalf("seed %d makes two frames", seed)
		}
		for _, word := range strings.Split(s.What, ", ") {
			seen[word] = true
		}
	}
	for _, word := range []string{
		"TCP", "UDP", "ICMP query", "ICMP error", "GRE", "cut quote", "first fragment", "last fragment", "atomic fragment",
		"IPv4 options", "destination options", "hop-by-hop", "authentication header", "wrong checksum", "no checksum",
		"bytes behind the datagram", "raw", "tagged", "padded",
	} {
		if !seen[word] {
			t.Errorf("no sample with %q", word)
		}
	}
}
