package config

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// reason is what an error of net/netip says behind the name of its function.
func reason(err error) string {
	s := err.Error()
	if i := strings.LastIndex(s, "): "); i >= 0 {
		s = s[i+len("): "):]
	}
	return s
}

// host checks that one host can have the address a.
func (c cursor) host(a netip.Addr) at[netip.Addr] {
	if why := notHost(a); why != "" {
		c.fault("%s %s", a, why)
		return unset[netip.Addr](c)
	}
	return set(c, a)
}

// notHost says why no host has the address a; "" where one can.
func notHost(a netip.Addr) string {
	switch {
	case a.Zone() != "":
		return "has a zone: name the port instead"
	case a.Is4In6():
		return "is an IPv4 address in IPv6 clothes: write " + a.Unmap().String()
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsLoopback():
		return "is a loopback address: nothing on a wire has it"
	case a.IsMulticast():
		return "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	case a.Is4() && a.As4()[0] == 0:
		return "lies in 0.0.0.0/8, which is no host's"
	case a.Is4() && a.As4()[0] >= 240:
		return "lies in 240.0.0.0/4, which is reserved and on no wire"
	}
	return ""
}

// endpoint reads address:port. Port 0, which a service and its real servers
// take for all ports, can be left out where bare is set.
func (c cursor) endpoint(bare bool) at[netip.AddrPort] {
	s, ok := c.text("address:port")
	if !ok {
		return unset[netip.AddrPort](c)
	}
	ap, err := parseEndpoint(s, bare)
	if err != nil {
		c.fault("%s is no address:port: %s", clip(s), err)
		return unset[netip.AddrPort](c)
	}
	if a := c.host(ap.Addr()); !a.ok {
		return unset[netip.AddrPort](c)
	}
	return set(c, ap)
}

func parseEndpoint(s string, bare bool) (netip.AddrPort, error) {
	alone := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		alone = s[1 : len(s)-1]
	}
	if a, err := netip.ParseAddr(alone); err == nil {
		if bare {
			return netip.AddrPortFrom(a, 0), nil
		}
		return netip.AddrPort{}, errors.New("add a port, as in " + netip.AddrPortFrom(a, 80).String() + ", or 0 for all ports")
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return netip.AddrPort{}, errors.New("it has neither a port nor the form of an address")
	}
	host, digits := s[:i], s[i+1:]
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return netip.AddrPort{}, errors.New(`an IPv6 address stands in brackets, as in "[2001:db8::1]:80"`)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return netip.AddrPort{}, errors.New("port " + clip(digits) + " is not a number from 0 to 65535")
	}
	ap, err := netip.ParseAddrPort(host + ":" + strconv.FormatUint(port, 10))
	if err != nil {
		return netip.AddrPort{}, errors.New(reason(err))
	}
	return ap, nil
}

// subnet reads an address with the length of its subnet and keeps both: weir's
// own address on a port.
func (c cursor) subnet() at[netip.Prefix] {
	s, ok := c.text("address/length")
	if !ok {
		return unset[netip.Prefix](c)
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		c.badPrefix(s, err)
		return unset[netip.Prefix](c)
	}
	if a := c.host(p.Addr()); !a.ok {
		return unset[netip.Prefix](c)
	}
	switch lone := p.Addr().BitLen() - p.Bits(); {
	case p.Bits() == 0:
		c.fault("%s: a subnet of the whole world leaves nothing to route; give its true length", p)
	case lone > 1 && p.Addr() == p.Masked().Addr():
		c.fault("%s is the address of the subnet itself: weir needs one of its hosts'", p)
	case p.Addr().Is4() && lone > 1 && p.Addr() == lastOf(p):
		c.fault("%s is the broadcast address of its subnet: weir needs one of its hosts'", p)
	default:
		return set(c, p)
	}
	return unset[netip.Prefix](c)
}

// prefix reads the destination of a route: no host bits.
func (c cursor) prefix() at[netip.Prefix] {
	s, ok := c.text("address/length")
	if !ok {
		return unset[netip.Prefix](c)
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		c.badPrefix(s, err)
	case p.Addr().Is4In6():
		c.fault("%s is an IPv4 prefix in IPv6 clothes: write it as IPv4", p)
	case p != p.Masked():
		c.fault("%s has bits behind its length: did you mean %s?", p, p.Masked())
	default:
		return set(c, p)
	}
	return unset[netip.Prefix](c)
}

func (c cursor) badPrefix(s string, err error) {
	if a, e := netip.ParseAddr(s); e == nil && a.Zone() == "" {
		c.fault("%s has no length: write it as in %s/%d", s, s, map[bool]int{true: 24, false: 64}[a.Is4()])
		return
	}
	c.fault("%s is no address/length: %s", clip(s), reason(err))
}

// lastOf is the highest address of p, of IPv4.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

// poolRange reads one address, or two with a dash between them.
func (c cursor) poolRange() at[PoolRange] {
	s, ok := c.text("an address or a range like 10.0.0.16-10.0.0.19")
	if !ok {
		return unset[PoolRange](c)
	}
	low, high, two := strings.Cut(s, "-")
	if !two {
		high = low
	}
	var r PoolRange
	for _, end := range []struct {
		text string
		to   *netip.Addr
	}{{low, &r.From}, {high, &r.To}} {
		a, err := netip.ParseAddr(strings.TrimSpace(end.text))
		if err != nil {
			c.fault("%s is no address: %s", clip(end.text), reason(err))
			return unset[PoolRange](c)
		}
		if !c.host(a).ok {
			return unset[PoolRange](c)
		}
		*end.to = a
	}
	switch {
	case r.From.Is4() != r.To.Is4():
		c.fault("%s: both ends must be IPv4 or both IPv6", clip(s))
	case r.To.Less(r.From):
		c.fault("%s runs backwards: write %s-%s", clip(s), r.To, r.From)
	default:
		return set(c, r)
	}
	return unset[PoolRange](c)
}
