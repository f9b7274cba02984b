package packet_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/ip4defrag"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// fragmentsOf is what Fragment makes of p, and why it would not.
func fragmentsOf(p *packet.Packet, mtu int) (frames [][]byte, r packet.Reason) {
	var scratch packet.Packet
	r = packet.Fragment(p, &scratch, mtu, func(f *packet.Packet) {
		frames = append(frames, bytes.Clone(f.Bytes()))
	})
	return frames, r
}

// reassemble4 lets gopacket put raw IPv4 fragments together.
func reassemble4(t *testing.T, frames [][]byte) []byte {
	t.Helper()
	defrag := ip4defrag.NewIPv4Defragmenter()
	for _, b := range frames {
		ip := gopacket.NewPacket(bytes.Clone(b), layers.LayerTypeIPv4, gopacket.Default).NetworkLayer().(*layers.IPv4)
		whole, err := defrag.DefragIPv4(ip)
		if err != nil {
			t.Fatal(err)
		}
		if whole != nil {
			buf := gopacket.NewSerializeBuffer()
			opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
			if err := gopacket.SerializeLayers(buf, opts, whole, gopacket.Payload(whole.Payload)); err != nil {
				t.Fatal(err)
			}
			return buf.Bytes()
		}
	}
	t.Fatal("gopacket finds a piece missing")
	return nil
}

// Fragments that were rewritten one by one, in any order, are together the
// datagram that was rewritten: the first one carries the L4 checksum.
func TestRewrittenFragmentsReassemble(t *testing.T) {
	for _, text := range []string{
		"udp 10.1.0.9:4000 > 192.0.2.10:53 id 7 len 3000",
		"tcp 10.1.0.9:4000 > 192.0.2.10:80 PA id 7 len 3000",
		"tcp 10.1.0.9:4000 > 192.0.2.10:80 PA id 7 partial len 3000",
		"icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 9 ipid 7 len 3000",
	} {
		var p packet.Packet
		if err := packet.Build(&p, text); err != nil {
			t.Fatal(err)
		}
		payload := bytes.Clone(p.PayloadBytes())
		to := packet.Addr{10: 0xff, 11: 0xff, 12: 10, 13: 2, 15: 2}
		from := p.DstAddr()
		d := packet.DeltaOf(&from, &to, p.DstPort, 8080)
		frames, r := fragmentsOf(&p, 700)
		if r != packet.OK {
			t.Fatal(r)
		}
		for i, b := range frames {
			f := parsed(t, b, packet.LinkRaw)
			if f.HasL4 != (i == 0) || !f.Frag || int(f.FragLen) != f.IPLen()-20 {
				t.Fatalf("%s: fragment %d: L4 %v, %d of %d bytes", text, i, f.HasL4, f.FragLen, f.IPLen())
			}
			f.RewriteDst(&to, 8080, d)
			copy(b, f.Bytes())
		}
		whole := parsed(t, reassemble4(t, frames), packet.LinkRaw)
		if whole.Dst() != to.Netip() || whole.DstPort != 8080 || !bytes.Equal(whole.PayloadBytes(), payload) {
			t.Errorf("%s: became %s", text, whole)
		}
		for _, sum := range packettest.Checksums(whole.Bytes(), packet.LinkRaw) {
			if sum.Error() != 0 {
				t.Errorf("%s: %s is %#x, want %#x", text, sum.Name, sum.Have, sum.Want)
			}
		}
	}
}

// The same for IPv6, whose fragments only hosts make.
func TestRewrittenIPv6FragmentsReassemble(t *testing.T) {
	whole := bytesOf(t, "udp [2001:db8::1]:4000 > [2001:db8::2]:53 len 120")
	to := packet.AddrFrom(randomAddr(rand.New(rand.NewPCG(1, 1)), 6))
	var l4, dst []byte
	for _, part := range []struct{ from, to int }{{64, 128}, {0, 64}} {
		b := append(bytes.Clone(whole[:40]), packet.UDP, 0, 0, byte(part.from), 0, 0, 0, 7)
		if part.to < 128 {
			b[43] |= 1
		}
		b[6] = packet.FRAGMENT
		b = append(b, whole[40+part.from:40+part.to]...)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		p := parsed(t, b, packet.LinkRaw)
		from := p.DstAddr()
		p.RewriteDst(&to, 8080, packet.DeltaOf(&from, &to, 53, 8080))
		dst = p.Bytes()[24:40]
		l4 = append(bytes.Clone(p.Bytes()[48:]), l4...)
	}
	copy(whole[24:40], dst)
	copy(whole[40:], l4)
	p := parsed(t, whole, packet.LinkRaw)
	sums := packettest.Checksums(whole, packet.LinkRaw)
	if len(sums) != 1 || sums[0].Error() != 0 || p.DstPort != 8080 {
		t.Errorf("%s: %v", p, sums)
	}
}

