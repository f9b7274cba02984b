package packet_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/netstack/packet"
)

// bytesOf is the frame that text describes.
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(p.Bytes())
}

// parsed is a packet of these bytes, which Parse must like.
func parsed(t testing.TB, frame []byte, link packet.Link) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	p.Load(frame)
	if r := p.Parse(link); r != packet.OK {
		t.Fatalf("%x: %s", frame, r)
	}
	return p
}

// fixIPv4 makes the header checksum of a raw IPv4 packet right again.
func fixIPv4(b []byte) {
	ihl := int(b[0]&15) * 4
	if ihl > len(b) {
		return
	}
	b[10], b[11] = 0, 0
	var sum uint32
	for i := 0; i < ihl; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
}

// setBytes writes values from index at on.
func setBytes(at int, values ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[at:], values)
		return b
	}
}

// cutTo keeps n bytes.
func cutTo(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

func unchanged(b []byte) []byte { return b }

// chainOf is a UDP packet over IPv6 with these extension headers in front, each
// 8 bytes long; the first bytes of a header may be given.
func chainOf(kinds ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		out := append([]byte(nil), b[:40]...)
		next := b[6]
		for i, kind := range kinds {
			if i == 0 {
				out[6] = kind
			}
			follow := next
			if i+1 < len(kinds) {
				follow = kinds[i+1]
			}
			header := []byte{follow, 0, 0, 0, 0, 0, 0, 0}
			if kind == packet.ROUTING {
				header[2] = 2
			}
			out = append(out, header...)
		}
		out = append(out, b[40:]...)
		binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
		return out
	}
}

const (
	tcp4 = "tcp 10.1.0.9:4000 > 192.0.2.10:80 S len 10"
	udp4 = "udp 10.1.0.9:4000 > 192.0.2.10:53 len 64"
	tcp6 = "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 S len 10"
	udp6 = "udp [2001:db8::9]:4000 > [2001:db8::a]:53 len 64"
	ping = "icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1"
	mac  = " mac 02:00:00:00:00:01>02:00:00:00:00:02"
)

