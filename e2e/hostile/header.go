package hostile

var headerClasses = []Class{
	only4(simple("ihl", "an IPv4 header shorter than 20 bytes or longer than the packet", "bad-header-length", func(k *kit) []byte {
		return k.packet(header{proto: tcp, ihl: []int{-1, 1, 2, 3, 4, 15}[k.turn(6)]}, k.syn(header{}, k.strangePort()))
	})),
	only4(simple("total-length", "an IPv4 total length past the frame's end or below the header's", "bad-total-length", func(k *kit) []byte {
		h := header{proto: tcp}
		if k.turn(2) == 0 {
			h.length = 57 + k.i%1000
		} else {
			h.length = k.i / 4 % 20
			h.noLength = h.length == 0
		}
		return k.packet(h, k.syn(header{}, k.strangePort()))
	})),
	simple("version", "an IP version that is not the EtherType's", "bad-version", func(k *kit) []byte {
		h := header{proto: tcp, version: [2][]int{{6, 5, 7, 1, 15}, {4, 5, 7, 1, 15}}[k.six][k.turn(5)]}
		return k.packet(h, k.syn(header{}, k.strangePort()))
	}),
	only4(simple("ip-checksum", "a wrong IPv4 header checksum", "bad-ip-checksum", func(k *kit) []byte {
		h := header{proto: tcp, badSum: true, options: [][]byte{nil, {1, 1, 1, 0}}[k.turn(2)]}
		return k.packet(h, k.syn(header{}, k.strangePort()))
	})),
	only4(simple("source-route", "a loose or strict source route", "source-route", func(k *kit) []byte {
		kind := []byte{131, 137}[k.turn(2)]
		dst := k.stage.VIP[0].As4()
		options := append([]byte{kind, 7, 4}, dst[:]...)
		if k.i/4%2 == 1 {
			options = append([]byte{1}, options...)
		}
		return k.packet(header{proto: tcp, options: options}, k.syn(header{}, k.strangePort()))
	})),
	only4(simple("bad-option", "an IPv4 option of no length or that runs past the header", "bad-option", func(k *kit) []byte {
		options := [][]byte{{7, 0, 4, 0}, {7, 1, 4, 0}, {68, 40, 5, 0}, {1, 1, 1, 7}, {148, 5, 0, 0}, {1, 1, 130, 255}}
		return k.packet(header{proto: tcp, options: options[k.turn(len(options))]}, k.syn(header{}, k.strangePort()))
	})),
	only4(simple("options", "options that are kept: record route, timestamp, router alert, security, stream, padding", Forwarded, func(k *kit) []byte {
		options := [][]byte{
			{7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0}, {68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {148, 4, 0, 0},
			{130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {136, 4, 0, 1}, {1, 1, 1, 0},
		}
		h := header{options: options[k.turn(len(options))]}
		return k.either(
			func() []byte { h.proto = tcp; return k.packet(h, k.syn(header{}, k.openPort())) },
			func() []byte { h.proto = udp; return k.packet(h, k.ask(header{}, k.openPort())) })
	})),
}
