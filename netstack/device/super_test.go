package device

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"weir/netstack/packet"
)

// superPacket builds what a kernel hands over: a packet larger than any MTU
// with the sum of its pseudo-header in the checksum's place.
func superPacket(t *testing.T, text string, gso packet.GSO, size uint16) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	if err := packet.Build(p, text); err != nil {
		t.Fatal(err)
	}
	partial(p)
	p.Offload.GSO, p.Offload.GSOSize = gso, size
	return p
}

// partial makes p's L4 checksum one that is left to the device.
func partial(p *packet.Packet) {
	offset := uint16(16)
	if p.Proto == packet.UDP {
		offset = 6
	}
	p.Offload.NeedsCsum, p.Offload.CsumStart, p.Offload.CsumOffset = true, uint16(p.L4), offset
	src, dst := p.SrcAddr(), p.DstAddr()
	sum := uint32(p.Proto) + uint32(p.L3End-p.L4)
	for i := 0; i < 16; i += 2 {
		if p.Version == 6 || i >= 12 {
			sum += uint32(binary.BigEndian.Uint16(src[i:])) + uint32(binary.BigEndian.Uint16(dst[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p.Store[p.L4+int(offset):], uint16(sum))
}

// readAll reads what is queued at an end whose peer has been closed, as text,
// which shows a checksum that is wrong.
func readAll(t *testing.T, d Device) (frames []string) {
	t.Helper()
	var p packet.Packet
	for {
		err := d.Read(0, &p)
		if errors.Is(err, ErrRemoved) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Offload != (packet.Offload{}) {
			t.Errorf("a wire carries %+v", p.Offload)
		}
		if r := p.Parse(d.Link()); r != packet.OK {
			t.Errorf("frame %d: %s", len(frames), r)
		}
		frames = append(frames, p.String())
	}
}

func build(t *testing.T, text string) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	if err := packet.Build(p, text); err != nil {
		t.Fatal(err)
	}
	return p
}

// unparsed is p as a host stack would hand it over.
func unparsed(p *packet.Packet) *packet.Packet {
	return &packet.Packet{Store: p.Store, Start: p.Start, End: p.End, Offload: p.Offload}
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}
