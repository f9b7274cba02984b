package hostile_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"weir/e2e/hostile"
	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

var stage = hostile.Stage{
	From: packet.MAC{2, 0, 0, 1, 0, 0x12}, To: packet.MAC{2, 0, 0, 1, 0, 1},
	Src: [2]netip.Addr{netip.MustParseAddr("10.1.0.12"), netip.MustParseAddr("fd00:1::12")},
	VIP: [2]netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")},
	Own: [2][]netip.Addr{{netip.MustParseAddr("10.1.0.1")}, {netip.MustParseAddr("fd00:1::1")}},
	TCP: 80, UDP: 53,
}

// units is enough for every variant of every class.
const units = 400

func TestThereAre44Classes(t *testing.T) {
	names := map[string]bool{}
	for _, c := range hostile.Classes() {
		if names[c.Name] || c.Name == "" || c.Says == "" || len(c.Fates) == 0 {
			t.Errorf("class %q: a name of its own, a sentence and a fate are needed", c.Name)
		}
		names[c.Name] = true
		if hostile.Find(c.Name) == nil {
			t.Errorf("class %s is not found", c.Name)
		}
	}
	if len(names) != 44 {
		t.Errorf("%d classes", len(names))
	}
}

// The README's table is what the code has.
func TestTheTableIsTrue(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, c := range hostile.Classes() {
		var fates []string
		for _, f := range c.Fates {
			name := string(f)
			if f != hostile.Forwarded {
				name = "`" + strings.Join(f.Reasons(), "` or `") + "`"
			}
			fates = append(fates, name)
		}
		fmt.Fprintf(&want, "| %s | %s | %s |\n", c.Name, c.Says, strings.Join(fates, ", "))
	}
	if !bytes.Contains(text, []byte(want.String())) {
		t.Errorf("README.md must have the table\n%s", want.String())
	}
}

// Frames can be sent, carry their numbers, meet the fates of their class, and
// are the same the next time.
func TestFramesAreAsPromised(t *testing.T) {
	g, again := hostile.NewGenerator(stage), hostile.NewGenerator(stage)
	for _, c := range hostile.Classes() {
		met := map[hostile.Fate]bool{}
		kinds := map[string]bool{}
		for i := range units {
			frames := g.Unit(c, i)
			for j, f := range again.Unit(c, i) {
				if j >= len(frames) || !bytes.Equal(f.Data, frames[j].Data) {
					t.Fatalf("%s %d: other frames the second time", c.Name, i)
				}
			}
			for _, f := range frames {
				met[f.Fate] = true
				kinds[shape(f.Data)] = true
				if len(f.Data) < 15 || len(f.Data) > 1514 {
					t.Errorf("%s %d: a frame of %d bytes", c.Name, i, len(f.Data))
				}
				if f.Fate == hostile.Forwarded && !slices.Equal(hostile.Marks(f.Data), []uint32{f.Number}) {
					t.Errorf("%s %d: frame %d is marked %v", c.Name, i, f.Number, hostile.Marks(f.Data))
				}
				if f.Number >= g.Sent() {
					t.Errorf("%s %d: frame %d of %d", c.Name, i, f.Number, g.Sent())
				}
			}
		}
		for _, f := range c.Fates {
			if !met[f] {
				t.Errorf("%s: no frame with fate %s", c.Name, f)
			}
			delete(met, f)
		}
		if len(met) > 0 {
			t.Errorf("%s: frames with fates %v, which it does not list", c.Name, met)
		}
		if len(kinds) < 2 {
			t.Errorf("%s: all frames have one shape", c.Name)
		}
	}
}

// shape is what a reader of headers sees of a frame.
func shape(frame []byte) string {
	p := &packet.Packet{}
	p.Load(frame)
	ip := frame[14:]
	if len(ip) > 24 && ip[0]&15 > 5 && ip[0]>>4 == 4 {
		ip = append(slices.Clone(ip[:4]), ip[20:24]...) // the first option too
	}
	return fmt.Sprint(p.Parse(packet.LinkEthernet), len(frame), p.Version, p.Proto, p.Flags, p.FragOffset, ip[:min(8, len(ip))])
}

// What is wrong with a class is all that is wrong with it: where the fault is
// not a checksum, checksums are right.
func TestOnlyOneThingIsWrong(t *testing.T) {
	wrong := map[string]bool{"ip-checksum": true, "tcp-checksum": true, "udp-checksum": true}
	// Over a wrong length there is no right checksum, nor in what only passes for
	// a packet; of ndp one kind is wrong.
	either := map[string]bool{"l4-cut": true, "udp-length": true, "ndp": true, "protocol": true, "icmp-quote": true}
	g := hostile.NewGenerator(stage)
	for _, c := range hostile.Classes() {
		bad := 0
		for i := range units {
			for _, f := range g.Unit(c, i) {
				for _, sum := range packettest.Checksums(f.Data, packet.LinkEthernet) {
					if sum.Error() == 0 {
						continue
					}
					bad++
					if !wrong[c.Name] && !either[c.Name] {
						t.Errorf("%s %d: %s is %#04x, want %#04x: %x", c.Name, i, sum.Name, sum.Have, sum.Want, f.Data)
					}
				}
			}
		}
		if wrong[c.Name] && bad < units/2 {
			t.Errorf("%s: %d of %d units have a wrong checksum", c.Name, bad, units)
		}
	}
}

func TestPingPiecesAreLaterFragments(t *testing.T) {
	g := hostile.NewGenerator(stage)
	for i := range 200 {
		p := &packet.Packet{}
		p.Load(g.PingPiece(i))
		if why := p.Parse(packet.LinkEthernet); why != packet.OK || !p.Frag || !p.MoreFrags || p.FragOffset == 0 || p.Version != uint8(4+i%2*2) {
			t.Errorf("piece %d: %v, %v", i, why, p)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, tt := range []struct {
		name string
		data string
		want []uint32
	}{
		{"no mark", "nothing here", nil},
		{"one", "....h0st1le#0000002a....", []uint32{42}},
		{"two", "h0st1le#0000002ah0st1le#ffffffff", []uint32{42, 1<<32 - 1}},
		{"cut short", "h0st1le#0000002", nil},
		{"no number", "h0st1le#000000xx", nil},
	} {
		if got := hostile.Marks([]byte(tt.data)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
