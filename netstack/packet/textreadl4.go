package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// readL4 takes a word about TCP or ICMP. It is asked first: in an ICMP query
// id means the query's.
func (s *spec) readL4(r *reader, w string) (known bool, err error) {
	switch s.name {
	case "tcp":
		return s.readTCP(r, w)
	case "icmp":
		if known, err = s.readMessage(r, w); known {
			return known, err
		}
		return s.readRest(r, w)
	}
	return false, nil
}

func (s *spec) readTCP(r *reader, w string) (known bool, err error) {
	var n uint64
	switch w {
	case "seq":
		n, err = r.number(w, 0xffffffff)
		s.seq = uint32(n)
	case "ack":
		n, err = r.number(w, 0xffffffff)
		s.ack = uint32(n)
	case "win":
		n, err = r.number(w, 0xffff)
		s.window = uint16(n)
	case "-":
		s.flags = 0
	default:
		if strings.Trim(w, flagLetters) != "" {
			return false, nil
		}
		s.flags = 0
		for i, letter := range flagLetters {
			if strings.ContainsRune(w, letter) {
				s.flags |= flagBits[i]
			}
		}
	}
	return true, err
}

// readMessage takes the name of an ICMP message, or its type and code.
func (s *spec) readMessage(r *reader, w string) (known bool, err error) {
	if w == "type" || w == "code" {
		n, err := r.number(w, 255)
		if w == "type" {
			s.kind = icmpKind(n) << 8
		} else {
			s.kind = s.kind&^0xff | icmpKind(n)
		}
		s.neighbour = NDP{}
		return true, err
	}
	name := w
	if _, ok := icmpNamed(w+" "+r.peek(), s.version); ok {
		name += " " + r.next()
	}
	kind, ok := icmpNamed(name, s.version)
	switch {
	case !ok && w == "unreachable":
		return true, fmt.Errorf("unreachable: %s is none of net, host, protocol, port, admin", quoted(r.peek()))
	case !ok:
		return false, nil
	case kind == noKind:
		return true, fmt.Errorf("%q does not exist over IPv%d", name, s.version)
	}
	s.kind, s.neighbour = kind, NDP{}
	if kind>>8 == NeighbourSolicit || kind>>8 == NeighbourAdvert {
		return true, s.readNeighbour(r)
	}
	return true, nil
}

// readNeighbour takes the target of a neighbour message.
func (s *spec) readNeighbour(r *reader) error {
	w := r.next()
	target, err := netip.ParseAddr(w)
	if err != nil || !target.Is6() || target.Zone() != "" {
		return fmt.Errorf("%s is no IPv6 address to ask for or tell of", quoted(w))
	}
	s.ttl = 255
	s.neighbour = NDP{Type: uint8(s.kind >> 8), Target: target}
	return nil
}

// readRest takes a word about the rest of an ICMP message.
func (s *spec) readRest(r *reader, w string) (known bool, err error) {
	var n uint64
	query := isQuery(s.version, uint8(s.kind>>8))
	switch {
	case w == "id" && query:
		n, err = r.number(w, 0xffff)
		s.rest = s.rest&0xffff | uint32(n)<<16
	case w == "seq" && query:
		n, err = r.number(w, 0xffff)
		s.rest = s.rest&^0xffff | uint32(n)
	case w == "mtu" && s.kind.hasMTU(s.version):
		n, err = r.number(w, 0xffff)
		s.rest = uint32(n)
	case w == "rest" && !query:
		n, err = r.number(w, 0xffffffff)
		s.rest = uint32(n)
	case w == "cut":
		n, err = r.number(w, 0xffff)
		s.cut = int(n)
	case w == "(":
		return true, s.readQuote(r)
	case s.neighbour.Target.IsValid():
		return s.readFlag(r, w)
	default:
		return false, nil
	}
	return true, err
}

// readFlag takes a word about a neighbour message.
func (s *spec) readFlag(r *reader, w string) (known bool, err error) {
	switch w {
	case "router":
		s.neighbour.Router = true
	case "solicited":
		s.neighbour.Solicited = true
	case "override":
		s.neighbour.Override = true
	case "link":
		s.neighbour.Link, err = ParseMAC(r.next())
	default:
		return false, nil
	}
	return true, err
}

// readQuote takes the packet in parentheses that an ICMP error quotes.
func (s *spec) readQuote(r *reader) error {
	if !isError(s.version, uint8(s.kind>>8)) {
		return errors.New("\"(\": only ICMP errors quote a packet")
	}
	quote, err := r.read(true)
	if err != nil {
		return fmt.Errorf("in the quoted packet: %w", err)
	}
	if w := r.next(); w != ")" {
		return fmt.Errorf("%s stands where \")\" should", quoted(w))
	}
	s.quote = quote
	return nil
}

// check judges what no single word can.
func (s *spec) check(nested bool) error {
	later := s.fragOffset > 0
	switch {
	case s.name == "ip" && !s.protoSet:
		return errors.New("ip needs proto and a number")
	case s.name == "ip" && (s.proto == TCP || s.proto == UDP || s.proto == s.icmpProto()):
		return fmt.Errorf("proto: %d has a name: say tcp, udp or icmp instead of ip", s.proto)
	case s.proto != TCP && s.proto != UDP:
	case later && s.ports > 0:
		return errors.New("frag: a fragment that is not the first has no ports")
	case !later && s.ports < 2:
		return fmt.Errorf("%s needs a port on both ends, as in 10.1.0.9:4000 or [2001:db8::1]:80", s.name)
	}
	switch {
	case s.version == 6 && s.id != 0 && !s.frag:
		return errors.New("id: an IPv6 packet has one only as a fragment, with frag")
	case nested && (s.quote != nil || s.ether || s.vlans != nil || s.partial):
		return errors.New("a quoted packet has no mac, vlan, partial or gso, and no quote of its own")
	case s.vlans != nil && !s.ether || len(s.vlans) > 2:
		return errors.New("vlan: at most two, and only with mac")
	case s.length > 0 && (s.quote != nil || s.neighbour.Target.IsValid()):
		return errors.New("len: this ICMP message has a length of its own")
	}
	return nil
}

// icmpProto is the protocol number of ICMP in the packet's IP version.
func (s *spec) icmpProto() uint8 {
	if s.version == 6 {
		return ICMPv6
	}
	return ICMP
}
