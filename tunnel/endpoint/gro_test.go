package endpoint

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/netstack/packet"
)

// built is a packet of the text form, with some content.
func built(t testing.TB, text string) *packet.Packet {
	t.Helper()
	p := &packet.Packet{Store: make([]byte, packet.Headroom+packet.MaxFrame)}
	if err := packet.Build(p, text); err != nil {
		t.Fatal(err)
	}
	return p
}

// roomy copies p, and gives it the room that packets of a batch have.
func roomy(p *packet.Packet) *packet.Packet {
	q := &packet.Packet{Store: make([]byte, packet.Headroom+packet.MaxFrame)}
	q.Load(p.Bytes())
	q.Parse(packet.LinkRaw)
	return q
}

// TestGRO says for consecutive packets how many the kernel is given of them.
func TestGRO(t *testing.T) {
	const flow = "tcp 198.51.100.9:4000 > 192.0.2.10:80 "
	const flow6 = "tcp [2001:db8:9::9]:4000 > [2001:db8:f::10]:80 "
	for _, row := range []struct {
		name  string
		first string
		then  string
		one   bool
	}{
		{"the next segment", flow + "A seq 1 len 100", flow + "A seq 101 len 100", true},
		{"the next segment of IPv6", flow6 + "A seq 1 len 100", flow6 + "A seq 101 len 100", true},
		{"the last segment, shorter and pushed", flow + "A seq 1 len 100", flow + "PA seq 101 len 7", true},
		{"over the end of the sequence numbers", flow + "A seq 4294967290 len 100", flow + "A seq 94 len 100", true},
		{"with another id", flow + "A seq 1 len 100 id 4", flow + "A seq 101 len 100 id 9", true},
		{"a gap", flow + "A seq 1 len 100", flow + "A seq 102 len 100", false},
		{"the same again", flow + "A seq 1 len 100", flow + "A seq 1 len 100", false},
		{"a longer one", flow + "A seq 1 len 100", flow + "A seq 101 len 101", false},
		{"after a push", flow + "PA seq 1 len 100", flow + "A seq 101 len 100", false},
		{"another source port", flow + "A seq 1 len 100", "tcp 198.51.100.9:4001 > 192.0.2.10:80 A seq 101 len 100", false},
		{"another source", flow + "A seq 1 len 100", "tcp 198.51.100.8:4000 > 192.0.2.10:80 A seq 101 len 100", false},
		{"another family", flow + "A seq 1 len 100", flow6 + "A seq 101 len 100", false},
		{"another acknowledgement", flow + "A seq 1 len 100 ack 5", flow + "A seq 101 len 100 ack 6", false},
		{"another window", flow + "A seq 1 len 100 win 5", flow + "A seq 101 len 100 win 6", false},
		{"another ToS", flow + "A seq 1 len 100", flow + "A seq 101 len 100 tos 0x3", false},
		{"another traffic class", flow6 + "A seq 1 len 100", flow6 + "A seq 101 len 100 tos 0x3", false},
		{"another TTL", flow + "A seq 1 len 100", flow + "A seq 101 len 100 ttl 5", false},
		{"another hop limit", flow6 + "A seq 1 len 100", flow6 + "A seq 101 len 100 ttl 5", false},
		{"with DF and without", flow + "A seq 1 len 100 df", flow + "A seq 101 len 100", false},
		{"nothing in the first", flow + "A seq 1", flow + "A seq 1 len 100", false},
		{"nothing in the second", flow + "A seq 1 len 100", flow + "A seq 101", false},
		{"the end of the stream", flow + "A seq 1 len 100", flow + "FA seq 101 len 100", false},
		{"its beginning", flow + "SA seq 1 len 100", flow + "A seq 102 len 100", false},
		{"a reset", flow + "A seq 1 len 100", flow + "RA seq 101 len 100", false},
		{"a congestion echo", flow + "A seq 1 len 100", flow + "AE seq 101 len 100", false},
		{"UDP", "udp 198.51.100.9:4000 > 192.0.2.10:80 len 100", "udp 198.51.100.9:4000 > 192.0.2.10:80 len 100", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			packets := []*packet.Packet{built(t, row.first), built(t, row.then)}
			var out [][]byte
			g := gro{deliver: func(p *packet.Packet) { out = append(out, segments(t, p)...); out = append(out, nil) }}
			var want [][]byte
			for _, p := range packets {
				want = append(want, bytes.Clone(p.Bytes()))
				g.add(p)
			}
			g.flush()
			one := len(out) == 3
			if one != row.one {
				t.Fatalf("one write: %t, want %t", one, row.one)
			}
			var got [][]byte
			for _, b := range out {
				if b != nil {
					got = append(got, b)
				}
			}
			if len(got) != 2 || !same(got[0], want[0]) || !same(got[1], want[1]) {
				t.Errorf("got\n%x\nwant\n%x", got, want)
			}
		})
	}
}

// segments cuts p as a wire would: what was put together must come apart again.
func segments(t *testing.T, p *packet.Packet) (list [][]byte) {
	t.Helper()
	whole := roomy(p)
	whole.Offload = p.Offload
	if r := whole.Parse(packet.LinkRaw); r != packet.OK {
		t.Fatalf("%s is refused: %s", p, r)
	}
	packet.Segment(whole, new(packet.Packet), func(s *packet.Packet) { list = append(list, bytes.Clone(s.Bytes())) })
	return list
}

// same compares two packets but for the IPv4 id, which nobody looks at.
func same(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	if a[0]>>4 == 4 {
		a, b = bytes.Clone(a), bytes.Clone(b)
		copy(a[4:6], b[4:6])
		copy(a[10:12], b[10:12])
	}
	return bytes.Equal(a, b)
}