func TestFragmentHeaders(t *testing.T) {
	// Record route (07) stays with the first fragment, router alert (94) has its
	// copy bit set and goes with all.
	p := new(packet.Packet)
	if err := packet.Build(p, "udp 10.1.0.9:4000 > 192.0.2.10:53 tos 0x10 id 7 options 07070401020304019404000000000000 len 100"+mac+" vlan 9"); err != nil {
		t.Fatal(err)
	}
	frames, r := fragmentsOf(p, 36+8+48)
	if r != packet.OK {
		t.Fatal(r)
	}
	want := []string{
		"udp 10.1.0.9:4000 > 192.0.2.10:53 tos 0x10 id 7 frag 0+ options 07070401020304019404000000000000 len 48" + mac + " vlan 9",
		"udp 10.1.0.9 > 192.0.2.10 tos 0x10 id 7 frag 56 options 94040000 len 52" + mac + " vlan 9",
	}
	if len(frames) != len(want) {
		t.Fatalf("%d fragments, want %d", len(frames), len(want))
	}
	for i, b := range frames {
		if got := parsed(t, b, packet.LinkEthernet).String(); got != want[i] {
			t.Errorf("fragment %d\n got %s\nwant %s", i, got, want[i])
		}
	}
}

func TestFragment(t *testing.T) {
	tests := []struct {
		name string
		text string
		mtu  int
		want packet.Reason
		len  []int // of the IP packets that come out
	}{
		{"a packet that fits comes out as it is", "udp 10.1.0.9:1 > 10.1.0.1:2 len 72", 100, packet.OK, []int{100}},
		{"even with DF", "udp 10.1.0.9:1 > 10.1.0.1:2 df len 72", 100, packet.OK, []int{100}},
		{"a byte more makes two", "udp 10.1.0.9:1 > 10.1.0.1:2 len 73", 100, packet.OK, []int{100, 21}},
		{"pieces are multiples of 8 though the MTU is not", "udp 10.1.0.9:1 > 10.1.0.1:2 len 192", 99, packet.OK, []int{92, 92, 76}},
		{"DF forbids it", "udp 10.1.0.9:1 > 10.1.0.1:2 df len 73", 100, packet.TooBig, nil},
		{"IPv6 forbids it", "udp [2001:db8::1]:1 > [2001:db8::2]:2 len 1300", 1280, packet.TooBig, nil},
		{"a super-packet is to be segmented instead", "udp 10.1.0.9:1 > 10.1.0.1:2 gso 50 len 73", 90, packet.TooBig, nil},
		{"an MTU without room for 8 bytes", "udp 10.1.0.9:1 > 10.1.0.1:2 len 73", 27, packet.TooBig, nil},
		{"a fragment is fragmented on", "udp 10.1.0.9 > 10.1.0.1 frag 800+ id 5 len 160", 100, packet.OK, []int{100, 100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			if err := packet.Build(&p, tt.text); err != nil {
				t.Fatal(err)
			}
			more := p.MoreFrags
			frames, r := fragmentsOf(&p, tt.mtu)
			if r != tt.want || len(frames) != len(tt.len) {
				t.Fatalf("%s and %d packets, want %s and %d", r, len(frames), tt.want, len(tt.len))
			}
			for i, b := range frames {
				f := parsed(t, b, packet.LinkRaw)
				if f.IPLen() != tt.len[i] {
					t.Errorf("piece %d has %d bytes, want %d", i, f.IPLen(), tt.len[i])
				}
				if last := i == len(frames)-1; f.MoreFrags != (!last || more) {
					t.Errorf("piece %d: more fragments is %v", i, f.MoreFrags)
				}
				if sums := packettest.Checksums(b, packet.LinkRaw); sums[0].Error() != 0 {
					t.Errorf("piece %d: %v in %s", i, sums[0], hex.EncodeToString(b))
				}
			}
		})
	}
}
