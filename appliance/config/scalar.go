package config

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"weir/netstack/packet"
)

// text is a value written as one word, quoted or not. A plain number is a word
// too (a service may be called 10), but true and null are none.
func (c cursor) text(want string) (string, bool) {
	if !c.written() {
		return "", false
	}
	switch c.node.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode:
		return c.node.GetToken().Value, true
	}
	c.wrong(want)
	return "", false
}

// set makes a value of c's place.
func set[T any](c cursor, v T) at[T] { return at[T]{c.place, v, true, true} }

// unset is c's place without a value.
func unset[T any](c cursor) at[T] { return at[T]{place: c.place, given: c.written()} }

// choose reads one word of a table.
func choose[T number](c cursor, choices []choice[T]) at[T] {
	words := available(c.d, c.place, choices)
	got, ok := c.text("one of " + strings.Join(words, ", "))
	if !ok {
		return unset[T](c)
	}
	var all []string
	for _, ch := range choices {
		if ch.word != got {
			all = append(all, ch.word)
			continue
		}
		if c.d.missing[gap{c.pattern, got}] {
			c.fault("%s is not available in this version; available: %s", got, strings.Join(words, ", "))
		}
		return set(c, ch.value)
	}
	c.fault("unknown word %s: %s", clip(got), advise(got, all))
	return unset[T](c)
}

// integer reads a whole number in decimal digits.
func (c cursor) integer(low, high int) at[int] {
	if !c.written() {
		return unset[int](c)
	}
	digits := c.node.GetToken().Value
	n, err := strconv.Atoi(digits)
	_, scalar := c.node.(ast.ScalarNode)
	quoted := c.node.GetToken().Indicator == token.QuotedScalarIndicator
	switch {
	case scalar && quoted && err == nil:
		c.fault("%s is a text: remove the quotes", typeName(c.node))
		return unset[int](c)
	case !scalar || err != nil || strings.HasPrefix(digits, "+"):
		c.fault("wants a whole number from %d to %d, got %s", low, high, typeName(c.node))
		return unset[int](c)
	}
	if len(digits) > 1 && digits[0] == '0' {
		c.fault("number %s begins with 0: it would be octal for some readers and decimal for others", digits)
		return unset[int](c)
	}
	if n < low || n > high {
		c.fault("%d is out of range: %d to %d", n, low, high)
		return unset[int](c)
	}
	return set(c, n)
}

// portRange reads one port, or two with a dash between them.
func (c cursor) portRange() at[PortRange] {
	const want = "a range of ports like 1024-65535"
	s, ok := c.text(want)
	if !ok {
		return unset[PortRange](c)
	}
	low, high, two := strings.Cut(s, "-")
	if !two {
		high = low
	}
	first, err1 := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(high, 10, 16)
	switch {
	case err1 != nil || err2 != nil || first == 0 || last == 0:
		c.fault("wants %s, of 1 to 65535, got %s", want, clip(s))
	case first > last:
		c.fault("%s runs backwards: write %d-%d", s, last, first)
	default:
		return set(c, PortRange{uint16(first), uint16(last)})
	}
	return unset[PortRange](c)
}

// boolean reads true or false.
func (c cursor) boolean() at[bool] {
	if !c.written() {
		return unset[bool](c)
	}
	b, ok := c.node.(*ast.BoolNode)
	if !ok {
		c.wrong("true or false")
		return unset[bool](c)
	}
	return set(c, b.Value)
}

// duration reads a number with its unit, as in 5m, 1m30s or 200ms.
func (c cursor) duration(low, high time.Duration) at[time.Duration] {
	const want = "a duration like 30s, 5m or 200ms"
	s, ok := c.text(want)
	if !ok {
		return unset[time.Duration](c)
	}
	if _, err := strconv.Atoi(s); err == nil {
		c.fault("%s has no unit: write %ss for seconds", s, s)
		return unset[time.Duration](c)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		c.fault("wants %s, got %s", want, clip(s))
		return unset[time.Duration](c)
	}
	if v < low || v > high {
		c.fault("%s is out of range: %s to %s", span(v), span(low), span(high))
		return unset[time.Duration](c)
	}
	return set(c, v)
}

