// Package hostile makes frames that no honest station sends, in 44 classes, and
// knows what a load balancer must make of each. It builds bytes by itself: what
// it says about a packet is no echo of the code under test.
package hostile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"

	"weir/netstack/packet"
)

// Fate is what must become of a frame: the label of the one drop counter that
// shows it, or one of the constants.
type Fate string

const (
	// Forwarded: to a real server, as wrong as it was and no wronger.
	Forwarded Fate = "forwarded"
	// GivenUp: held for the rest of its datagram, which never comes, until time
	// or room runs out: fragment-timeout or fragment-limit.
	GivenUp Fate = "given up"
)

// Reasons are the drop counters that may show the fate; none for Forwarded.
func (f Fate) Reasons() []string {
	switch f {
	case Forwarded:
		return nil
	case GivenUp:
		return []string{"fragment-timeout", "fragment-limit"}
	}
	return []string{string(f)}
}

// Frame is one frame with what must become of it.
type Frame struct {
	Number uint32 // also in its mark
	Fate   Fate
	Data   []byte
}

// Class is one way to be wrong.
type Class struct {
	Name  string
	Says  string // what all of its frames have in common
	Fates []Fate
	make  func(*kit) // one unit: a frame, or the few that belong together
}

// Stage is who attacks whom. Addresses come in pairs, IPv4 first.
type Stage struct {
	From, To packet.MAC // the attacker's, and weir's or that of the router before it
	Src, VIP [2]netip.Addr
	Own      [2][]netip.Addr // weir's other addresses
	TCP, UDP uint16          // ports of the VIPs that are served
}

// Generator makes frames; the same ones for the same calls. Attack and normal
// traffic must not meet in a flow: it uses source ports 2000 to 15,999.
type Generator struct {
	stage  Stage
	number uint32
	rng    *rand.Rand
}

// NewGenerator makes the generator of a stage.
func NewGenerator(s Stage) *Generator {
	return &Generator{stage: s, rng: rand.New(rand.NewPCG(44, 10_000))}
}

// Unit makes the i-th unit of a class. Its frames belong together and must be
// sent in order.
func (g *Generator) Unit(c *Class, i int) []Frame {
	k := &kit{Generator: g, i: i, six: i % 2}
	c.make(k)
	return k.frames
}

// Sent is how many frames were made: the number of the next one.
func (g *Generator) Sent() uint32 { return g.number }

// magic begins a mark: the 16 bytes in a frame's payload that say its number.
const magic = "h0st1le#"

const markSize = 16

// Marks are the numbers of the marks in b.
func Marks(b []byte) (numbers []uint32) {
	for {
		at := bytes.Index(b, []byte(magic))
		if at < 0 || len(b) < at+markSize {
			return numbers
		}
		var n [4]byte
		if _, err := hex.Decode(n[:], b[at+len(magic):at+markSize]); err == nil {
			numbers = append(numbers, binary.BigEndian.Uint32(n[:]))
		}
		b = b[at+markSize:]
	}
}

// kit is what a class makes one unit with.
type kit struct {
	*Generator
	i      int // of the unit
	six    int // the family whose turn it is: 0 IPv4, 1 IPv6
	frames []Frame
}

// mark is the payload of the frame that is added next.
func (k *kit) mark() []byte { return k.markOf(0) }

// markOf is the payload of the frame that is added n frames later.
func (k *kit) markOf(n uint32) []byte {
	return hex.AppendEncode([]byte(magic), binary.BigEndian.AppendUint32(nil, k.number+n))
}

// turn is a number that walks through 0 to n-1, for both families in turn.
func (k *kit) turn(n int) int { return k.i / 2 % n }

// openPort is the source port of what may begin a flow, strangePort of what
// must find none.
func (k *kit) openPort() uint16    { return uint16(2000 + k.i%2000) }
func (k *kit) strangePort() uint16 { return uint16(4000 + k.i%12_000) }

// frame adds a frame.
func (k *kit) frame(f Fate, data []byte) {
	k.frames = append(k.frames, Frame{Number: k.number, Fate: f, Data: data})
	k.number++
}

// ip adds an IP packet of the family whose turn it is, in a frame to weir.
func (k *kit) ip(f Fate, packet []byte) { k.frame(f, k.ether(etherType[k.six], packet)) }

var etherType = [2]uint16{0x0800, 0x86dd}

func (k *kit) ether(kind uint16, payload []byte) []byte {
	return frame(k.stage.To, k.stage.From, kind, payload)
}

func frame(to, from packet.MAC, kind uint16, payload []byte) []byte {
	b := append(append(make([]byte, 0, 14+len(payload)), to[:]...), from[:]...)
	return append(binary.BigEndian.AppendUint16(b, kind), payload...)
}
