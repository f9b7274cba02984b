package hostile

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// kind is an ICMP error.
type kind struct {
	kind, code uint8
	mtu        bool // its rest is an MTU
}

var errorKinds = [2][]kind{
	{{3, 0, false}, {3, 1, false}, {3, 3, false}, {3, 4, true}, {3, 13, false}, {4, 0, false}, {11, 0, false}, {11, 1, false}, {12, 0, false}},
	{{1, 0, false}, {1, 3, false}, {1, 4, false}, {2, 0, true}, {3, 0, false}, {3, 1, false}, {4, 0, false}, {100, 0, false}},
}

// fault is an ICMP error to the VIP about a quote; MTUs are below the least.
func (k *kit) fault(quote []byte) []byte {
	list := errorKinds[k.six]
	e := list[k.turn(len(list))]
	rest := uint32(0)
	if e.mtu {
		rest = uint32(k.i % 576)
	}
	return k.packet(header{proto: k.icmpProto()}, k.message(header{}, e.kind, e.code, rest, quote))
}

// reply is the packet that an error quotes: what a service sent to a port of
// the attacker's.
func (k *kit) reply(src netip.Addr, port uint16) []byte {
	h := header{src: src, dst: k.stage.Src[k.six], proto: tcp}
	return k.packet(h, k.sealed(h, segment(k.stage.TCP, port, syn|ack, k.mark())))
}

// redirect says that an address is better reached by way of the attacker.
func (k *kit) redirect(h header, code uint8, about netip.Addr, quote []byte) []byte {
	if k.six == 0 {
		return k.packet(h, k.message(h, 5, code, binary.BigEndian.Uint32(k.stage.Src[0].AsSlice()), quote))
	}
	return k.packet(h, k.message(h, 137, 0, 0, slices.Concat(k.stage.Src[1].AsSlice(), about.AsSlice(), quote)))
}

// Redirect is a frame that tells a VIP to reach a client of its TCP service by
// way of the attacker.
func (s Stage) Redirect(client netip.AddrPort) []byte {
	k := &kit{Generator: NewGenerator(s)}
	if client.Addr().Is6() {
		k.six = 1
	}
	said := header{src: s.VIP[k.six], dst: client.Addr(), proto: tcp}
	quote := k.packet(said, k.sealed(said, segment(s.TCP, client.Port(), ack, nil)))
	k.ip("icmp-redirect", k.redirect(header{proto: k.icmpProto(), ttl: 255}, 1, client.Addr(), quote))
	return k.frames[0].Data
}

var icmpClasses = []Class{
	simple("icmp-quote", "an ICMP error whose quote is missing, cut short, no packet, or one that others sent", "icmp-bad-quote", func(k *kit) []byte {
		q := k.reply(k.stage.VIP[k.six], k.strangePort())
		size := 20 + 20*k.six
		spoil := []func(){
			func() { q = nil },
			func() { q = q[:4] },
			func() { q = q[:size-1] },
			func() { q = q[:size] },
			func() { q = q[:size+7] },
			func() { q[0] = 0x5f },
			func() { q = k.reply(netip.MustParseAddr([]string{"10.9.9.9", "fd00:9::9"}[k.six]), k.strangePort()) },
			func() { q = k.fill(64) },
		}
		spoil[k.rng.IntN(len(spoil))]() // by lot, so that each meets each kind of error
		return k.fault(q)
	}),
	simple("icmp-no-flow", "an ICMP error about a flow that is not there, with path MTUs of 0 to 575", "icmp-no-flow", func(k *kit) []byte {
		q := k.reply(k.stage.VIP[k.six], k.strangePort())
		return k.fault(q[:28+20*k.six+k.i%12])
	}),
	simple("redirect", "an ICMP redirect to a VIP or to weir", "icmp-redirect", func(k *kit) []byte {
		h := header{proto: k.icmpProto(), dst: k.stage.VIP[k.six], ttl: 255}
		if k.turn(2) == 1 {
			h.dst = k.stage.Own[k.six][0]
		}
		about := k.stage.Own[k.six][len(k.stage.Own[k.six])-1]
		return k.redirect(h, uint8(k.i/4%4), about, k.reply(h.dst, k.strangePort()))
	}),
	simple("icmp-type", "ICMP to a VIP that is neither echo nor an error: timestamps, masks, routers, groups, unknown types", "unknown-icmp", func(k *kit) []byte {
		types := [2][]uint8{{0, 1, 9, 10, 13, 14, 15, 17, 18, 30, 42, 253}, {129, 130, 131, 132, 138, 139, 140, 143, 200, 255}}[k.six]
		return k.packet(header{proto: k.icmpProto()}, k.message(header{}, types[k.turn(len(types))], 0, 7, k.mark()))
	}),
}
