package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Build makes p the packet that text describes, parsed:
//
//	tcp 10.1.0.9:4000 > 192.0.2.10:80 S
//	udp [2001:db8::1]:53 > [2001:db8::2]:4000 ttl 3 len 100
//	icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400 (tcp 10.1.0.9:4000 > 192.0.2.10:80 A df len 1460)
//
// The folder's README lists the words. What is not said has a default: ttl 64,
// S for TCP, echo for ICMP, everything else 0; checksums are right. Payload
// bytes count up from 0. With mac it is an Ethernet frame, else a raw packet.
// The error is one line and names the word that is wrong; p is then undefined.
func Build(p *Packet, text string) error {
	r := newReader(text)
	s, err := r.read(false)
	if err == nil {
		err = s.build(p)
	}
	if err != nil {
		return fmt.Errorf("packet %q: %w", text, err)
	}
	return nil
}

func (s *spec) build(p *Packet) error {
	content, err := s.content()
	if err != nil {
		return err
	}
	h := header{
		version: s.version, src: AddrFrom(s.src), dst: AddrFrom(s.dst),
		proto: s.proto, ttl: s.ttl, tos: s.tos, id: uint16(s.id), options: s.options,
	}
	extra, l4 := 0, s.l4Len()
	word := s.fragOffset
	if s.version == 4 {
		h.frag = s.fragOffset>>3 | choose(s.df, flagDF) | choose(s.more, flagMF)
	} else if s.frag {
		h.proto, extra = FRAGMENT, 8
		word |= choose(s.more, 1)
	}
	if size := extra + l4 + len(content); size > 0xffff-20-len(s.options) {
		return fmt.Errorf("len: %d bytes are more than one packet holds", size)
	}
	b := p.build(&h, extra+l4+len(content))
	if extra > 0 {
		b[0] = s.proto
		binary.BigEndian.PutUint16(b[2:], word)
		binary.BigEndian.PutUint32(b[4:], s.id)
		b = b[extra:]
	}
	copy(b[l4:], content)
	s.putL4(b)
	if r := p.seal(); r != OK {
		return fmt.Errorf("no such packet can be: %s", r)
	}
	s.putSums(p)
	s.putLink(p)
	if r := p.Parse(p.Link); r != OK {
		return fmt.Errorf("no such packet can be: %s", r)
	}
	return nil
}

func choose(on bool, word uint16) uint16 {
	if on {
		return word
	}
	return 0
}

// l4Len is the length of the L4 header, in bytes: 0 where the packet has none.
func (s *spec) l4Len() int {
	switch {
	case s.fragOffset > 0 || s.name == "ip":
		return 0
	case s.proto == TCP:
		return 20
	}
	return 8
}

// content is what stands behind the L4 header.
func (s *spec) content() ([]byte, error) {
	if s.neighbour.Target.IsValid() {
		return make([]byte, s.neighbour.size()-8), nil
	}
	if s.quote != nil {
		var q Packet
		if err := s.quote.build(&q); err != nil {
			return nil, fmt.Errorf("in the quoted packet: %w", err)
		}
		b := q.Bytes()
		if s.cut > len(b) {
			return nil, fmt.Errorf("cut: the quoted packet has only %d bytes", len(b))
		}
		if s.cut >= 0 {
			b = b[:s.cut]
		}
		return b, nil
	}
	if s.cut >= 0 {
		return nil, errors.New("cut: there is no quoted packet to cut")
	}
	b := make([]byte, s.length)
	for i := range b {
		b[i] = byte(i)
	}
	return b, nil
}

// putL4 fills in the L4 header at the start of b.
func (s *spec) putL4(b []byte) {
	if s.l4Len() == 0 {
		return
	}
	switch s.proto {
	case TCP, UDP:
		binary.BigEndian.PutUint16(b, s.srcPort)
		binary.BigEndian.PutUint16(b[2:], s.dstPort)
		if s.proto == UDP {
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
			return
		}
		binary.BigEndian.PutUint32(b[4:], s.seq)
		binary.BigEndian.PutUint32(b[8:], s.ack)
		b[12], b[13] = 5<<4, s.flags
		binary.BigEndian.PutUint16(b[14:], s.window)
	default:
		if s.neighbour.Target.IsValid() {
			s.neighbour.put(b)
			return
		}
		b[0], b[1] = byte(s.kind>>8), byte(s.kind)
		binary.BigEndian.PutUint32(b[4:], s.rest)
	}
}

// putSums makes the right L4 checksum of the parsed p what s wants instead.
func (s *spec) putSums(p *Packet) {
	if p.l4sum == 0 {
		return
	}
	field := p.Store[p.l4sum : p.l4sum+2]
	if s.partial {
		p.Offload = Offload{NeedsCsum: true, CsumStart: uint16(p.L4), CsumOffset: uint16(p.l4sum - p.L4), GSOSize: s.gso}
		switch {
		case s.gso == 0:
		case s.proto == UDP:
			p.Offload.GSO = GSOUDP
		case s.version == 4:
			p.Offload.GSO = GSOTCP4
		default:
			p.Offload.GSO = GSOTCP6
		}
		binary.BigEndian.PutUint16(field, fold(p.pseudo(p.Proto, p.L3End-p.L4)))
	}
	if s.badsum {
		// One more is another number in this arithmetic, and never 0.
		binary.BigEndian.PutUint16(field, add16(binary.BigEndian.Uint16(field), 1))
	}
	if s.nosum {
		field[0], field[1] = 0, 0
	}
}

// putLink puts the Ethernet header and its tags in front.
func (s *spec) putLink(p *Packet) {
	if !s.ether {
		return
	}
	etherType := p.EtherType
	p.Start = p.L3 - 14 - 4*len(s.vlans)
	p.Link = LinkEthernet
	b := p.Store[p.Start:p.L3]
	copy(b, s.dstMAC[:])
	copy(b[6:], s.srcMAC[:])
	b = b[12:]
	for _, tag := range s.vlans {
		binary.BigEndian.PutUint16(b, EtherVLAN)
		binary.BigEndian.PutUint16(b[2:], tag)
		b = b[4:]
	}
	binary.BigEndian.PutUint16(b, etherType)
}
