package packet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

func TestParseOffload(t *testing.T) {
	const super = "tcp 10.1.0.9:4000 > 192.0.2.10:80 A gso 1448 len 5000"
	tests := []struct {
		name string
		text string
		edit func(p *packet.Packet)
		want packet.Reason
	}{
		{"a super-packet as the kernel makes it", super, func(p *packet.Packet) {}, packet.OK},
		{"checksumming that begins elsewhere than at L4", super, func(p *packet.Packet) { p.Offload.CsumStart += 2 }, packet.BadOffload},
		{"checksumming that begins too early but ends in the right field", super, func(p *packet.Packet) {
			p.Offload.CsumStart -= 2
			p.Offload.CsumOffset += 2
		}, packet.BadOffload},
		{"a checksum that goes elsewhere", super, func(p *packet.Packet) { p.Offload.CsumOffset = 6 }, packet.BadOffload},
		{"a super-packet whose checksum is said to be done", super, func(p *packet.Packet) { p.Offload.NeedsCsum = false }, packet.BadOffload},
		{"segments of no bytes", super, func(p *packet.Packet) { p.Offload.GSOSize = 0 }, packet.BadOffload},
		{"a UDP super-packet that holds TCP", super, func(p *packet.Packet) { p.Offload.GSO = packet.GSOUDP }, packet.BadOffload},
		{"a TCP super-packet of the other IP version", super, func(p *packet.Packet) { p.Offload.GSO = packet.GSOTCP6 }, packet.BadOffload},
		{"a kind of super-packet that nobody knows", super, func(p *packet.Packet) { p.Offload.GSO = 9 }, packet.BadOffload},
		{"an IPv4 super-packet that does not say its length", super, func(p *packet.Packet) {
			copy(p.Store[p.L3+2:], []byte{0, 0})
			fixIPv4(p.Bytes())
		}, packet.OK},
		{"an IPv6 super-packet that does not say its length", "tcp [2001:db8::1]:1 > [2001:db8::2]:2 A gso 1448 len 5000",
			func(p *packet.Packet) { copy(p.Store[p.L3+4:], []byte{0, 0}) }, packet.OK},
		{"a UDP super-packet with the length of one datagram", "udp 10.1.0.9:1 > 10.1.0.1:2 gso 1000 len 5000",
			func(p *packet.Packet) { binary.BigEndian.PutUint16(p.Store[p.L4+4:], 1008) }, packet.OK},
		{"a UDP super-packet with length 0", "udp [2001:db8::1]:1 > [2001:db8::2]:2 gso 1000 len 5000",
			func(p *packet.Packet) { binary.BigEndian.PutUint16(p.Store[p.L4+4:], 0) }, packet.OK},
		{"a partial checksum in a first fragment", "udp 10.1.0.9:1 > 10.1.0.1:2 partial len 64", func(p *packet.Packet) {
			p.Store[p.L3+6] = 0x20
			fixIPv4(p.Bytes())
		}, packet.BadOffload},
		{"a partial checksum in a later fragment", "udp 10.1.0.9:1 > 10.1.0.1:2 partial len 64", func(p *packet.Packet) {
			p.Store[p.L3+7] = 9
			fixIPv4(p.Bytes())
		}, packet.BadOffload},
		{"a partial checksum in a protocol without one", "ip 10.1.0.9 > 10.1.0.1 proto 47 len 20",
			func(p *packet.Packet) { p.Offload = packet.Offload{NeedsCsum: true, CsumStart: uint16(p.L4)} }, packet.BadOffload},
		{"a checksum that the device has verified", "udp 10.1.0.9:1 > 10.1.0.1:2",
			func(p *packet.Packet) { p.Offload.DataValid = true }, packet.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			if err := packet.Build(&p, tt.text); err != nil {
				t.Fatal(err)
			}
			tt.edit(&p)
			if got := p.Parse(packet.LinkRaw); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// makePartial turns the right checksum of a parsed packet into the bare sum of
// its pseudo-header, as a sender with offload leaves it.
func makePartial(p *packet.Packet) {
	at := map[uint8]int{packet.TCP: 16, packet.UDP: 6, packet.ICMPv6: 2}[p.Proto]
	addrs := p.Store[p.L3+12 : p.L3+20]
	if p.Version == 6 {
		addrs = p.Store[p.L3+8 : p.L3+40]
	}
	sum := uint32(p.Proto) + uint32(p.L3End-p.L4)
	for i := 0; i < len(addrs); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(addrs[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(p.Store[p.L4+at:], uint16(sum))
	p.Offload = packet.Offload{NeedsCsum: true, CsumStart: uint16(p.L4), CsumOffset: uint16(at)}
}

// A packet whose checksum was left to the wire has the right one after it was
// rewritten and completed, and is otherwise what the rewrite should make.
func TestPartialChecksumsAgainstGopacket(t *testing.T) {
	done := 0
	for seed := 0; done < 2000; seed++ {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		s := packettest.Random(rng)
		p := parsed(t, s.Frame, s.Link)
		plain := s.L4 && !p.Frag && p.Proto != packet.ICMP
		for _, sum := range packettest.Checksums(s.Frame, s.Link) {
			plain = plain && sum.Error() == 0
		}
		if udp := p.Proto == packet.UDP; !plain || udp && int(binary.BigEndian.Uint16(p.Store[p.L4+4:])) != p.L3End-p.L4 {
			continue
		}
		done++
		makePartial(p)
		if r := p.Parse(s.Link); r != packet.OK {
			t.Fatalf("seed %d (%s): %s", seed, s.What, r)
		}
		want := change{}
		rewriteEnd(rng, "Src", p, want)
		rewriteEnd(rng, "Dst", p, want)
		p.Complete()
		if p.Offload != (packet.Offload{}) {
			t.Fatalf("seed %d: completed, but %+v is left to do", seed, p.Offload)
		}
		if fault := judge(&s, completed(s), p.Bytes(), want); fault != "" {
			t.Fatalf("seed %d (%s): %s", seed, s.What, fault)
		}
	}
}

// completed is the sample's frame with a UDP checksum where it had none: the
// packet with the partial checksum asked for one.
func completed(s packettest.Sample) []byte {
	var p packet.Packet
	s.Load(&p)
	p.Parse(s.Link)
	makePartial(&p)
	p.Parse(s.Link)
	p.Complete()
	return p.Bytes()
}

// A partial checksum that was wrong makes a checksum that is wrong by as much,
// whatever was rewritten between.
func TestPartialChecksumStaysWrong(t *testing.T) {
	var p packet.Packet
	if err := packet.Build(&p, "tcp 10.1.0.9:4000 > 192.0.2.10:80 A partial badsum len 11"); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	rewriteEnd(rng, "Dst", &p, change{})
	p.Complete()
	sums := packettest.Checksums(p.Bytes(), packet.LinkRaw)
	// badsum adds one to the partial sum, which takes one from the checksum.
	if e := sums[1].Error(); sums[1].Name != "TCP.Checksum" || e != 0xfffe {
		t.Errorf("%v is wrong by %#x, want -1", sums[1], e)
	}
}

func TestSegment(t *testing.T) {
	tests := []struct {
		name     string
		text     string
		segments int
	}{
		{"TCP over IPv4 with a short last segment", "tcp 10.1.0.9:4000 > 192.0.2.10:80 FPAC seq 4294966000 id 65534 gso 1000 len 3500", 4},
		{"TCP over IPv4 that divides evenly", "tcp 10.1.0.9:4000 > 192.0.2.10:80 PA gso 1000 len 3000", 3},
		{"TCP over IPv4 that is one segment", "tcp 10.1.0.9:4000 > 192.0.2.10:80 FPAC gso 1000 len 400", 1},
		{"TCP without any payload", "tcp 10.1.0.9:4000 > 192.0.2.10:80 FA gso 1000", 1},
		{"TCP over IPv6 behind an Ethernet header", "tcp [2001:db8::1]:4000 > [2001:db8::2]:80 FPAC gso 1001 len 3500" + mac, 4},
		{"UDP over IPv4 in odd pieces", "udp 10.1.0.9:4000 > 192.0.2.10:80 gso 333 len 1000", 4},
		{"UDP over IPv6 behind tags", "udp [2001:db8::1]:4000 > [2001:db8::2]:80 gso 500 len 1400" + mac + " vlan 5 vlan 6", 3},
		{"with IPv4 options", "tcp 10.1.0.9:4000 > 192.0.2.10:80 PA options 94040000 gso 100 len 250", 3},
		{"a packet that is none, with a partial checksum", "tcp 10.1.0.9:4000 > 192.0.2.10:80 PA partial len 250", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p, scratch packet.Packet
			if err := packet.Build(&p, tt.text); err != nil {
				t.Fatal(err)
			}
			whole := packet.Packet{}
			whole.Load(p.Bytes())
			whole.Parse(p.Link)
			var payload []byte
			n := 0
			packet.Segment(&p, &scratch, func(s *packet.Packet) {
				frame := bytes.Clone(s.Bytes())
				for _, sum := range packettest.Checksums(frame, p.Link) {
					if sum.Error() != 0 {
						t.Errorf("segment %d: %s is %#x, want %#x", n, sum.Name, sum.Have, sum.Want)
					}
				}
				if again := parsed(t, frame, p.Link); again.String() != s.String() {
					t.Errorf("segment %d is %q, but says %q", n, again, s)
				}
				judgeSegment(t, n, n == tt.segments-1, len(payload), &whole, frame)
				payload = append(payload, s.PayloadBytes()...)
				n++
			})
			if n != tt.segments {
				t.Errorf("%d segments, want %d", n, tt.segments)
			}
			if !bytes.Equal(payload, whole.PayloadBytes()) {
				t.Error("the segments do not carry what the whole carried")
			}
		})
	}
}

// A UDP super-packet whose length field, and pseudo-header, speak of one
// datagram becomes right datagrams, and a right packet if it is completed whole.
func TestSegmentOddUDPLength(t *testing.T) {
	for _, length := range []uint16{1008, 0} {
		var p, whole, scratch packet.Packet
		if err := packet.Build(&p, "udp 10.1.0.9:1 > 10.1.0.1:2 gso 1000 len 2500"); err != nil {
			t.Fatal(err)
		}
		field, sum := p.Store[p.L4+4:p.L4+6], p.Store[p.L4+6:p.L4+8]
		lie := uint32(binary.BigEndian.Uint16(sum)) + uint32(^binary.BigEndian.Uint16(field)) + uint32(length)
		binary.BigEndian.PutUint16(sum, uint16(lie+lie>>16))
		binary.BigEndian.PutUint16(field, length)
		whole = p
		whole.Store = bytes.Clone(p.Store)
		whole.Complete()
		frames := [][]byte{whole.Bytes()}
		packet.Segment(&p, &scratch, func(s *packet.Packet) { frames = append(frames, bytes.Clone(s.Bytes())) })
		for i, frame := range frames {
			for _, sum := range packettest.Checksums(frame, packet.LinkRaw) {
				if sum.Error() != 0 {
					t.Errorf("length %d, frame %d: %v", length, i, sum)
				}
			}
			if d := parsed(t, frame, packet.LinkRaw); int(binary.BigEndian.Uint16(d.Store[d.L4+4:])) != d.IPLen()-20 {
				t.Errorf("length %d, frame %d: %s", length, i, d)
			}
		}
		if len(frames) != 4 {
			t.Errorf("%d frames", len(frames))
		}
	}
}

// judgeSegment asks gopacket whether frame is segment n of the packet whole,
// when carried bytes went before it.
func judgeSegment(t *testing.T, n int, last bool, carried int, whole *packet.Packet, frame []byte) {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeEthernet)
	if whole.Link == packet.LinkRaw {
		first = map[uint8]gopacket.Decoder{4: layers.LayerTypeIPv4, 6: layers.LayerTypeIPv6}[whole.Version]
	}
	got := gopacket.NewPacket(frame, first, gopacket.Default)
	if ip, ok := got.NetworkLayer().(*layers.IPv4); ok {
		if want := whole.IPID() + uint16(n); ip.Id != want || int(ip.Length) != len(ip.Contents)+len(ip.Payload) {
			t.Errorf("segment %d: id %d, length %d; want id %d", n, ip.Id, ip.Length, want)
		}
	}
	switch l4 := got.TransportLayer().(type) {
	case *layers.UDP:
		if int(l4.Length) != 8+len(l4.Payload) {
			t.Errorf("segment %d: UDP length %d for %d bytes", n, l4.Length, len(l4.Payload))
		}
	case *layers.TCP:
		want := fmt.Sprint(whole.Flags&packet.FIN != 0 && last, whole.Flags&packet.PSH != 0 && last,
			whole.Flags&packet.CWR != 0 && n == 0, true)
		if flags := fmt.Sprint(l4.FIN, l4.PSH, l4.CWR, l4.ACK); flags != want {
			t.Errorf("segment %d: FIN, PSH, CWR, ACK are %s, want %s", n, flags, want)
		}
		if want := whole.Seq() + uint32(carried); l4.Seq != want {
			t.Errorf("segment %d: seq %d, want %d", n, l4.Seq, want)
		}
	}
}