// TestGROKeepsWrongChecksumsWrong turns one bit of a segment over. Nothing may
// vouch for it then.
func TestGROKeepsWrongChecksumsWrong(t *testing.T) {
	for bad := range 3 {
		var want [][]byte
		var out [][]byte
		g := gro{deliver: func(p *packet.Packet) {
			if p.Offload.NeedsCsum {
				for _, s := range segments(t, p) {
					if s[len(s)-1] == 0xee {
						t.Error("the wrong segment's checksum was made right")
					}
				}
				return
			}
			out = append(out, bytes.Clone(p.Bytes()))
		}}
		for i := range 3 {
			p := built(t, fmt.Sprintf("tcp 198.51.100.9:4000 > 192.0.2.10:80 A seq %d len 100", 1+100*i))
			if i == bad {
				p.Store[p.End-1] = 0xee
				want = append(want, bytes.Clone(p.Bytes()))
			}
			g.add(p)
		}
		g.flush()
		found := false
		for _, b := range out {
			found = found || bytes.Equal(b, want[0])
		}
		if !found {
			t.Errorf("bad segment %d was not delivered as it came", bad)
		}
	}
}

// TestGROLargest fills a super-packet to what IP can say, and no further.
func TestGROLargest(t *testing.T) {
	bytesOut, writes := 0, 0
	g := gro{deliver: func(p *packet.Packet) {
		if p.IPLen() > 0xffff || p.Parse(packet.LinkRaw) != packet.OK {
			t.Errorf("%d bytes: %s", p.IPLen(), p)
		}
		bytesOut += p.L3End - p.Payload
		writes++
	}}
	const n, size = 100, 1400
	for i := range n {
		g.add(built(t, fmt.Sprintf("tcp 198.51.100.9:4000 > 192.0.2.10:80 A seq %d len %d", 1+size*i, size)))
	}
	g.flush()
	if bytesOut != n*size || writes != 3 {
		t.Errorf("%d bytes in %d writes", bytesOut, writes)
	}
}

// TestUnfinished holds that what hardware was to complete is seen, and nothing
// else.
func TestUnfinished(t *testing.T) {
	for _, text := range []string{
		"tcp 198.51.100.9:4000 > 192.0.2.10:80 PA len 100",
		"tcp [2001:db8:9::9]:4000 > [2001:db8:f::10]:80 PA len 100",
		"udp 198.51.100.9:4000 > 192.0.2.10:80 len 100",
		"udp [2001:db8:9::9]:4000 > [2001:db8:f::10]:80 len 101",
		"tcp 198.51.100.9:4000 > 192.0.2.10:80 A len 9000",
		"tcp [2001:db8:9::9]:4000 > [2001:db8:f::10]:80 A len 9000",
	} {
		p := built(t, text)
		if unfinished(p, 1500) {
			t.Errorf("%s: a complete checksum is taken for a partial one", text)
		}
		whole := bytes.Clone(p.Bytes())
		q := roomy(built(t, text+" partial"))
		if !unfinished(q, 1500) {
			t.Errorf("%s: a partial checksum is not seen", text)
			continue
		}
		if r := q.Parse(packet.LinkRaw); r != packet.OK {
			t.Errorf("%s: the offload is refused: %s", text, r)
		}
		if super := strings.Contains(text, "9000"); super != (q.Offload.GSO != packet.GSONone) {
			t.Errorf("%s: offload %+v", text, q.Offload)
		} else if super {
			if n := len(segments(t, q)); n != 7 {
				t.Errorf("%s: %d segments", text, n)
			}
			continue
		}
		if got := segments(t, q); len(got) != 1 || !bytes.Equal(got[0], whole) {
			t.Errorf("%s: completed it is\n%x, want\n%x", text, got, whole)
		}
	}
	for _, text := range []string{"icmp 198.51.100.9 > 192.0.2.10 echo id 7 seq 1", "udp 198.51.100.9:4000 > 192.0.2.10:80 len 1000 frag 0+"} {
		if p := built(t, text); unfinished(p, 1500) {
			t.Errorf("%s: there is nothing to look at", text)
		}
	}
}

// FuzzGRO cuts a stream anywhere, damages some segments, and holds that what is
// delivered is the stream without those or with their damage, never mended.
func FuzzGRO(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Add(uint64(7), uint64(9))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		rng := rand.New(rand.NewPCG(a, b))
		var want, got [][]byte
		g := gro{deliver: func(p *packet.Packet) { got = append(got, segments(t, p)...) }}
		seq := uint32(rng.Uint64())
		size := 1 + rng.IntN(1400)
		for range 1 + rng.IntN(fuzzed) {
			if rng.IntN(8) == 0 {
				size = 1 + rng.IntN(1400)
			}
			flags := []string{"A", "A", "A", "PA", "FA", "SA"}[rng.IntN(6)]
			p := built(t, fmt.Sprintf("tcp 198.51.100.9:4000 > 192.0.2.10:80 %s seq %d len %d", flags, seq, size))
			if seq += uint32(size); rng.IntN(10) == 0 {
				p.Store[p.Payload+rng.IntN(size)] ^= 1 << rng.IntN(8)
			}
			want = append(want, bytes.Clone(p.Bytes()))
			g.add(p)
		}
		g.flush()
		if len(got) != len(want) {
			t.Fatalf("%d segments became %d", len(want), len(got))
		}
		for i := range want {
			if !same(want[i], got[i]) {
				t.Fatalf("segment %d is\n%x, was\n%x", i, got[i], want[i])
			}
		}
	})
}

// fuzzed is how many packets a fuzzed stream has at most.
const fuzzed = 64
