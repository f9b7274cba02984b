package hostile

import "net/netip"

// martians are sources that can be on no wire.
var martians = [2][]netip.Addr{
	addresses("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "255.255.255.254"),
	addresses("::", "::1", "::ffff:10.1.0.9", "::10.1.0.9", "ff02::1", "ff0e::1", "ff01::1"),
}

func addresses(text ...string) (list []netip.Addr) {
	for _, s := range text {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

var addressClasses = []Class{
	simple("land", "from the VIP and port that it goes to", "land", func(k *kit) []byte {
		return k.from(k.stage.VIP[k.six], k.stage.TCP, k.stage.UDP)
	}),
	simple("martian", "from loopback, this network, a group, broadcast, class E, ::, ::1 or an IPv4 address in IPv6", "martian", func(k *kit) []byte {
		list := martians[k.six]
		return k.from(list[k.i/4%len(list)], k.strangePort(), k.strangePort())
	}),
	simple("own-address", "from an address of weir's own", "spoofed-source", func(k *kit) []byte {
		list := k.stage.Own[k.six]
		return k.from(list[k.i/4%len(list)], k.strangePort(), k.strangePort())
	}),
}

// from is a SYN or a datagram, in turn, to the VIP from a source and its ports.
func (k *kit) from(src netip.Addr, tcpPort, udpPort uint16) []byte {
	return k.either(
		func() []byte {
			h := header{src: src, proto: tcp}
			return k.packet(h, k.syn(h, tcpPort))
		},
		func() []byte {
			h := header{src: src, proto: udp}
			return k.packet(h, k.ask(h, udpPort))
		})
}
