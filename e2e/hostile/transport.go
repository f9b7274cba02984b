package hostile

import "encoding/binary"

var transportClasses = []Class{
	simple("l4-cut", "the packet ends within the TCP, UDP or ICMP header", "truncated", func(k *kit) []byte {
		switch k.turn(3) {
		case 0:
			return k.packet(header{proto: tcp}, k.syn(header{}, k.strangePort())[:k.i/6%20])
		case 1:
			return k.packet(header{proto: udp}, k.ask(header{}, k.strangePort())[:k.i/6%8])
		}
		return k.packet(header{proto: k.icmpProto()}, k.message(header{}, 8+120*uint8(k.six), 0, 0, nil)[:k.i/6%8])
	}),
	simple("tcp-offset", "a TCP header shorter than 20 bytes or longer than the packet", "bad-header-length", func(k *kit) []byte {
		b := segment(k.strangePort(), k.stage.TCP, syn, k.mark())
		b[12] = []byte{0, 1, 2, 3, 4, 10, 15}[k.turn(7)] << 4
		return k.packet(header{proto: tcp}, k.sealed(header{proto: tcp}, b))
	}),
	simple("udp-length", "a UDP length below 8 or past the packet's end", "bad-total-length", func(k *kit) []byte {
		b := datagram(k.strangePort(), k.stage.UDP, k.mark())
		length := k.turn(16)
		if length >= 8 {
			length = len(b) + 1<<(length-8)
		}
		binary.BigEndian.PutUint16(b[4:], uint16(length))
		return k.packet(header{proto: udp}, k.sealed(header{proto: udp}, b))
	}),
	simple("tcp-checksum", "a SYN whose checksum is wrong, or whose payload was changed", Forwarded, func(k *kit) []byte {
		b := k.sealed(header{proto: tcp}, segment(k.openPort(), k.stage.TCP, syn, append(k.mark(), 'x')))
		return k.packet(header{proto: tcp}, spoil(b, 16, k.turn(3)))
	}),
	simple("udp-checksum", "a datagram whose checksum is wrong, whose payload was changed, or without a checksum over IPv6", Forwarded, func(k *kit) []byte {
		b := k.sealed(header{proto: udp}, datagram(k.openPort(), k.stage.UDP, append(k.mark(), 'x')))
		how := k.turn(3)
		if how == 2 && k.six == 0 {
			how = 0 // without a checksum is no fault over IPv4
		}
		return k.packet(header{proto: udp}, spoil(b, 6, how))
	}),
	simple("tcp-flags", "TCP flags that no stack sends: none, all, Christmas tree, SYN with FIN or RST", "no-flow", func(k *kit) []byte {
		flags := []uint8{0, fin | psh | urg, syn | fin, syn | rst, 0x3f, 0xff, fin, urg, psh | urg, syn | fin | rst | ack}
		b := segment(k.strangePort(), k.stage.TCP, flags[k.turn(len(flags))], k.mark())
		return k.packet(header{proto: tcp}, k.sealed(header{proto: tcp}, b))
	}),
	simple("port-0", "to port 0 of a VIP", "no-service", func(k *kit) []byte {
		return k.either(
			func() []byte {
				return k.packet(header{proto: tcp}, k.sealed(header{proto: tcp}, segment(k.strangePort(), 0, syn, k.mark())))
			},
			func() []byte {
				return k.packet(header{proto: udp}, k.sealed(header{proto: udp}, datagram(k.strangePort(), 0, k.mark())))
			})
	}),
	simple("nested", "a good SYN inside dozens of IP headers, the outermost to a VIP", "no-service", func(k *kit) []byte {
		b := k.packet(header{proto: tcp}, k.syn(header{}, k.strangePort()))
		for range [2]int{60, 30}[k.six] {
			b = k.packet(header{proto: [2]uint8{ipip, ipv6}[k.six]}, b)
		}
		return b
	}),
	simple("protocol", "a protocol that no virtual service has: SCTP, GRE, ESP, IGMP, unassigned ones", "no-service", func(k *kit) []byte {
		protocols := [2][]uint8{{sctp, gre, esp, igmp, ah, pim, 253, 255, ipv6}, {sctp, gre, esp, pim, 253, 255, ipip}}[k.six]
		return k.packet(header{proto: protocols[k.turn(len(protocols))]}, k.fill(40))
	}),
}

// spoil makes the checksum at an index of an L4 message wrong: by another
// value, by another payload, or by 0.
func spoil(l4 []byte, at, how int) []byte {
	switch how {
	case 0:
		l4[at] ^= 1
		if l4[at]|l4[at+1] == 0 { // 0 says something else
			l4[at] = 2
		}
	case 1:
		l4[len(l4)-1] ^= 0x40
	default:
		l4[at], l4[at+1] = 0, 0
	}
	return l4
}
