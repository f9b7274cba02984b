package packet_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/netstack/packet"
)

// residue is what is wrong with the L4 checksum of p: 0 if nothing, modulo
// 65,535. Of a partial checksum it is what is wrong with that.
func residue(p *packet.Packet) uint32 {
	var pseudo uint32
	switch {
	case p.Proto == packet.ICMP:
	case p.Version == 4:
		pseudo = plainSum(p.Store[p.L3+12:p.L3+20]) + uint32(p.Proto) + uint32(p.L3End-p.L4)
	default:
		pseudo = plainSum(p.Store[p.L3+8:p.L3+40]) + uint32(p.Proto) + uint32(p.L3End-p.L4)
	}
	if !p.Offload.NeedsCsum {
		return (pseudo + plainSum(p.Store[p.L4:p.L3End])) % 0xffff
	}
	field := uint32(binary.BigEndian.Uint16(p.Store[p.Offload.CsumStart+p.Offload.CsumOffset:]))
	return (field + 0xffff - pseudo%0xffff) % 0xffff
}

// Any packet is translated or refused for a reason that leaves it untouched. A
// translated one is what Parse makes of its bytes, carries what it carried, has
// a checksum that is as wrong as it was, and comes back as what it was.
func FuzzTranslate(f *testing.F) {
	for _, text := range canonical {
		var p packet.Packet
		if err := packet.Build(&p, text); err != nil {
			f.Fatal(err)
		}
		o := p.Offload
		f.Add(bytes.Clone(p.Bytes()), p.Link == packet.LinkEthernet, o.NeedsCsum, byte(o.GSO), o.GSOSize,
			max(int(o.CsumStart)-p.Start, 0), o.CsumOffset, uint16(4000), uint16(80))
	}
	f.Fuzz(func(t *testing.T, frame []byte, ethernet, partial bool, gso byte, size uint16, start int, offset, sport, dport uint16) {
		if len(frame) > packet.MaxFrame {
			return
		}
		p := new(packet.Packet)
		p.Load(frame)
		p.Offload = packet.Offload{
			NeedsCsum: partial, GSO: packet.GSO(gso), GSOSize: size,
			CsumStart: uint16(packet.Headroom + start), CsumOffset: offset,
		}
		link := packet.LinkRaw
		if ethernet {
			link = packet.LinkEthernet
		}
		r := p.Parse(link)
		if r == packet.BadIPChecksum { // or hardly any changed packet would get further
			fixIPv4(p.Store[p.L3:p.End])
			r = p.Parse(link)
		}
		var src, dst packet.Addr
		if other := 10 - p.Version; other == 4 || other == 6 {
			src, dst = packet.AddrFrom(clientTo[other].Addr()), packet.AddrFrom(serverTo[other].Addr())
		}
		if r != packet.OK { // nobody asks for it, but it must not harm
			packet.Translate(p, &src, &dst, sport, dport)
			touch(p)
			return
		}
		back := endsAsTheyAre(p)
		if across(t, p, &src, &dst, sport, dport) {
			across(t, p, &back.src, &back.dst, back.sport, back.dport)
		}
	})
}

type addrEnds struct {
	src, dst     packet.Addr
	sport, dport uint16
}

func endsAsTheyAre(p *packet.Packet) addrEnds {
	return addrEnds{p.SrcAddr(), p.DstAddr(), p.SrcPort, p.DstPort}
}

// across translates p and judges what came of it; false if it was refused.
func across(t *testing.T, p *packet.Packet, src, dst *packet.Addr, sport, dport uint16) bool {
	t.Helper()
	before := *p // a copy of its own, for Translate works in place
	before.Store = bytes.Clone(p.Store)
	payload, l4, quotes := bytes.Clone(p.PayloadBytes()), bytes.Clone(p.Store[p.L4:p.Payload]), p.IsICMPError()
	wrong := uint32(0)
	if p.HasL4 {
		wrong = residue(p)
	}
	if r := packet.Translate(p, src, dst, sport, dport); r != packet.OK {
		if !bytes.Equal(p.Store, before.Store) || p.String() != before.String() || p.Offload != before.Offload {
			t.Fatalf("refused for %s, and became %s", r, p)
		}
		return false
	}
	reread(t, p)
	touch(p)
	if p.Version != 10-before.Version || p.SrcAddr() != *src || p.DstAddr() != *dst || p.TTL() != before.TTL() ||
		p.TOS() != before.TOS() || p.SrcMAC() != before.SrcMAC() || p.VLANID() != before.VLANID() {
		t.Fatalf("became %s", p)
	}
	if quotes != p.IsICMPError() || !quotes && !bytes.Equal(payload, p.PayloadBytes()) {
		t.Fatalf("carries %x, and carried %x", p.PayloadBytes(), payload)
	}
	if !p.HasL4 {
		return true
	}
	bare := p.Proto == packet.UDP && binary.BigEndian.Uint16(l4[6:]) == 0
	if got := residue(p); !bare && got != wrong {
		t.Fatalf("the checksum of %s was wrong by %#x, is by %#x", p, wrong, got)
	}
	if p.Proto == packet.TCP && !bytes.Equal(l4[4:16], p.Store[p.L4+4:p.L4+16]) {
		t.Fatalf("TCP header is %x, was %x", p.Store[p.L4:p.Payload], l4)
	}
	return true
}
