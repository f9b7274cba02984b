package packettest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
)

// Sample is a random frame that package packet accepts.
type Sample struct {
	Frame []byte
	Link  packet.Link
	// What says what is special about it, in words.
	What string
	// L4 is false where there are no ports (or identifiers) to be rewritten:
	// later fragments, other protocols.
	L4 bool
	// Quotes: it is an ICMP error that surely holds the ports of what it quotes.
	Quotes bool
}

// Load puts the frame into p, not parsed.
func (s *Sample) Load(p *packet.Packet) {
	p.Load(s.Frame)
}

// Random makes a sample: Ethernet with up to two tags and padding, or raw; IPv4
// with options or IPv6 with extension headers; TCP, UDP, ICMP queries and
// errors with whole or cut quotes, or a protocol without ports; sometimes a
// fragment, sometimes with a wrong L4 checksum, or none. The same generator
// state makes the same sample.
func Random(rng *rand.Rand) Sample {
	g := &generator{Rand: rng, v6: rng.IntN(2) == 0}
	g.whole()
	return Sample{Frame: g.frame, Link: g.link, What: strings.Join(g.what, ", "), L4: g.l4, Quotes: g.quotes}
}

type generator struct {
	*rand.Rand
	v6         bool
	frame      []byte
	link       packet.Link
	what       []string
	l4, quotes bool
}

func (g *generator) say(format string, args ...any) {
	g.what = append(g.what, fmt.Sprintf(format, args...))
}

// oneIn is true once in n times.
func (g *generator) oneIn(n int) bool { return g.IntN(n) == 0 }

// bytes are random, with runs of 00 and ff: the numbers on which ones'-
// complement arithmetic goes wrong.
func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		switch g.IntN(4) {
		case 0:
			b[i] = 0
		case 1:
			b[i] = 0xff
		default:
			b[i] = byte(g.Uint32())
		}
	}
	return b
}

func (g *generator) whole() {
	ip := g.ipPacket(true)
	g.frame = ip
	if g.oneIn(3) {
		g.say("raw")
		g.link = packet.LinkRaw
		return
	}
	g.link = packet.LinkEthernet
	etherType := layers.EthernetTypeIPv4
	if g.v6 {
		etherType = layers.EthernetTypeIPv6
	}
	var tags []gopacket.SerializableLayer
	for range g.IntN(3) {
		g.say("tagged")
		tags = append(tags, &layers.Dot1Q{
			Priority: uint8(g.IntN(8)), VLANIdentifier: uint16(g.IntN(4096)), Type: layers.EthernetTypeDot1Q,
		})
	}
	eth := &layers.Ethernet{SrcMAC: g.bytes(6), DstMAC: g.bytes(6), EthernetType: etherType}
	if len(tags) > 0 {
		eth.EthernetType = layers.EthernetTypeDot1Q
		tags[len(tags)-1].(*layers.Dot1Q).Type = etherType
	}
	all := append([]gopacket.SerializableLayer{eth}, tags...)
	g.frame = write(append(all, gopacket.Payload(ip))...)
	if g.oneIn(4) && !g.said("hop-by-hop") { // gopacket counts those wrongly
		g.say("padded")
		g.frame = append(g.frame, g.bytes(1+g.IntN(20))...)
	}
}

func (g *generator) said(word string) bool {
	for _, w := range g.what {
		if w == word {
			return true
		}
	}
	return false
}

// write lets gopacket serialize layers, lengths and checksums included.
func write(all ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, all...); err != nil {
		panic("packettest: gopacket cannot write: " + err.Error())
	}
	return buf.Bytes()
}

// ipPacket makes a whole IP packet; outer ones may be fragments or errors.
func (g *generator) ipPacket(outer bool) []byte {
	if g.v6 {
		return g.ipv6(outer)
	}
	return g.ipv4(outer)
}