func TestParseReasons(t *testing.T) {
	tests := []struct {
		name string
		text string
		edit func([]byte) []byte
		want packet.Reason
	}{
		{"a TCP packet is fine", tcp4, unchanged, packet.OK},
		{"a packet of no bytes is truncated", tcp4, cutTo(0), packet.Truncated},
		{"an Ethernet header of 13 bytes is truncated", tcp4 + mac, cutTo(13), packet.Truncated},
		{"a tag that the frame ends in is truncated", tcp4 + mac + " vlan 5", cutTo(17), packet.Truncated},
		{"an IPv4 header of 19 bytes is truncated", tcp4, cutTo(19), packet.Truncated},
		{"an IPv6 header of 39 bytes is truncated", tcp6, cutTo(39), packet.Truncated},
		{"IP version 5 is none", tcp4, setBytes(0, 0x55), packet.BadVersion},
		{"IPv6 behind the EtherType of IPv4 is a lie", tcp4 + mac, setBytes(14, 0x65), packet.BadVersion},
		{"IPv4 behind the EtherType of IPv6 is a lie", tcp6 + mac, setBytes(14, 0x45), packet.BadVersion},
		{"an IPv4 header has at least 5 words", tcp4, setBytes(0, 0x44), packet.BadHeaderLength},
		{"an IPv4 header ends within the packet", ping, setBytes(0, 0x4f), packet.BadHeaderLength},
		{"an IPv4 total length covers its header", tcp4, setBytes(2, 0, 19), packet.BadTotalLength},
		{"an IPv4 total length ends within the frame", tcp4, setBytes(2, 0, 51), packet.BadTotalLength},
		{"total length 0 is for super-packets only", tcp4, setBytes(2, 0, 0), packet.BadTotalLength},
		{"an IPv6 payload length ends within the frame", tcp6, setBytes(4, 0, 31), packet.BadTotalLength},
		{"IPv6 payload length 0 holds no TCP", tcp6, setBytes(4, 0, 0), packet.Truncated},
		{"a wrong IPv4 header checksum drops the packet", tcp4, setBytes(10, 0xde, 0xad), packet.BadIPChecksum},
		{"with options the whole header is summed", tcp4 + " options 94040000", setBytes(22, 1), packet.BadIPChecksum},

		{"a loose source route is refused", tcp4, options(0x83, 7, 4, 10, 0, 0, 1), packet.SourceRoute},
		{"a strict source route is refused, also behind others", tcp4, options(1, 1, 0x89, 3, 4), packet.SourceRoute},
		{"a source route behind the end of options is none", tcp4, options(0, 0x83, 3, 4), packet.OK},
		{"record route, timestamp, router alert and unknown options are kept", tcp4, options(7, 3, 4, 68, 4, 5, 0, 148, 4, 0, 0, 99, 2), packet.OK},
		{"an option needs a length", tcp4, options(1, 1, 1, 7), packet.BadOption},
		{"an option is at least 2 bytes long", tcp4, options(7, 1, 1, 1), packet.BadOption},
		{"an option ends within the header", tcp4, options(7, 5, 1, 1), packet.BadOption},

		{"a TCP header of 19 bytes is truncated", "ip 10.1.0.9 > 10.1.0.1 proto 50 len 19", setBytes(9, 6), packet.Truncated},
		{"a TCP header has at least 5 words", tcp4, setBytes(32, 0x40), packet.BadHeaderLength},
		{"a TCP header ends within the packet", tcp4, setBytes(32, 0x80), packet.BadHeaderLength},
		{"a UDP header of 7 bytes is truncated", "ip 10.1.0.9 > 10.1.0.1 proto 50 len 7", setBytes(9, 17), packet.Truncated},
		{"a UDP length covers its header", udp4, setBytes(24, 0, 7), packet.BadTotalLength},
		{"a UDP length ends within the packet", udp4, setBytes(24, 0, 73), packet.BadTotalLength},
		{"bytes behind a UDP datagram are allowed", udp4, setBytes(24, 0, 70), packet.OK},
		{"an ICMP header of 7 bytes is truncated", "ip 10.1.0.9 > 10.1.0.1 proto 50 len 7", setBytes(9, 1), packet.Truncated},
		{"ICMPv6 over IPv4 is just some protocol", "ip 10.1.0.9 > 10.1.0.1 proto 58 len 3", unchanged, packet.OK},
		{"ICMP over IPv6 is just some protocol", "ip 2001:db8::1 > 2001:db8::2 proto 1 len 3", unchanged, packet.OK},

		{"a fragment in the middle is a multiple of 8", udp4, setBytes(6, 0x20, 1), packet.OK},
		{"a fragment in the middle that is none is bad", tcp4, setBytes(6, 0x20, 9), packet.BadFragment},
		{"a last fragment may have any length", tcp4, setBytes(6, 0, 9), packet.OK},
		{"a fragment that carries nothing is bad", "ip 10.1.0.9 > 10.1.0.1 proto 50", setBytes(6, 0x20, 9), packet.BadFragment},
		{"a fragment ends within 65,535 bytes", udp4, setBytes(6, 0x1f, 0xff), packet.BadFragment},
		{"the last place for a fragment of 72 bytes", udp4, setBytes(6, 0x1f, 0xf4), packet.OK},
		{"the place behind it is past the end", udp4, setBytes(6, 0x1f, 0xf5), packet.BadFragment},
		{"a TCP fragment at offset 8 wants to rewrite flags", tcp4, setBytes(6, 0, 1), packet.TinyFragment},
		{"a UDP fragment at offset 8 cannot", udp4, setBytes(6, 0, 1), packet.OK},
		{"a first fragment holds the whole TCP header", "ip 10.1.0.9 > 10.1.0.1 proto 50 len 16", edits(setBytes(6, 0x20), setBytes(9, 6)), packet.TinyFragment},
		{"a first fragment holds the TCP options", "tcp 10.1.0.9:1 > 10.1.0.1:2 len 4", edits(setBytes(6, 0x20), setBytes(32, 0x70)), packet.TinyFragment},
		{"a first fragment's UDP length is the datagram's", udp4, edits(setBytes(6, 0x20), setBytes(24, 0xff, 0xff)), packet.OK},
		{"a fragment with DF is odd but fine", udp4, setBytes(6, 0x60), packet.OK},

		{"8 extension headers are walked", udp6, chainOf(0, 60, 60, 60, 60, 60, 60, 60), packet.OK},
		{"9 are too many", udp6, chainOf(0, 60, 60, 60, 60, 60, 60, 60, 60), packet.ExtensionChain},
		{"hop-by-hop options stand first", udp6, chainOf(60, 0), packet.ExtensionChain},
		{"hop-by-hop options stand once", udp6, chainOf(0, 0), packet.ExtensionChain},
		{"a type 0 routing header is refused", udp6, edits(chainOf(43), setBytes(42, 0)), packet.RoutingHeader},
		{"and so is one behind other headers", udp6, edits(chainOf(0, 60, 43), setBytes(58, 0)), packet.RoutingHeader},
		{"a routing header of another type is kept", udp6, chainOf(43), packet.OK},
		{"an extension header ends within the packet", udp6, edits(chainOf(60), setBytes(41, 20)), packet.Truncated},
		{"an extension header without 8 bytes is truncated", "ip 2001:db8::1 > 2001:db8::2 proto 99 len 7", setBytes(6, 60), packet.Truncated},
		{"an atomic fragment is a whole packet", udp6, chainOf(44), packet.OK},
		{"a fragment of a fragment is nobody's", udp6, chainOf(44, 44), packet.ExtensionChain},
		{"an IPv6 fragment in the middle is a multiple of 8", "udp 2001:db8::1 > 2001:db8::2 frag 8+ len 8", edits(grow6(-1)), packet.BadFragment},
		{"an IPv6 fragment ends within 65,535 bytes", "udp 2001:db8::1 > 2001:db8::2 frag 65528 len 7", unchanged, packet.OK},
		{"an IPv6 fragment past that is bad", "udp 2001:db8::1 > 2001:db8::2 frag 65528 len 7", grow6(1), packet.BadFragment},
		{"a first IPv6 fragment holds the whole L4 header", "udp 2001:db8::1 > 2001:db8::2 frag 8 len 16", edits(setBytes(40, 6), setBytes(42, 0, 1)), packet.TinyFragment},
		{"a first IPv6 fragment holds the whole header chain", "udp 2001:db8::1 > 2001:db8::2 frag 8 len 16", edits(setBytes(40, 60), setBytes(42, 0, 1), setBytes(49, 9)), packet.TinyFragment},
		{"no next header is fine", "ip 2001:db8::1 > 2001:db8::2 proto 59", unchanged, packet.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := bytesOf(t, tt.text)
			link := packet.LinkRaw
			if b[0] == 2 {
				link = packet.LinkEthernet
			}
			b = tt.edit(b)
			if link == packet.LinkRaw && len(b) >= 20 && b[0]>>4 == 4 && tt.want != packet.BadIPChecksum {
				fixIPv4(b)
			}
			var p packet.Packet
			p.Load(b)
			if got := p.Parse(link); got != tt.want {
				t.Errorf("%s, want %s (%x)", got, tt.want, b)
			}
		})
	}
}

func edits(all ...func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		for _, edit := range all {
			b = edit(b)
		}
		return b
	}
}

// options puts IPv4 options into a packet that has none, padded with ends.
func options(values ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		for len(values)%4 != 0 {
			values = append(values, 1)
		}
		out := append(append(append([]byte(nil), b[:20]...), values...), b[20:]...)
		out[0] = 0x45 + byte(len(values)/4)
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
		return out
	}
}

// grow6 makes an IPv6 packet longer by n bytes, or shorter.
func grow6(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		b = append(b, 0)[:len(b)+n]
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		return b
	}
}
