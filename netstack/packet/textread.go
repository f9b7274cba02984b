package packet

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// spec is a line of the text form, understood.
type spec struct {
	name           string // the first word
	version, proto uint8
	src, dst       netip.Addr
	srcPort        uint16
	dstPort        uint16
	ports          int // how many of the two ends have one
	protoSet       bool

	ttl, tos      uint8
	id            uint32
	df            bool
	frag, more    bool
	fragOffset    uint16
	options       []byte
	length        int
	partial       bool
	gso           uint16
	badsum, nosum bool

	flags    uint8
	seq, ack uint32
	window   uint16

	kind      icmpKind
	rest      uint32
	neighbour NDP
	quote     *spec
	cut       int // bytes that are left of the quote, -1: all

	ether          bool
	srcMAC, dstMAC MAC
	vlans          []uint16
}

// reader hands out the words of a line.
type reader struct{ words []string }

// newReader splits text at blanks; parentheses are words of their own.
func newReader(text string) *reader {
	text = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text)
	return &reader{strings.Fields(text)}
}

// peek is the next word, empty at the end.
func (r *reader) peek() string {
	if len(r.words) == 0 {
		return ""
	}
	return r.words[0]
}

// next takes the next word, empty at the end.
func (r *reader) next() string {
	w := r.peek()
	if len(r.words) > 0 {
		r.words = r.words[1:]
	}
	return w
}

// number takes the argument of word, a number that is at most limit.
func (r *reader) number(word string, limit uint64) (uint64, error) {
	w := r.next()
	n, err := strconv.ParseUint(w, 0, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%s: %s is no number from 0 to %d", word, quoted(w), limit)
	}
	return n, nil
}

// quoted shows a word in an error.
func quoted(w string) string {
	if w == "" {
		return "the end of the line"
	}
	return strconv.Quote(w)
}

// read takes a packet up to the end of the line or, nested, of its parenthesis.
func (r *reader) read(nested bool) (*spec, error) {
	s := &spec{ttl: textTTL, window: textWindow, flags: SYN, cut: -1}
	if err := s.readEnds(r); err != nil {
		return nil, err
	}
	for r.peek() != "" && !(nested && r.peek() == ")") {
		w := r.next()
		known := false
		for _, read := range []func(*spec, *reader, string) (bool, error){
			(*spec).readL4, (*spec).readIP, (*spec).readSums, (*spec).readLink,
		} {
			var err error
			if known, err = read(s, r, w); err != nil {
				return nil, err
			}
			if known {
				break
			}
		}
		if !known {
			return nil, fmt.Errorf("%q is no word for %s over IPv%d", w, s.name, s.version)
		}
	}
	return s, s.check(nested)
}

// readEnds takes the protocol and both ends.
func (s *spec) readEnds(r *reader) error {
	s.name = r.next()
	switch s.name {
	case "tcp":
		s.proto = TCP
	case "udp":
		s.proto = UDP
	case "icmp", "icmp6", "ip":
	default:
		return fmt.Errorf("%s is no protocol: say tcp, udp, icmp or ip", quoted(s.name))
	}
	if err := s.readEnd(r.next(), &s.src, &s.srcPort); err != nil {
		return err
	}
	if w := r.next(); w != ">" {
		return fmt.Errorf("%s stands where \">\" should, between source and destination", quoted(w))
	}
	if err := s.readEnd(r.next(), &s.dst, &s.dstPort); err != nil {
		return err
	}
	s.version = 4
	if s.src.Is6() {
		s.version = 6
	}
	if s.src.Is4() != s.dst.Is4() {
		return fmt.Errorf("%s and %s are not of one IP version", s.src, s.dst)
	}
	if s.name == "icmp6" && s.version == 4 {
		return fmt.Errorf("icmp6 needs IPv6 addresses, not %s", s.src)
	}
	if s.name == "icmp" || s.name == "icmp6" {
		s.name, s.proto = "icmp", s.icmpProto()
		s.kind, _ = icmpNamed("echo", s.version) // unless the line says another
	}
	return nil
}

