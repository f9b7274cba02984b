package packet_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// A UDP checksum that comes out as 0 is written as ffff: 0 would say that there
// is none (RFC 768). Of all ports one makes it so.
func TestUDPChecksumIsNeverZero(t *testing.T) {
	for _, text := range []string{udp4, udp6} {
		p := parsed(t, bytesOf(t, text), packet.LinkRaw)
		a := p.DstAddr()
		ones := 0
		for port := range 1 << 16 {
			p.RewriteDst(&a, uint16(port), packet.DeltaOf(&a, &a, p.DstPort, uint16(port)))
			switch binary.BigEndian.Uint16(p.Store[p.L4+6:]) {
			case 0:
				t.Fatalf("%s: checksum 0 for port %d", text, port)
			case 0xffff:
				ones++
				if sums := packettest.Checksums(p.Bytes(), packet.LinkRaw); sums[len(sums)-1].Error() != 0 {
					t.Errorf("%s: %v", text, sums)
				}
			}
		}
		if ones != 1 {
			t.Errorf("%s: %d ports make the checksum ffff, want 1", text, ones)
		}
	}
}

// While a routing header has segments left, the header's destination is not the
// one that the checksum is made for: L4 stays as it is.
func TestWaypointKeepsItsL4(t *testing.T) {
	for _, segments := range []byte{0, 1} {
		p := parsed(t, edits(chainOf(packet.ROUTING), setBytes(43, segments))(bytesOf(t, udp6)), packet.LinkRaw)
		if p.HasL4 != (segments == 0) || p.Proto != packet.UDP {
			t.Fatalf("%d segments left: %s", segments, p)
		}
		before := bytes.Clone(p.Store[p.L4:p.L3End])
		from, to := p.DstAddr(), packet.AddrFrom(addr("2001:db8::77"))
		p.RewriteDst(&to, 99, packet.DeltaOf(&from, &to, p.DstPort, 99))
		if p.Dst() != to.Netip() {
			t.Errorf("%d segments left: the destination is %s", segments, p.Dst())
		}
		if same := bytes.Equal(before, p.Store[p.L4:p.L3End]); same != (segments == 1) {
			t.Errorf("%d segments left: L4 kept: %v", segments, same)
		}
	}
}

func TestDecTTL(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"IPv4", "udp 10.1.0.9:1 > 10.1.0.1:2 ttl 65", "udp 10.1.0.9:1 > 10.1.0.1:2"},
		{"IPv6", "udp [2001:db8::1]:1 > [2001:db8::2]:2 ttl 65", "udp [2001:db8::1]:1 > [2001:db8::2]:2"},
		{"0 stays 0", "udp 10.1.0.9:1 > 10.1.0.1:2 ttl 0", "udp 10.1.0.9:1 > 10.1.0.1:2 ttl 0"},
		{"so does IPv6's", "udp [2001:db8::1]:1 > [2001:db8::2]:2 ttl 0", "udp [2001:db8::1]:1 > [2001:db8::2]:2 ttl 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, bytesOf(t, tt.before), packet.LinkRaw)
			p.DecTTL()
			if got := parsed(t, p.Bytes(), packet.LinkRaw).String(); got != tt.after {
				t.Errorf("%s, want %s", got, tt.after)
			}
		})
	}
}
