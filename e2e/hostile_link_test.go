package e2e_test

import (
	"bytes"
	"testing"

	"weir/e2e/hostile"
	"weir/e2e/lab"
	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// serverLink is what real servers receive.
type serverLink struct {
	captures []*lab.Capture
	read     []int // frames of each capture that were counted
	count    uint64
}

func newServerLink(t *testing.T, w lab.World) *serverLink {
	l := &serverLink{captures: capturesOf(t, w, lab.ServerSegment, "real1", "real2")}
	l.read = make([]int, len(l.captures))
	return l
}

// arrived counts the hostile frames that a real server has received. Errors
// that quote one come from honest stacks, which were answered to something
// they had not asked.
func (l *serverLink) arrived() uint64 {
	for i, c := range l.captures {
		frames := c.Frames()
		for _, f := range frames[l.read[i]:] {
			if !f.Out && len(hostile.Marks(f.Data)) > 0 && !isICMP(f.Data) {
				l.count++
			}
		}
		l.read[i] = len(frames)
	}
	return l.count
}

func isICMP(frame []byte) bool {
	p, _ := parseFrame(frame)
	return p.Proto == packet.ICMP || p.Proto == packet.ICMPv6
}

// judge wants every frame on the server's link to be right, or to be one that
// is forwarded as wrong as it was.
func (l *serverLink) judge(t *testing.T, b *barrage) {
	t.Helper()
	in, out := stopped(t, l.captures)
	seen := map[uint32]int{}
	for _, f := range in {
		marks := hostile.Marks(f.Data)
		for _, n := range marks {
			if _, ok := b.numbers[n]; !ok && int(n) < len(b.class) {
				t.Errorf("a frame of class %s is on the server's link: %x", b.class[n], f.Data)
			}
		}
		if len(marks) == 0 || isICMP(f.Data) {
			wantHonest(t, "the server's link", f)
			continue
		}
		seen[marks[0]]++
		if i, ok := b.numbers[marks[0]]; ok {
			wantAsItWas(t, b, marks[0], b.forwarded[i].Data, f.Data)
		}
	}
	for n, times := range seen {
		if times > 1 {
			t.Errorf("frame %d of class %s arrived %d times", n, b.class[n], times)
		}
	}
	for _, f := range out {
		wantHonest(t, "the server's link, from it", f)
	}
}

// wantHonest wants a frame to parse, to be from somewhere, and to have right
// checksums.
func wantHonest(t *testing.T, where string, f lab.Frame) {
	t.Helper()
	p, why := parseFrame(f.Data)
	if why == packet.OK {
		why = p.Martian()
	}
	if why != packet.OK || p.VLAN || p.Version == 0 && p.EtherType != packet.EtherARP {
		t.Errorf("on %s is a frame that is %v: %x", where, why, f.Data)
	}
	for _, c := range packettest.Checksums(f.Data, packet.LinkEthernet) {
		if c.Error() != 0 {
			t.Errorf("on %s %s is %#04x, want %#04x: %x", where, c.Name, c.Have, c.Want, f.Data)
		}
	}
}

// wantAsItWas wants a forwarded frame to differ from what was sent in nothing
// but what nat changes, and its L4 checksum to be as right or as wrong.
func wantAsItWas(t *testing.T, b *barrage, number uint32, before, after []byte) {
	t.Helper()
	class, hops := b.class[number], routersOf(b.world)
	p, why := parseFrame(before)
	q, whyNot := parseFrame(after)
	if why != packet.OK || whyNot != packet.OK {
		t.Errorf("%s: parsed %v, and when forwarded %v: %x", class, why, whyNot, after)
		return
	}
	if p.TTL()-q.TTL() != hops {
		t.Errorf("%s: TTL %d became %d, want %d less", class, p.TTL(), q.TTL(), hops)
	}
	if a, c := unchanged(p), unchanged(q); class == "options" && hops > 1 {
		// The host is a Linux router, which records itself where it is asked to.
		if len(a) != len(c) || !bytes.Equal(a[p.L4-p.L3:], c[p.L4-p.L3:]) {
			t.Errorf("%s: changed on its way, and not in its options:\n%x\n%x", class, a, c)
		}
	} else if !bytes.Equal(a, c) {
		t.Errorf("%s: changed on its way:\n%x\n%x", class, a, c)
	}
	if a, b := residue(p), residue(q); a != b {
		t.Errorf("%s: an L4 checksum that was off by %#04x is off by %#04x:\n%x\n%x", class, ^a, ^b, before, after)
	}
}

// unchanged is untouched for later fragments too, which have no ports.
func unchanged(p *packet.Packet) []byte {
	if p.HasL4 {
		return untouched(p)
	}
	b := bytes.Clone(p.Store[p.L3:p.L3End])
	if p.Version == 4 {
		clear(b[8:9])
		clear(b[10:20])
	} else {
		clear(b[7:40])
	}
	return b
}

// residue is the sum of the pseudo-header and of what there is of L4, checksum
// included: 0xffff for a whole packet that is right, something else for a
// fragment, and the same before and after whatever an incremental update did. A
// checksum of 0 that says there is none has residue 0.
func residue(p *packet.Packet) uint16 {
	l4 := p.Store[p.L4:p.L3End]
	if !p.HasL4 || p.Proto == packet.UDP && l4[6]|l4[7] == 0 {
		return 0
	}
	var acc uint32
	src, dst := p.SrcAddr(), p.DstAddr()
	for _, b := range [][]byte{src[:], dst[:], l4} {
		for ; len(b) > 1; b = b[2:] {
			acc += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			acc += uint32(b[0]) << 8
		}
	}
	acc += uint32(p.Proto) + uint32(len(l4))
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}