// readEnd takes an address, or address:port.
func (s *spec) readEnd(w string, a *netip.Addr, port *uint16) error {
	bare := strings.TrimSuffix(strings.TrimPrefix(w, "["), "]")
	if one, err := netip.ParseAddr(bare); err == nil && one.Zone() == "" {
		*a = one
		return nil
	}
	both, err := netip.ParseAddrPort(w)
	switch {
	case err != nil || both.Addr().Zone() != "":
		return fmt.Errorf("%s is no IP address with or without a port", quoted(w))
	case s.proto != TCP && s.proto != UDP:
		return fmt.Errorf("%q has a port, but %s has none", w, s.name)
	}
	*a, *port = both.Addr(), both.Port()
	s.ports++
	return nil
}

// readIP takes a word about the IP header or the length.
func (s *spec) readIP(r *reader, w string) (known bool, err error) {
	var n uint64
	switch w {
	case "ttl":
		n, err = r.number(w, 255)
		s.ttl = uint8(n)
	case "tos":
		n, err = r.number(w, 255)
		s.tos = uint8(n)
	case "id", "ipid":
		limit := uint64(0xffff)
		if s.version == 6 {
			limit = 0xffffffff
		}
		n, err = r.number(w, limit)
		s.id = uint32(n)
	case "df":
		if s.version == 6 {
			return false, nil
		}
		s.df = true
	case "frag":
		err = s.readFrag(r.next())
	case "len":
		n, err = r.number(w, 0xffff)
		s.length = int(n)
	case "proto":
		if s.name != "ip" {
			return false, nil
		}
		n, err = r.number(w, 255)
		s.proto, s.protoSet = uint8(n), true
	case "options":
		if s.version == 6 {
			return false, nil
		}
		w := r.next()
		s.options, err = hex.DecodeString(w)
		if err != nil || len(s.options)%4 != 0 || len(s.options) > 40 {
			err = fmt.Errorf("options: %s is not hexadecimal for 4, 8, ... 40 bytes", quoted(w))
		}
	default:
		return false, nil
	}
	return true, err
}

// readFrag takes a fragment's offset, with a plus sign if more follow.
func (s *spec) readFrag(w string) error {
	digits, more := strings.CutSuffix(w, "+")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n%8 != 0 {
		return fmt.Errorf("frag: %s is no multiple of 8 below 65536, with + if more follow", quoted(w))
	}
	s.frag, s.more, s.fragOffset = true, more, uint16(n)
	return nil
}

// readSums takes a word about checksums and offloads.
func (s *spec) readSums(r *reader, w string) (known bool, err error) {
	switch w {
	case "badsum":
		s.badsum = true
	case "nosum":
		if s.proto != UDP {
			return false, nil
		}
		s.nosum = true
	case "partial":
		s.partial = true
	case "gso":
		var n uint64
		n, err = r.number(w, 0xffff)
		s.partial, s.gso = true, uint16(n)
		if err == nil && n == 0 {
			err = errors.New("gso: a segment cannot have 0 bytes")
		}
	default:
		return false, nil
	}
	return true, err
}

// readLink takes a word about the Ethernet header.
func (s *spec) readLink(r *reader, w string) (known bool, err error) {
	switch w {
	case "mac":
		w := r.next()
		src, dst, _ := strings.Cut(w, ">")
		a, err1 := ParseMAC(src)
		b, err2 := ParseMAC(dst)
		if err1 != nil || err2 != nil {
			return true, fmt.Errorf("mac: %s is not of the form aa:aa:aa:aa:aa:aa>bb:bb:bb:bb:bb:bb", quoted(w))
		}
		s.ether, s.srcMAC, s.dstMAC = true, a, b
	case "vlan":
		n, err := r.number(w, 4095)
		if err != nil {
			return true, err
		}
		s.vlans = append(s.vlans, uint16(n))
	default:
		return false, nil
	}
	return true, nil
}
