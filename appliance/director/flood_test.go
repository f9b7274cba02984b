package director

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/netstack/packet"
)

// Pieces of datagrams that never come whole, 50,000 at 10,000 a second, take
// bounded room for a bounded time; meanwhile what arrives in the wrong order is
// put right, and a next hop is waited for.
func TestFragmentFloodIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		length int // bytes of each piece
		pieces int // of each datagram
		n      int // of all
	}{
		{"large pieces", 1480, 1, 50_000},
		{"small pieces", 16, 1, 15_000},
		{"small pieces, many of a datagram", 16, 60, 15_000},
		{"large pieces, many of a datagram", 1480, 40, 15_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := setStage(`
				port lan 02:00:00:00:00:01
				route 0.0.0.0/0 lan
				neighbour 10.2.0.1 02:00:00:00:00:02
				service dns udp 192.0.2.10:53 rr
				real r1 10.2.0.1:53
				service new udp 192.0.2.10:54 rr
				real r2 10.2.0.2:53`)
			if err != nil {
				t.Fatal(err)
			}
			flood := flooder{stage: s, t: t, drops: map[string]int{}}
			for i := range tt.n {
				s.now = time.Duration(i) * 100 * time.Microsecond
				// 13 bits of identification a source, so that all is in use anew after more than the wait.
				n := i / tt.pieces
				offset := (tt.length + 63) / 64 * 64 * (1 + i%tt.pieces)
				flood.in("udp 10.1.%d.9 > 192.0.2.10 id %d frag %d+ len %d", n>>13, n&0x1fff, offset, tt.length)
				if i%1000 == 0 {
					s.Tick(s.now)
					flood.settle()
				}
				if i%5000 == 4999 {
					flood.wantReordered(i)
				}
			}
			if flood.most < 4096*16 {
				t.Errorf("%d bytes were held at most: that was no flood", flood.most)
			}
			flood.wantWaitForNeighbour()
			last := s.now
			for s.now < last+30*time.Second {
				s.now += 100 * time.Millisecond
				s.Tick(s.now)
				flood.settle()
			}
			if c, _ := s.Counts(); c.HeldBytes+c.HeldFrames+c.FragmentDatagrams != 0 {
				t.Errorf("30 s later %+v is held", c)
			}
			if n := flood.drops["fragment-timeout"] + flood.drops["fragment-limit"]; n != tt.n {
				t.Errorf("of %d pieces %d were given up: %v", tt.n, n, flood.drops)
			}
		})
	}
}

// flooder counts what a stage says, instead of remembering it.
type flooder struct {
	*stage
	t     *testing.T
	drops map[string]int
	most  int // bytes held
}

func (f *flooder) in(format string, args ...any) {
	f.t.Helper()
	text := fmt.Sprintf(format, args...)
	if err := f.enter(0, text+" mac 02:00:00:00:00:09>02:00:00:00:00:01"); err != nil {
		f.t.Fatalf("%s: %v", text, err)
	}
	c, _ := f.Counts()
	f.most = max(f.most, c.HeldBytes)
	if c.HeldBytes > 4<<20 {
		f.t.Fatalf("%v: %d bytes are held", f.now, c.HeldBytes)
	}
	f.count()
}

// settle takes out what has become ready.
func (f *flooder) settle() {
	f.t.Helper()
	if err := f.drain(); err != nil {
		f.t.Fatal(err)
	}
	f.count()
}

// count books drops; what else was said must be that a piece is held.
func (f *flooder) count() {
	f.t.Helper()
	for _, said := range f.said {
		if why, ok := strings.CutPrefix(said, "drop "); ok {
			f.drops[why]++
		} else if said != "hold" {
			f.t.Fatalf("not expected: %s", said)
		}
	}
	f.said = f.said[:0]
}

// said is how often the stage said something that begins with words; that is
// then forgotten.
func (f *flooder) heard(words string) (n int) {
	var rest []string
	for _, said := range f.said {
		if strings.HasPrefix(said, words) {
			n++
		} else {
			rest = append(rest, said)
		}
	}
	f.said = rest
	return n
}

// wantReordered sends a datagram whose pieces come in the wrong order.
func (f *flooder) wantReordered(i int) {
	f.t.Helper()
	for _, piece := range []string{"10.1.99.9 > 192.0.2.10 id %d frag 1480 len 8", "10.1.99.9:5000 > 192.0.2.10:53 id %d frag 0+ len 1472"} {
		text := fmt.Sprintf("udp "+piece+" mac 02:00:00:00:00:09>02:00:00:00:00:01", i)
		if err := f.enter(0, text); err != nil {
			f.t.Fatal(err)
		}
	}
	if n := f.heard("out "); n != 2 {
		f.t.Errorf("%v: of a datagram's two pieces in the wrong order %d went on: %q", f.now, n, f.said)
	}
	f.count()
}

// wantWaitForNeighbour sends a packet whose next hop must be asked for first.
func (f *flooder) wantWaitForNeighbour() {
	f.t.Helper()
	if err := f.enter(0, "udp 10.1.99.9:5000 > 192.0.2.10:54 mac 02:00:00:00:00:09>02:00:00:00:00:01"); err != nil {
		f.t.Fatal(err)
	}
	f.count()
	if n := f.drops[packet.NeighbourLimit.String()]; n != 0 {
		f.t.Errorf("a packet whose next hop is being asked for was dropped, as the hold is full of fragments")
	}
	if err := f.play(strings.Fields(f.now.String()+" neighbour 10.2.0.2 02:00:00:00:00:03"), false); err != nil {
		f.t.Fatal(err)
	}
	if n := f.heard("out "); n != 1 {
		f.t.Errorf("when its next hop was known, %d packets went on", n)
	}
}
