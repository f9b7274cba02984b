package hostile

import (
	"bytes"
	"encoding/binary"
	"slices"
)

var sixClasses = []Class{
	only6(simple("payload-length", "an IPv6 payload length past the frame's end", "bad-total-length", func(k *kit) []byte {
		return k.packet(header{proto: tcp, length: 37 + k.i%1400}, k.syn(header{}, k.strangePort()))
	})),
	only6(simple("chain", "nine to a hundred extension headers before a good SYN", "extension-chain", func(k *kit) []byte {
		n := 9 + k.i/4%92
		b := append(bytes.Repeat(option(destOpts), n-1), option(tcp)...)
		first := []uint8{destOpts, hopByHop}[k.turn(2)]
		return k.packet(header{proto: first}, append(b, k.syn(header{}, k.strangePort())...))
	})),
	only6(simple("chain-order", "hop-by-hop options that are not first, or a second fragment header", "extension-chain", func(k *kit) []byte {
		good := k.syn(header{}, k.strangePort())
		atomic := []byte{fragment, 0, 0, 0, 0, 0, 0, 1}
		last := []byte{tcp, 0, 0, 0, 0, 0, 0, 1}
		switch k.turn(3) {
		case 0:
			return k.packet(header{proto: destOpts}, slices.Concat(option(hopByHop), option(tcp), good))
		case 1:
			return k.packet(header{proto: hopByHop}, slices.Concat(option(hopByHop), option(tcp), good))
		}
		return k.packet(header{proto: fragment}, slices.Concat(atomic, last, good))
	})),
	only6(simple("routing-0", "a routing header of type 0", "routing-header", func(k *kit) []byte {
		n := 1 + k.i%4
		b := append([]byte{tcp, byte(2 * n), 0, byte(n - k.turn(2))}, 0, 0, 0, 0)
		via := k.stage.VIP[1].As16()
		b = append(append(b, bytes.Repeat(via[:], n)...), k.syn(header{}, k.strangePort())...)
		if k.i/4%2 == 1 {
			return k.packet(header{proto: destOpts}, append(option(routing), b...))
		}
		return k.packet(header{proto: routing}, b)
	})),
	only6(simple("extension-cut", "an extension header that runs past the end, or a jumbogram, whose payload length is 0", "truncated", func(k *kit) []byte {
		good := k.syn(header{}, k.strangePort())
		long := option(tcp)
		long[1] = 255
		if k.turn(2) == 0 {
			return k.packet(header{proto: destOpts}, append(long, good...))
		}
		jumbo := []byte{tcp, 0, 0xc2, 4, 0, 1, 0, byte(k.i)}
		return k.packet(header{proto: hopByHop, noLength: true}, append(jumbo, good...))
	})),
	only6(simple("atomic", "a good packet with a fragment header though it is whole", Forwarded, func(k *kit) []byte {
		proto, good := uint8(tcp), []byte(nil)
		if k.turn(2) == 0 {
			good = k.syn(header{}, k.openPort())
		} else {
			proto, good = udp, k.ask(header{}, k.openPort())
		}
		h := binary.BigEndian.AppendUint32([]byte{proto, 0, 0, 0}, k.number)
		return k.packet(header{proto: fragment}, append(h, good...))
	})),
	only6(simple("no-l4", "no next header, or one behind a routing header that has not arrived", "no-service", func(k *kit) []byte {
		if k.turn(2) == 0 {
			return k.packet(header{proto: noNext}, k.fill(k.i%100))
		}
		home := k.stage.VIP[1].As16()
		waypoint := append([]byte{tcp, 2, 2, 1, 0, 0, 0, 0}, home[:]...)
		return k.packet(header{proto: routing}, append(waypoint, k.syn(header{}, k.strangePort())...))
	})),
}
