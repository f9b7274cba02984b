package tunnel_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/tunnel"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// The two ends of the tunnels of these tests, and who talks through them.
var (
	dip4, rip4 = addr("10.2.0.1"), addr("10.2.0.2")
	dip6, rip6 = addr("2001:db8:2::1"), addr("2001:db8:2::2")
	vip4, vip6 = addr("192.0.2.10"), addr("2001:db8:f::10")
)

// The packets that go through them, one of each kind that matters.
const (
	tcp4 = "tcp 198.51.100.9:4000 > 192.0.2.10:80 A len 40"
	tcp6 = "tcp [2001:db8:9::9]:4000 > [2001:db8:f::10]:80 A len 40"
)

// ends are the outer addresses of an IP version.
func ends(version uint8) (src, dst netip.Addr) {
	if version == 6 {
		return dip6, rip6
	}
	return dip4, rip4
}

// combination is a format around one IP version, inside another.
type combination struct {
	format       tunnel.Type
	outer, inner uint8
}

func (c combination) String() string { return fmt.Sprintf("%s %din%d", c.format, c.inner, c.outer) }

func combinations() (all []combination) {
	for _, format := range tunnel.Types {
		for _, outer := range []uint8{4, 6} {
			for _, inner := range []uint8{4, 6} {
				all = append(all, combination{format, outer, inner})
			}
		}
	}
	return all
}

// config is the plainest tunnel of the combination.
func (c combination) config() tunnel.Config {
	src, dst := ends(c.outer)
	return tunnel.Config{Type: c.format, Src: src, Dst: dst}
}

// text is a packet that goes inside.
func (c combination) text() string {
	if c.inner == 6 {
		return tcp6
	}
	return tcp4
}

func newEncap(t testing.TB, c tunnel.Config) *tunnel.Encap {
	t.Helper()
	e, err := tunnel.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// anyDecap opens everything from the directors of these tests.
func anyDecap(t testing.TB) *tunnel.Decap {
	t.Helper()
	return newDecap(t, tunnel.DecapConfig{})
}

// newDecap fills in what the rows of a table do not care for.
func newDecap(t testing.TB, c tunnel.DecapConfig) *tunnel.Decap {
	t.Helper()
	if c.Directors == nil {
		c.Directors = []netip.Prefix{netip.PrefixFrom(dip4, 32), netip.PrefixFrom(dip6, 128)}
	}
	if c.VIPs == nil {
		c.VIPs = []netip.Addr{vip4, vip6}
	}
	d, err := tunnel.NewDecap(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func build(t testing.TB, text string) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	if err := packet.Build(p, text); err != nil {
		t.Fatal(err)
	}
	return p
}

// raw loads and parses a raw IP packet.
func raw(t testing.TB, b []byte) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	p.Load(b)
	if r := p.Parse(packet.LinkRaw); r != packet.OK {
		t.Fatalf("the packet is refused: %s", r)
	}
	return p
}

func push(t testing.TB, e *tunnel.Encap, p *packet.Packet) {
	t.Helper()
	if r := e.Push(p, hash); r != packet.OK {
		t.Fatalf("Push(%s): %s", p, r)
	}
}

// hash is a flow's, of which the source port and the flow label are parts.
const hash = 0xabcde123

const (
	hashPort  = 0xe123
	hashLabel = 0xabcde
)

// oracle writes the outer packet of a tunnel with gopacket.
type oracle struct {
	config tunnel.Config
	tos    uint8
	df     bool
	id     uint16
	ttl    uint8
}

// around is the whole outer packet around inner.
func (o oracle) around(inner []byte) []byte {
	ether := layers.EthernetTypeIPv4
	proto := layers.IPProtocolIPv4
	if inner[0]>>4 == 6 {
		ether, proto = layers.EthernetTypeIPv6, layers.IPProtocolIPv6
	}
	ip := o.ip()
	switch o.config.Type {
	case tunnel.GRE:
		inner = serialize(&layers.GRE{Protocol: ether}, inner)
		proto = layers.IPProtocolGRE
	case tunnel.GUE:
		inner = append([]byte{0, byte(proto), 0, 0}, inner...)
		inner, proto = o.udp(ip, inner), layers.IPProtocolUDP
	case tunnel.VXLAN:
		src, dst := o.config.InnerSrcMAC, o.config.InnerDstMAC
		inner = serialize(&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: ether}, inner)
		inner = serialize(&layers.VXLAN{ValidIDFlag: true, VNI: o.config.VNI}, inner)
		inner, proto = o.udp(ip, inner), layers.IPProtocolUDP
	}
	switch ip := ip.(type) {
	case *layers.IPv4:
		ip.Protocol = proto
		return serialize(ip, inner)
	case *layers.IPv6:
		ip.NextHeader = proto
		return serialize(ip, inner)
	}
	panic("no IP")
}

func (o oracle) ip() gopacket.NetworkLayer {
	c := o.config
	if c.Src.Is6() {
		return &layers.IPv6{Version: 6, TrafficClass: o.tos, FlowLabel: hashLabel, HopLimit: o.ttl,
			SrcIP: c.Src.AsSlice(), DstIP: c.Dst.AsSlice()}
	}
	ip := &layers.IPv4{Version: 4, TOS: o.tos, Id: o.id, TTL: o.ttl, SrcIP: c.Src.AsSlice(), DstIP: c.Dst.AsSlice()}
	if o.df {
		ip.Flags = layers.IPv4DontFragment
	}
	return ip
}

// udp has a checksum over IPv6 alone, unless the tunnel does without.
func (o oracle) udp(ip gopacket.NetworkLayer, payload []byte) []byte {
	udp := &layers.UDP{SrcPort: hashPort, DstPort: layers.UDPPort(o.config.Port)}
	if ip, ok := ip.(*layers.IPv6); ok && !o.config.ZeroChecksum6 {
		udp.SetNetworkLayerForChecksum(ip)
		return serialize(udp, payload)
	}
	buf := gopacket.NewSerializeBuffer()
	must(gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, udp, gopacket.Payload(payload)))
	return buf.Bytes()
}

func serialize(l gopacket.SerializableLayer, payload []byte) []byte {
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	must(gopacket.SerializeLayers(buf, opts, l, gopacket.Payload(payload)))
	return bytes.Clone(buf.Bytes())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