func (g *generator) ipv4(outer bool) []byte {
	ip := &layers.IPv4{
		Version: 4, TOS: uint8(g.Uint32()), Id: uint16(g.Uint32()), TTL: uint8(1 + g.IntN(255)),
		Flags: layers.IPv4Flag(g.IntN(2) * 2), SrcIP: g.bytes(4), DstIP: g.bytes(4), Options: g.options(),
	}
	data, proto := g.upper(ip, layers.IPProtocolICMPv4, outer)
	ip.Protocol = proto
	if outer && g.oneIn(6) && len(data) > 40 {
		cut := 24 + 8*g.IntN((len(data)-33)/8)
		if proto == layers.IPProtocolTCP {
			cut = max(cut, int(data[12]>>4)*4+7) &^ 7
		}
		if cut < len(data) {
			data, ip.Flags, ip.FragOffset = g.fragment(data, cut)
		}
	}
	b := write(ip, gopacket.Payload(data))
	return b
}

// fragment takes the first or the last part of data, cut at cut.
func (g *generator) fragment(data []byte, cut int) ([]byte, layers.IPv4Flag, uint16) {
	if g.oneIn(2) {
		g.say("first fragment")
		g.quotes = false
		return data[:cut], layers.IPv4MoreFragments, 0
	}
	g.say("last fragment")
	g.l4, g.quotes = false, false
	return data[cut:], 0, uint16(cut / 8)
}

// options are IPv4 options: none mostly, else well-formed ones that are kept.
func (g *generator) options() []layers.IPv4Option {
	if !g.oneIn(4) {
		return nil
	}
	g.say("IPv4 options")
	var all []layers.IPv4Option
	for range 1 + g.IntN(3) {
		switch g.IntN(4) {
		case 0:
			all = append(all, layers.IPv4Option{OptionType: 1})
		case 1: // router alert
			all = append(all, layers.IPv4Option{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}})
		case 2: // record route
			all = append(all, layers.IPv4Option{OptionType: 7, OptionLength: 7, OptionData: g.bytes(5)})
		case 3: // one that nobody knows
			all = append(all, layers.IPv4Option{OptionType: 0x9e, OptionLength: 6, OptionData: g.bytes(4)})
		}
	}
	return all
}

func (g *generator) ipv6(outer bool) []byte {
	ip := &layers.IPv6{
		Version: 6, TrafficClass: uint8(g.Uint32()), FlowLabel: g.Uint32() & 0xfffff,
		HopLimit: uint8(1 + g.IntN(255)), SrcIP: g.bytes(16), DstIP: g.bytes(16),
	}
	data, proto := g.upper(ip, layers.IPProtocolICMPv6, outer)
	next := uint8(proto)
	if outer && g.oneIn(6) && len(data) > 64 {
		data, next = g.fragment6(data, next), packet.FRAGMENT
	} else if g.oneIn(8) {
		g.say("atomic fragment")
		data, next = append([]byte{next, 0, 0, 0, 1, 2, 3, 4}, data...), packet.FRAGMENT
	}
	data, next = g.extensions(data, next, outer)
	ip.NextHeader = layers.IPProtocol(next)
	return write(ip, gopacket.Payload(data))
}

// fragment6 is fragment with the header that IPv6 has for it.
func (g *generator) fragment6(data []byte, next uint8) []byte {
	part, _, offset := g.fragment(data, 64)
	word := offset << 3
	if offset == 0 {
		word |= 1
	}
	return append([]byte{next, 0, byte(word >> 8), byte(word), 9, 8, 7, 6}, part...)
}

// extensions puts up to four extension headers in front of data.
func (g *generator) extensions(data []byte, next uint8, outer bool) ([]byte, uint8) {
	if !g.oneIn(3) {
		return data, next
	}
	for range 1 + g.IntN(3) {
		if g.oneIn(2) {
			g.say("destination options")
			data, next = append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, data...), packet.DSTOPTS
		} else {
			g.say("authentication header")
			data, next = append(append([]byte{next, 4, 0, 0}, g.bytes(20)...), data...), packet.AH
		}
	}
	if outer && g.oneIn(3) {
		g.say("hop-by-hop")
		data, next = append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, data...), packet.HOPOPTS
	}
	return data, next
}
