package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/e2e/lab"
	"weir/netstack/packet"
)

// parsed are the captured frames that are IP.
func parsed(t testing.TB, frames []lab.Frame) (list []*packet.Packet) {
	t.Helper()
	for _, f := range frames {
		p := &packet.Packet{}
		p.Load(f.Data)
		if why := p.Parse(packet.LinkEthernet); why != packet.OK {
			t.Errorf("a captured frame does not parse: %v: %x", why, f.Data)
		} else if p.Version != 0 {
			list = append(list, p)
		}
	}
	return list
}

func isReset(p *packet.Packet) bool { return p.Proto == packet.TCP && p.Flags&packet.RST != 0 }

// What nat changes on the way, from captures on both links: the destination of
// a request, the source of its reply, the TTL, and the MACs where weir is a
// router of its own. Everything else is as it was, and every checksum is right.
func TestOnlyTheFieldsOfTheTableChange(t *testing.T) {
	everywhere(t, func(t *testing.T, w lab.World) {
		startWeir(t, w, services(w))
		for _, f := range families {
			t.Run(f.name, func(t *testing.T) {
				for i, c := range conversations(t, w, f) {
					client, server := capturePair(t, w, c)
					compare(t, w, f, []string{"request", "reply"}[i%2], c, client, server)
				}
			})
		}
	})
}

// conversation is one direction of one exchange whose payload is unmistakable.
type conversation struct {
	proto   uint8
	payload string
	frames  [2][]lab.Frame // on the client's link, on the server's
}

// conversations talks TCP and UDP through the VIP, captured on both links.
func conversations(t *testing.T, w lab.World, f family) (list []conversation) {
	captures := map[string]*lab.Capture{}
	for node, segment := range map[string]string{"client1": lab.ClientSegment, "real1": lab.ServerSegment, "real2": lab.ServerSegment} {
		c, err := w.Capture(node, segment)
		if err != nil {
			t.Fatal(err)
		}
		captures[node] = c
	}
	serveTCP(t, w, f, 8080, func(_ string, c net.Conn) {
		io.ReadFull(c, make([]byte, len("tcp request")))
		io.WriteString(c, "tcp reply")
	})
	echoUDP(t, w, f, 5353)
	ask(t, dial(t, w, "tcp", f.at(80)), "tcp request")
	u := dial(t, w, "udp", f.at(53))
	io.WriteString(u, "udp both ways")
	if _, err := u.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	var frames [2][]lab.Frame
	for node, c := range captures {
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		side := 1
		if node == "client1" {
			side = 0
		}
		frames[side] = append(frames[side], c.Frames()...)
	}
	for _, x := range []struct {
		proto   uint8
		payload string
	}{{packet.TCP, "tcp request"}, {packet.TCP, "tcp reply"}, {packet.UDP, "udp both ways"}, {packet.UDP, "udp both ways"}} {
		list = append(list, conversation{x.proto, x.payload, frames})
	}
	// An echo has one payload in both directions: who sends tells them apart.
	list[2].frames = [2][]lab.Frame{sent(captures["client1"].Frames(), true), received(frames[1])}
	list[3].frames = [2][]lab.Frame{sent(captures["client1"].Frames(), false), sent(frames[1], true)}
	return list
}

func sent(frames []lab.Frame, out bool) (list []lab.Frame) {
	for _, f := range frames {
		if f.Out == out {
			list = append(list, f)
		}
	}
	return list
}

func received(frames []lab.Frame) []lab.Frame { return sent(frames, false) }

// capturePair finds the conversation's packet on both links.
func capturePair(t *testing.T, w lab.World, c conversation) (client, server *packet.Packet) {
	t.Helper()
	var found [2]*packet.Packet
	for side, frames := range c.frames {
		for _, p := range parsed(t, frames) {
			if p.Proto == c.proto && p.HasL4 && string(p.PayloadBytes()) == c.payload && found[side] == nil {
				found[side] = p
			}
		}
		if found[side] == nil {
			t.Fatalf("%s: not seen on link %d", c.payload, side)
		}
	}
	return found[0], found[1]
}

