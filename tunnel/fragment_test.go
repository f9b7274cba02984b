package tunnel_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/tunnel"
)

// Outer packets are cut into fragments that gopacket reads, that fit, and that
// put together are the outer packet again.
func TestFragment(t *testing.T) {
	for _, c := range combinations() {
		for _, link := range []packet.Link{packet.LinkRaw, packet.LinkEthernet} {
			config := c.config()
			config.MayFragment = true
			e, d := newEncap(t, config), anyDecap(t)
			var scratch packet.Packet
			for _, mtu := range []int{1500, 1499, 576} {
				p := build(t, bigText(c))
				inner := bytesOf(t, strings.Replace(bigText(c), " partial", "", 1))
				push(t, e, p)
				p.SetHop(&packet.Hop{Link: link, Src: packet.MAC{2, 1}, Dst: packet.MAC{2, 2}})
				parts := &assembly{}
				if r := e.Fragment(p, &scratch, mtu, func(s *packet.Packet) { parts.add(t, s, mtu, link) }); r != packet.OK {
					t.Fatalf("%s, mtu %d: %s", c, mtu, r)
				}
				out := raw(t, parts.whole(t))
				if r := d.Pop(out); r != packet.OK || !bytes.Equal(out.Bytes(), inner) {
					t.Errorf("%s, mtu %d: %s: %s", c, mtu, r, out)
				}
			}
		}
	}
}

func bigText(c combination) string {
	if c.inner == 6 {
		return "udp [2001:db8:9::9]:4000 > [2001:db8:f::10]:80 partial len 4001"
	}
	return "udp 198.51.100.9:4000 > 192.0.2.10:80 df partial len 4001"
}

// assembly puts the fragments of one outer packet together.
type assembly struct {
	head []byte // the outer IP header without fragmentation
	data []byte
	next uint8
	id   uint32
	more bool
}

func (a *assembly) add(t *testing.T, s *packet.Packet, mtu int, link packet.Link) {
	t.Helper()
	if s.IPLen() > mtu || s.Link != link || !s.Frag || int(s.FragOffset) != len(a.data) {
		t.Fatalf("%s after %d bytes, at most %d long", s, len(a.data), mtu)
	}
	if a.head != nil && (a.id != s.FragID || !a.more) {
		t.Fatalf("%s after one with id %d, more to follow: %v", s, a.id, a.more)
	}
	a.id, a.more = s.FragID, s.MoreFrags
	first := gopacket.Decoder(layers.LayerTypeEthernet)
	if link == packet.LinkRaw {
		first = map[uint8]gopacket.Decoder{4: layers.LayerTypeIPv4, 6: layers.LayerTypeIPv6}[s.Version]
	}
	p := gopacket.NewPacket(bytes.Clone(s.Bytes()), first, gopacket.Default)
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		a.head, a.next = ip.Contents, uint8(ip.Protocol)
		a.data = append(a.data, ip.Payload...)
	case *layers.IPv6:
		f := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
		a.head, a.next = ip.Contents, uint8(f.NextHeader)
		a.data = append(a.data, f.Payload...)
	}
}

// whole is the outer packet as its receiver has it.
func (a *assembly) whole(t *testing.T) []byte {
	t.Helper()
	if a.more {
		t.Fatal("the last fragment says that more follow")
	}
	b := bytes.Clone(a.head)
	if b[0]>>4 == 4 {
		b[6], b[7] = 0, 0
	} else {
		b[6] = a.next
	}
	b = shortened(append(b, a.data...), len(b)+len(a.data))
	copy(b[len(a.head):], a.data) // its UDP header was right already
	return b
}

// Of a packet that divides evenly the last fragment is full, and the last.
func TestFragmentEvenly(t *testing.T) {
	e := newEncap(t, combination{tunnel.IPIP, 6, 4}.config())
	p := build(t, "udp 198.51.100.9:4000 > 192.0.2.10:80 len 1012")
	push(t, e, p)
	said := ""
	var scratch packet.Packet
	e.Fragment(p, &scratch, 568, func(s *packet.Packet) { said += s.Text(false) + "\n" })
	want := "ip 2001:db8:2::1 > 2001:db8:2::2 proto 4 id 1 frag 0+ len 520\n" +
		"ip 2001:db8:2::1 > 2001:db8:2::2 proto 4 id 1 frag 520 len 520\n"
	if said != want {
		t.Errorf("got\n%swant\n%s", said, want)
	}
}

func TestFragmentRefuses(t *testing.T) {
	tests := []struct {
		name   string
		config tunnel.Config
		inner  string
		mtu    int
		want   packet.Reason
	}{
		{"an outer packet with DF", tunnel.Config{Src: dip4, Dst: rip4}, "udp 198.51.100.9:1 > 192.0.2.10:80 df len 1000", 576, packet.TooBig},
		{"an outer packet with DF that fits", tunnel.Config{Src: dip4, Dst: rip4}, "udp 198.51.100.9:1 > 192.0.2.10:80 df len 500", 576, packet.OK},
		{"an MTU that leaves no room over IPv6", tunnel.Config{Src: dip6, Dst: rip6}, tcp4, 55, packet.TooBig},
		{"an MTU that leaves the least room over IPv6", tunnel.Config{Src: dip6, Dst: rip6}, tcp4, 56, packet.OK},
		{"an MTU that leaves no room over IPv4", tunnel.Config{Src: dip4, Dst: rip4}, tcp4, 27, packet.TooBig},
		{"a partial checksum inside", tunnel.Config{Src: dip6, Dst: rip6, KeepOffload: true}, tcp4 + " partial", 80, packet.Rewriting},
		{"a super-packet inside", tunnel.Config{Type: tunnel.GUE, Src: dip4, Dst: rip4, KeepOffload: true},
			"tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1000 len 4500", 576, packet.Rewriting},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEncap(t, tt.config)
			p := build(t, tt.inner)
			push(t, e, p)
			n := 0
			var scratch packet.Packet
			if r := e.Fragment(p, &scratch, tt.mtu, func(*packet.Packet) { n++ }); r != tt.want || (n > 0) != (r == packet.OK) {
				t.Errorf("%s and %d fragments, want %s", r, n, tt.want)
			}
		})
	}
}