// span prints a duration without the zero minutes and seconds at its end.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// nameSigns may stand in a name beside letters and digits. Names are words of
// commands, labels of metrics and values of cookies.
const nameSigns = "._-"

// name reads the name of a port, a service or, with more signs, a real server.
func (c cursor) name(signs string) at[string] {
	const longest = 64
	s, ok := c.text("a name")
	if !ok {
		return unset[string](c)
	}
	if s == "" || len(s) > longest || !only(s, signs) {
		c.fault("%s is no name: 1 to %d letters, digits and %s", clip(s), longest, strings.Join(strings.Split(signs, ""), " "))
		return unset[string](c)
	}
	return set(c, s)
}

// device reads the name of a network interface. The kernel cuts longer ones
// silently, and refuses or expands some signs.
func (c cursor) device() at[string] {
	const longest = 15
	s, ok := c.text("the name of a device")
	switch {
	case !ok:
		return unset[string](c)
	case len(s) > longest:
		c.fault("device name %s has %d characters: the kernel takes %d at most", clip(s), len(s), longest)
		return unset[string](c)
	case s == "" || s == "." || s == ".." || !only(s, nameSigns):
		c.fault("%s is no device name: 1 to %d letters, digits, dots, dashes and underscores", clip(s), longest)
		return unset[string](c)
	}
	return set(c, s)
}

// only reports whether s holds ASCII letters, digits and the signs alone.
func only(s, signs string) bool {
	for _, r := range s {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (r < '0' || r > '9') && !strings.ContainsRune(signs, r) {
			return false
		}
	}
	return true
}

// mac reads the hardware address of one station.
func (c cursor) mac() at[packet.MAC] {
	const want = "a MAC address like 02:00:00:00:00:01"
	s, ok := c.text(want)
	if !ok {
		return unset[packet.MAC](c)
	}
	m, err := packet.ParseMAC(s)
	switch {
	case err != nil:
		c.fault("wants %s, got %s", want, clip(s))
	case m.IsMulticast():
		c.fault("%s is a group address: the first byte of a station's is even", s)
	case m.IsZero():
		c.fault("%s is the address of no station", s)
	default:
		return set(c, m)
	}
	return unset[packet.MAC](c)
}

// addr reads an address that one host can have.
func (c cursor) addr() at[netip.Addr] {
	s, ok := c.text("an address")
	if !ok {
		return unset[netip.Addr](c)
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		c.fault("%s is no address: %s", clip(s), reason(err))
		return unset[netip.Addr](c)
	}
	return c.host(a)
}

// isText reports whether the value is one word: the short form of something
// that has a long one.
func (c cursor) isText() bool {
	_, ok := c.node.(ast.ScalarNode)
	return ok
}

// socketPath reads the path of a unix socket.
func (c cursor) socketPath() at[string] {
	s, ok := c.text("a path")
	switch {
	case !ok:
	case s == "":
		c.fault("the path is empty: remove the key for the default")
	case len(s) > maxSocketPath:
		c.fault("path has %d bytes: a socket's can have %d at most", len(s), maxSocketPath)
	case strings.ContainsRune(s, 0):
		c.fault("path %s has a zero byte in it", clip(s))
	default:
		return set(c, s)
	}
	return unset[string](c)
}

// listen reads the address:port of weir's own listener. Unlike any other
// address of the file it may be loopback or unspecified.
func (c cursor) listen() at[netip.AddrPort] {
	s, ok := c.text("address:port")
	if !ok {
		return unset[netip.AddrPort](c)
	}
	ap, err := parseEndpoint(s, false)
	if err != nil {
		c.fault("%s is no address:port: %s", clip(s), err)
		return unset[netip.AddrPort](c)
	}
	return set(c, ap)
}

// urlPath reads the path of a request.
func (c cursor) urlPath() string {
	s, ok := c.text("a path like /healthz")
	if !ok {
		return ""
	}
	unfit := func(r rune) bool { return r <= ' ' || r > '~' }
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, unfit) {
		c.fault("%s is no path: it begins with / and holds printable ASCII without spaces", clip(s))
	}
	return s
}

// cookieName reads a token of RFC 6265, section 4.1.1.
func (c cursor) cookieName() at[string] { return c.name("!#$%&'*+-.^_`|~") }