// compare holds the table of DESIGN.md's "Two axes" for nat with routing.
func compare(t *testing.T, w lab.World, f family, way string, c conversation, client, server *packet.Packet) {
	t.Helper()
	for _, p := range []*packet.Packet{client, server} {
		checksums(t, p)
	}
	inside := client // as it was before weir
	after := server
	hops := uint8(1) // weir is the only router
	if w.Weir().Config()[:len("topology: host")] == "topology: host" {
		hops = 3 // the host's kernel, weir, the kernel again
	}
	if way == "reply" {
		inside, after = server, client
	}
	want := fmt.Sprintf("%v:%d > %v:%d", inside.Src(), inside.SrcPort, after.Dst(), after.DstPort)
	if way == "reply" {
		want = fmt.Sprintf("%v:%d > %v:%d", f.vip, map[uint8]int{packet.TCP: 80, packet.UDP: 53}[c.proto], inside.Dst(), inside.DstPort)
	} else if inside.Dst() != f.vip {
		t.Errorf("%s: the client sent to %v, want the VIP", c.payload, inside.Dst())
	}
	if got := fmt.Sprintf("%v:%d > %v:%d", after.Src(), after.SrcPort, after.Dst(), after.DstPort); got != want {
		t.Errorf("%s, %s: arrived as %s, want %s", c.payload, way, got, want)
	}
	if inside.TTL()-after.TTL() != hops {
		t.Errorf("%s, %s: TTL %d became %d, want %d less", c.payload, way, inside.TTL(), after.TTL(), hops)
	}
	if inside.SrcMAC() == after.SrcMAC() || inside.DstMAC() == after.DstMAC() {
		t.Errorf("%s, %s: MACs %v > %v became %v > %v, want new ones", c.payload, way, inside.SrcMAC(), inside.DstMAC(), after.SrcMAC(), after.DstMAC())
	}
	if a, b := untouched(inside), untouched(after); !bytes.Equal(a, b) {
		t.Errorf("%s, %s: something else changed:\n%x\n%x", c.payload, way, a, b)
	}
}

// untouched is the packet without what nat may change: addresses, ports, TTL
// and the checksums over them.
func untouched(p *packet.Packet) []byte {
	b := bytes.Clone(p.Store[p.L3:p.L3End])
	l4 := p.L4 - p.L3
	blank := func(from, to int) { clear(b[from:to]) }
	if p.Version == 4 {
		blank(8, 9)
		blank(10, 20)
	} else {
		blank(7, 40)
	}
	blank(l4, l4+4)
	if p.Proto == packet.TCP {
		blank(l4+16, l4+18)
	} else {
		blank(l4+6, l4+8)
	}
	return b
}

// checksums lets gopacket compute the packet's checksums anew and compares.
func checksums(t *testing.T, p *packet.Packet) {
	t.Helper()
	raw := p.Store[p.L3:p.L3End]
	first := gopacket.LayerType(layers.LayerTypeIPv4)
	if p.Version == 6 {
		first = layers.LayerTypeIPv6
	}
	decoded := gopacket.NewPacket(raw, first, gopacket.Default)
	var again []gopacket.SerializableLayer
	for _, l := range decoded.Layers() {
		switch l := l.(type) {
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(decoded.NetworkLayer())
			again = append(again, l, gopacket.Payload(l.Payload))
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(decoded.NetworkLayer())
			again = append(again, l, gopacket.Payload(l.Payload))
		case *layers.IPv4:
			again = append(again, l)
		case *layers.IPv6:
			again = append(again, l)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, again...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), raw) {
		t.Errorf("%v: a checksum is wrong:\n got %x\nwant %x", p, raw, buf.Bytes())
	}
}
