package packet

import "encoding/binary"

// SetHop makes the frame one that leaves through h: new MACs, tags kept, on the
// same kind of link; else the Ethernet header goes or comes, in the headroom.
// Padding behind the IP packet is cut off. Frames that carry no IP change only
// their MACs: no other link could carry them.
func (p *Packet) SetHop(h *Hop) {
	if p.Version != 0 {
		p.End = p.L3End
		switch {
		case h.Link == LinkRaw && p.Link == LinkEthernet:
			p.Start, p.Link, p.VLAN = p.L3, LinkRaw, false
		case h.Link == LinkEthernet && p.Link == LinkRaw:
			p.reserve(14)
			p.Start, p.Link = p.L3-14, LinkEthernet
			binary.BigEndian.PutUint16(p.Store[p.L3-2:], p.EtherType)
		}
	}
	if p.hasMACs() {
		b := p.Store[p.Start : p.Start+12]
		copy(b, h.Dst[:])
		copy(b[6:], h.Src[:])
	}
}

// reserve sees to n bytes in front of L3. A frame read by a device has them;
// only a hand-made one without headroom is moved to new storage.
func (p *Packet) reserve(n int) {
	if p.L3 >= n {
		return
	}
	store := make([]byte, Headroom+len(p.Store))
	copy(store[Headroom:], p.Store)
	p.Store = store
	for _, offset := range []*int{&p.Start, &p.End, &p.L3, &p.L4, &p.Payload, &p.L3End} {
		*offset += Headroom
	}
	if p.l4sum != 0 {
		p.l4sum += Headroom
	}
	if p.Offload.NeedsCsum {
		p.Offload.CsumStart += Headroom
	}
}

// SetMACs replaces the Ethernet addresses, if the frame has any.
func (p *Packet) SetMACs(src, dst MAC) {
	if p.hasMACs() {
		copy(p.Store[p.Start:], dst[:])
		copy(p.Store[p.Start+6:], src[:])
	}
}
