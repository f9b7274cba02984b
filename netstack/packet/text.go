package packet

import (
	"encoding/hex"
	"net/netip"
	"strconv"
)

// What the text form does not say has these values.
const (
	textTTL    = 64
	textWindow = 65535
)

// flagLetters are the TCP flags in the order they are written, and the bits
// they stand for.
const flagLetters = "FSRPAUEC"

var flagBits = [...]uint8{FIN, SYN, RST, PSH, ACK, URG, ECE, CWR}

// String is the packet in the text form that Build reads, link header included:
// see Text.
func (p *Packet) String() string { return p.Text(true) }

// Text is the parsed packet as one line in the form that Build reads, saying
// only what differs from Build's defaults; with link also the MACs and tags. A
// wrong L4 checksum shows as badsum, so two lines that are equal stand for
// checksums that are equally right. What the form has no word for is left out:
// payload bytes, TCP options, IPv6 extension headers, flow labels.
func (p *Packet) Text(link bool) string {
	return string(p.AppendText(make([]byte, 0, 128), link))
}

// AppendText appends Text to b.
func (p *Packet) AppendText(b []byte, link bool) []byte {
	if p.Version == 0 {
		b = p.textForeign(b)
	} else {
		b = p.textIP(b, false)
	}
	if link && p.hasMACs() {
		b = append(append(b, " mac "...), p.SrcMAC().String()...)
		b = append(append(b, '>'), p.DstMAC().String()...)
		for at := p.Start + 14; p.VLAN && at <= p.L3-4; at += 4 {
			tag := int(p.Store[at]&15)<<8 | int(p.Store[at+1])
			b = textNumber(b, "vlan", tag)
		}
	}
	if len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// textForeign writes a frame that carries no IP, or whose IP could not be read.
func (p *Packet) textForeign(b []byte) []byte {
	if a, ok := p.ARP(); ok {
		if a.Op == ARPRequest {
			b = append(a.Target.AppendTo(append(b, "arp who-has "...)), " tell "...)
			return a.Sender.AppendTo(b)
		}
		b = append(a.Sender.AppendTo(append(b, "arp "...)), " is-at "...)
		return append(b, a.SenderMAC.String()...)
	}
	b = append(b, "ether 0x"...)
	b = strconv.AppendUint(b, uint64(p.EtherType), 16)
	return textNumber(b, "len", p.End-p.L3)
}

func (p *Packet) textIP(b []byte, quoted bool) []byte {
	name := p.textName()
	b = append(append(b, name...), ' ')
	b = p.textEnd(b, p.Src(), p.SrcPort)
	b = append(b, " > "...)
	b = p.textEnd(b, p.Dst(), p.DstPort)
	switch {
	case name == "ip":
		b = textNumber(b, "proto", int(p.Proto))
	case !p.HasL4:
	case name == "tcp":
		b = p.textTCP(b)
	case name == "icmp":
		b = p.textICMP(b)
	}
	b = p.textHeader(b, name)
	b = p.textSums(b)
	return p.textContent(b, quoted)
}

// textName is the first word. A later fragment has its protocol's name, but a
// packet whose L4 is out of reach has not.
func (p *Packet) textName() string {
	if p.HasL4 || p.FragOffset != 0 {
		switch {
		case p.Proto == TCP:
			return "tcp"
		case p.Proto == UDP:
			return "udp"
		case p.Proto == ICMP && p.Version == 4, p.Proto == ICMPv6 && p.Version == 6:
			return "icmp"
		}
	}
	return "ip"
}

// textEnd writes one end of the packet, with its port where there are ports.
func (p *Packet) textEnd(b []byte, a netip.Addr, port uint16) []byte {
	if p.HasL4 && (p.Proto == TCP || p.Proto == UDP) {
		return netip.AddrPortFrom(a, port).AppendTo(b)
	}
	return a.AppendTo(b)
}

func (p *Packet) textTCP(b []byte) []byte {
	h := p.tcp()
	if h == nil { // a quote too short to have flags
		if p.Seq() != 0 {
			b = textNumber(b, "seq", p.Seq())
		}
		return b
	}
	b = append(b, ' ')
	if p.Flags == 0 {
		b = append(b, '-')
	}
	for i, bit := range flagBits {
		if p.Flags&bit != 0 {
			b = append(b, flagLetters[i])
		}
	}
	if p.Seq() != 0 {
		b = textNumber(b, "seq", p.Seq())
	}
	if p.Ack() != 0 {
		b = textNumber(b, "ack", p.Ack())
	}
	if p.Window() != textWindow {
		b = textNumber(b, "win", int(p.Window()))
	}
	return b
}

// textHeader writes what the IP header says beside addresses and protocol.
func (p *Packet) textHeader(b []byte, name string) []byte {
	if _, ok := p.NDP(); p.TTL() != textTTL && !ok {
		b = textNumber(b, "ttl", int(p.TTL()))
	}
	if p.TOS() != 0 {
		b = append(b, " tos 0x"...)
		b = strconv.AppendUint(b, uint64(p.TOS()), 16)
	}
	id := uint32(p.IPID())
	if p.Frag {
		id = p.FragID
	}
	if id != 0 {
		word := "id"
		if name == "icmp" {
			word = "ipid" // id is the echo's
		}
		b = textNumber(b, word, id)
	}
	if p.Version == 4 && p.DF() {
		b = append(b, " df"...)
	}
	if p.Frag {
		b = textNumber(b, "frag", int(p.FragOffset))
		if p.MoreFrags {
			b = append(b, '+')
		}
	}
	if p.Version == 4 && p.ipHeaderLen() > 20 {
		b = append(b, " options "...)
		b = hex.AppendEncode(b, p.Store[p.L3+20:p.L3+p.ipHeaderLen()])
	}
	return b
}

// textSums writes what is to be said about the L4 checksum and its offload.
func (p *Packet) textSums(b []byte) []byte {
	o := &p.Offload
	if o.NeedsCsum {
		if o.GSO != GSONone {
			b = textNumber(b, "gso", int(o.GSOSize))
		} else {
			b = append(b, " partial"...)
		}
	}
	switch p.sumState() {
	case sumWrong:
		b = append(b, " badsum"...)
	case sumNone:
		b = append(b, " nosum"...)
	}
	return b
}

// The states of an L4 checksum as the text form tells them.
type sumState uint8

const (
	sumRight sumState = iota // or not to be known: a fragment, part of a quote
	sumWrong
	sumNone // UDP's 0
)

func (p *Packet) sumState() sumState {
	if p.l4sum == 0 {
		return sumRight
	}
	field := uint16(p.Store[p.l4sum])<<8 | uint16(p.Store[p.l4sum+1])
	length := p.L3End - p.L4
	if p.Proto == UDP && field == 0 {
		return sumNone
	}
	if p.Frag || p.claimed() > p.IPLen() {
		return sumRight
	}
	var acc uint64
	if p.Proto != ICMP {
		acc = p.pseudo(p.Proto, length)
	}
	if p.Offload.NeedsCsum {
		if fold(acc) != field {
			return sumWrong
		}
		return sumRight
	}
	if p.Proto == UDP { // the sum may end before the IP packet does
		length = min(length, int(p.Store[p.L4+4])<<8|int(p.Store[p.L4+5]))
		acc = p.pseudo(p.Proto, length)
	}
	if fold(sum(p.Store[p.L4:p.L4+length], acc)) != 0xffff {
		return sumWrong
	}
	return sumRight
}

// claimed is the length that the IP header gives the packet, in bytes: more
// than IPLen in a quote that was cut.
func (p *Packet) claimed() int {
	h := p.Store[p.L3 : p.L3+20]
	if p.Version == 4 {
		return int(h[2])<<8 | int(h[3])
	}
	return 40 + (int(h[4])<<8 | int(h[5]))
}

// textContent writes the quote of an ICMP error, else the payload's length. A
// quote's own quote is not opened.
func (p *Packet) textContent(b []byte, quoted bool) []byte {
	var q Packet
	if !quoted && p.Quote(&q) == OK {
		if cut := q.IPLen(); cut < q.claimed() {
			b = textNumber(b, "cut", cut)
		}
		b = q.textIP(append(b, " ("...), true)
		return append(b, ')')
	}
	if _, ok := p.NDP(); ok {
		return b
	}
	payload := p.Payload
	if p.Proto == TCP && p.HasL4 && p.tcp() == nil {
		payload = p.L4 + 20 // cut before it could say so
	}
	if n := max(p.L3+p.claimed(), p.L3End) - payload; n > 0 {
		b = textNumber(b, "len", n)
	}
	return b
}

func textNumber[N int | uint32](b []byte, word string, n N) []byte {
	b = append(append(append(b, ' '), word...), ' ')
	return strconv.AppendUint(b, uint64(n), 10)
}
