package device

import (
	"testing"

	"weir/netstack/packet"
)

func TestVnetHeader(t *testing.T) {
	const start, end = 128, 128 + 1500
	tests := []struct {
		name   string
		header [vnetLen]byte
		want   packet.Offload
		ok     bool
	}{
		{"an ordinary frame has nothing", [vnetLen]byte{}, packet.Offload{}, true},
		{"the kernel vouches for the checksum", [vnetLen]byte{2}, packet.Offload{DataValid: true}, true},
		{"a partial checksum's place becomes an index of the store",
			[vnetLen]byte{1, 0, 0, 0, 0, 0, 34, 0, 16, 0},
			packet.Offload{NeedsCsum: true, CsumStart: start + 34, CsumOffset: 16}, true},
		{"hdr_len is not believed, nor even read",
			[vnetLen]byte{1, 1, 0xff, 0xff, 0xb4, 5, 34, 0, 16, 0},
			packet.Offload{NeedsCsum: true, GSO: packet.GSOTCP4, GSOSize: 1460, CsumStart: start + 34, CsumOffset: 16}, true},
		{"TCP over IPv6 with ECN",
			[vnetLen]byte{1, 0x84, 0, 0, 0xa0, 5, 54, 0, 16, 0},
			packet.Offload{NeedsCsum: true, ECN: true, GSO: packet.GSOTCP6, GSOSize: 1440, CsumStart: start + 54, CsumOffset: 16}, true},
		{"UDP",
			[vnetLen]byte{1, 5, 0, 0, 0xe8, 3, 28, 0, 6, 0},
			packet.Offload{NeedsCsum: true, GSO: packet.GSOUDP, GSOSize: 1000, CsumStart: start + 28, CsumOffset: 6}, true},
		{"a kind that was not negotiated: fragments of UDP", [vnetLen]byte{1, 3, 0, 0, 0xe8, 3, 28, 0, 6, 0}, packet.Offload{}, false},
		{"a super-packet with segments of 0 bytes", [vnetLen]byte{1, 1, 0, 0, 0, 0, 34, 0, 16, 0}, packet.Offload{}, false},
		{"a checksum one byte past the frame", [vnetLen]byte{1, 0, 0, 0, 0, 0, 0xcb, 5, 16, 0}, packet.Offload{}, false},
		{"a checksum at the frame's very end", [vnetLen]byte{1, 0, 0, 0, 0, 0, 0xca, 5, 16, 0},
			packet.Offload{NeedsCsum: true, CsumStart: start + 1482, CsumOffset: 16}, true},
		{"a start that no index can hold", [vnetLen]byte{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, packet.Offload{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := readVnet(tt.header[:], start, end)
			if got != tt.want || ok != tt.ok {
				t.Errorf("%+v %v, want %+v %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// The header's length is told to the kernel as it is in the packet.
func TestVnetHeaderLength(t *testing.T) {
	tests := []struct {
		name, text string
		gso        packet.GSO
		offset     uint16
		want       byte
	}{
		{"TCP over IPv4", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A len 4000", packet.GSOTCP4, 16, 40},
		{"TCP over IPv6 behind a tag", "tcp [2001:db8::9]:4000 > [2001:db8::10]:80 A len 4000 mac 02:00:00:00:00:01>02:00:00:00:00:02 vlan 5", packet.GSOTCP6, 16, 78},
		{"UDP over IPv4", "udp 10.1.0.9:4000 > 192.0.2.10:53 len 4000", packet.GSOUDP, 6, 28},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := superPacket(t, tt.text, tt.gso, 1000)
			var h [vnetLen]byte
			putVnet(h[:], p)
			if h[2] != tt.want || h[3] != 0 {
				t.Errorf("hdr_len %d, want %d", h[2], tt.want)
			}
		})
	}
}

// Whatever the header says, an Offload lies within its frame, and writing it
// and reading it again gives it back.
func FuzzVnetHeader(f *testing.F) {
	f.Add([]byte{1, 1, 0, 0, 0xb4, 5, 34, 0, 16, 0}, uint16(1500))
	f.Add([]byte{1, 0x84, 0, 0, 0xa0, 5, 54, 0, 16, 0}, uint16(60))
	f.Add([]byte{3, 5, 0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff}, uint16(0))
	store := make([]byte, BufferSize)
	for i := range store {
		store[i] = byte(i)
	}
	f.Fuzz(func(t *testing.T, h []byte, length uint16) {
		if len(h) < vnetLen {
			return
		}
		p := packet.Packet{Store: store, Start: packet.Headroom, End: packet.Headroom + int(length)}
		o, ok := readVnet(h[:vnetLen], p.Start, p.End)
		if !ok {
			return
		}
		if o.NeedsCsum && (int(o.CsumStart) < p.Start || int(o.CsumStart)+int(o.CsumOffset)+2 > p.End) {
			t.Fatalf("%+v outside a frame of %d bytes", o, length)
		}
		p.Offload = o
		var again [vnetLen]byte
		putVnet(again[:], &p)
		o.DataValid = false // not passed on
		o.ECN = o.ECN && o.GSO != packet.GSONone
		if back, ok := readVnet(again[:], p.Start, p.End); !ok || back != o {
			t.Fatalf("%+v came back as %+v %v", o, back, ok)
		}
	})
}
