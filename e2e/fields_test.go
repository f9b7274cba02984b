package e2e_test

import (
	"bytes"
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

// conversation is one direction of one exchange whose payload is unmistakable.
type conversation struct {
	proto   uint8
	payload string
	frames  [2][]lab.Frame // on the client's link, on the server's
}

// conversations talks TCP and UDP through the VIP, captured on the links of
// client and real servers.
func conversations(t *testing.T, w lab.World, x wiring, f family) (list []conversation) {
	captures := map[string]*lab.Capture{}
	for _, node := range []string{"client1", "real1", "real2"} {
		c, err := w.Capture(node, x.topology.Node(node).Interfaces[0].Segment)
		if err != nil {
			t.Fatal(err)
		}
		captures[node] = c
	}
	serveTCP(t, w, f, x.ports[0], func(_ string, c net.Conn) {
		io.ReadFull(c, make([]byte, len("tcp request")))
		io.WriteString(c, "tcp reply")
	})
	echoUDP(t, w, f, x.ports[1])
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
		case *layers.ICMPv4:
			again = append(again, l, gopacket.Payload(l.Payload))
		case *layers.ICMPv6:
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
