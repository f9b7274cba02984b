package tunnel_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
	"weir/tunnel"
)

// The TCP options that tests put together.
var (
	nop       = []byte{1}
	end       = []byte{0, 0}
	sackOK    = []byte{4, 2}
	timestamp = []byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}
)

func mss(n int) []byte { return []byte{2, 4, byte(n >> 8), byte(n)} }

// syn is a whole TCP packet with flags and options over an IP version, by
// gopacket.
func syn(version, flags uint8, options []byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	segment := append([]byte{0x0f, 0xa0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, byte(20+len(options)) << 2, flags, 0xff, 0xff, 0, 0, 0, 0}, options...)
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
		SrcIP: []byte{198, 51, 100, 9}, DstIP: vip4.AsSlice()}
	if version == 6 {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: dip6.AsSlice(), DstIP: vip6.AsSlice()}
	}
	b := serialize(ip, append(segment, "data"...))
	for _, sum := range packettest.Checksums(b, packet.LinkRaw) {
		if sum.Name == "TCP.Checksum" {
			at := len(b) - len(segment) - 4 + 16
			b[at], b[at+1] = byte(sum.Want>>8), byte(sum.Want)
		}
	}
	return b
}

func TestClampMSS(t *testing.T) {
	const limit = 1400
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	tests := []struct {
		name    string
		flags   uint8
		options []byte
		want    []byte // nil: unchanged
	}{
		{"a SYN that offers more gets less", packet.SYN, mss(1460), mss(limit)},
		{"a SYN-ACK that offers more gets less", packet.SYN | packet.ACK, mss(1460), mss(limit)},
		{"a SYN of somebody with ECN", packet.SYN | packet.ECE | packet.CWR, mss(65535), mss(limit)},
		{"a SYN that offers as much keeps it", packet.SYN, mss(limit), nil},
		{"a SYN that offers less keeps it", packet.SYN, mss(536), nil},
		{"the option behind others", packet.SYN, join(sackOK, timestamp, mss(1460)), join(sackOK, timestamp, mss(limit))},
		{"the option at an odd place", packet.SYN, join(nop, mss(1460)), join(nop, mss(limit))},
		{"the option at an odd place behind others", packet.SYN, join(timestamp, nop, mss(1460), sackOK), join(timestamp, nop, mss(limit), sackOK)},
		{"an option twice is lowered twice", packet.SYN, join(mss(1460), nop, mss(9000)), join(mss(limit), nop, mss(limit))},
		{"an option that fills the header to its end", packet.SYN, join(nop, nop, nop, nop, mss(1460)), join(nop, nop, nop, nop, mss(limit))},
		{"what begins only behind the end of options", packet.SYN, join(end, mss(1460)), nil},
		{"a packet in the middle of a connection", packet.ACK | packet.PSH, mss(1460), nil},
		{"a SYN without options", packet.SYN, nil, nil},
		{"an option of another length is not it", packet.SYN, []byte{2, 6, 0xff, 0xff, 0xff, 0xff}, nil},
		{"an option of no length", packet.SYN, join([]byte{8, 0}, mss(1460)), nil},
		{"an option of length 1", packet.SYN, join([]byte{8, 1}, mss(1460)), nil},
		{"an option that runs past the header", packet.SYN, join(sackOK, []byte{8, 10}), nil},
		{"the option itself runs past the header", packet.SYN, join(nop, nop, []byte{2, 4}), nil},
		{"an option that has only its kind", packet.SYN, []byte{1, 1, 1, 2}, nil},
		{"one before broken ones is lowered", packet.SYN, join(mss(1460), []byte{8, 0}), join(mss(limit), []byte{8, 0})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, version := range []uint8{4, 6} {
				p := raw(t, syn(version, tt.flags, tt.options))
				want := syn(version, tt.flags, tt.options)
				if tt.want != nil {
					want = syn(version, tt.flags, tt.want)
				}
				if lowered := tunnel.ClampMSS(p, limit); lowered != (tt.want != nil) {
					t.Errorf("IPv%d: lowered: %v", version, lowered)
				}
				if !bytes.Equal(p.Bytes(), want) {
					t.Errorf("IPv%d: %v", version, packettest.Diff(want, p.Bytes(), packet.LinkRaw))
				}
			}
		})
	}
}

// A wrong checksum stays as wrong, and a partial one has no share in options.
func TestClampMSSKeepsChecksums(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 0))
		options := append(make([]byte, 0, 8), bytes.Repeat(nop, rng.IntN(4))...)
		b := syn(4+2*uint8(rng.IntN(2)), packet.SYN, append(options, mss(1+rng.IntN(65535))...))
		p := raw(t, b)
		limit := uint16(rng.IntN(65536))
		p.Store[p.L4+16] ^= byte(rng.IntN(2) * rng.IntN(256))
		before := packettest.Checksums(p.Bytes(), packet.LinkRaw)
		lowered := tunnel.ClampMSS(p, limit)
		after := packettest.Checksums(p.Bytes(), packet.LinkRaw)
		if n := len(before) - 1; before[n].Error() != after[n].Error() {
			t.Fatalf("seed %d: wrong by %#x, was %#x", seed, after[n].Error(), before[n].Error())
		}
		if again := tunnel.ClampMSS(p, limit); again {
			t.Fatalf("seed %d: lowered %v, and again", seed, lowered)
		}
	}
	p := raw(t, syn(4, packet.SYN, mss(1460)))
	p.Offload = packet.Offload{NeedsCsum: true, CsumStart: uint16(p.L4), CsumOffset: 16}
	sum := bytes.Clone(p.Store[p.L4+16 : p.L4+18])
	if !tunnel.ClampMSS(p, 1400) || !bytes.Equal(p.Store[p.L4+16:p.L4+18], sum) {
		t.Error("a partial checksum has changed")
	}
}

// What is no TCP header, or none to be seen, is left alone.
func TestClampMSSElsewhere(t *testing.T) {
	for _, text := range []string{
		"udp 198.51.100.9:1 > 192.0.2.10:80 len 40",
		"icmp 198.51.100.9 > 192.0.2.10 echo len 40",
		"tcp 198.51.100.9 > 192.0.2.10 frag 1480 len 40",
		"icmp 10.9.0.1 > 198.51.100.9 frag-needed mtu 1400 cut 28 (tcp 198.51.100.9:4000 > 192.0.2.10:80 S)",
	} {
		p := build(t, text)
		before := bytes.Clone(p.Bytes())
		if tunnel.ClampMSS(p, 1) || !bytes.Equal(p.Bytes(), before) {
			t.Errorf("%s has changed", text)
		}
		var q packet.Packet
		if p.Quote(&q) == packet.OK && tunnel.ClampMSS(&q, 1) {
			t.Errorf("what %s quotes has changed", text)
		}
	}
}
