package director

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"weir/netstack/packet"
	"weir/tunnel"
)

// TestDialogues plays every script of testdata. A script reads as a
// conversation; its header is
//
//	port NAME raw|MAC [mtu N]
//	route PREFIX PORT
//	neighbour ADDR MAC
//	service NAME tcp|udp VIP:PORT SCHEDULER [METHOD [DIP]]
//	real NAME ADDR:PORT [WEIGHT]     of the service before
//	flows N
//	transparent
//	pool ADDR
//	poolports FIRST LAST
//
// in the file "network", its body is, line by line,
//
//	[TIME] in PORT PACKET            a packet enters
//	[TIME] tick                      time passes
//	[TIME] neighbour ADDR MAC|gone   the network changes
//	       out PORT PACKET           what the line before must cause, in order
//	       drop REASON [ANSWER]
//	       pass | hold
//
// and the file "counters" holds what the director must have counted in the end.
func TestDialogues(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			playDialogue(t, a)
		})
	}
}

// stage is a director in a network that exists in a script.
type stage struct {
	*Director
	network network
	specs   []ServiceSpec
	flows   int
	Options
	now  time.Duration
	dip  netip.Addr // of tunnels
	said []string   // what happened and was not yet expected
}

// network is a Network of fixed answers.
type network struct {
	names      []string
	ports      []packet.Hop // by PortID
	routes     map[netip.Prefix]packet.PortID
	neighbours map[netip.Addr]packet.MAC
	generation uint32
	asked      []netip.Addr
}

func (n *network) Generation() uint32 { return n.generation }

func (n *network) Local(a netip.Addr) bool { return a == netip.MustParseAddr("10.9.9.9") }

func (n *network) PeekHop(dst netip.Addr) (packet.Hop, packet.Reason) {
	best, port := -1, packet.NoPort
	for prefix, p := range n.routes {
		if prefix.Contains(dst) && prefix.Bits() > best {
			best, port = prefix.Bits(), p
		}
	}
	if best < 0 {
		return packet.Hop{}, packet.NoRoute
	}
	hop := n.ports[port]
	if hop.Link == packet.LinkEthernet {
		mac, ok := n.neighbours[dst]
		if !ok {
			return hop, packet.NeighbourWait
		}
		if mac.IsZero() {
			return hop, packet.NeighbourFailed
		}
		hop.Dst = mac
	}
	return hop, packet.OK
}

func (n *network) NextHop(_ time.Duration, dst netip.Addr) (packet.Hop, packet.Reason) {
	hop, why := n.PeekHop(dst)
	if why == packet.NeighbourWait {
		n.asked = append(n.asked, dst)
	}
	return hop, why
}

func (n *network) port(name string) packet.PortID {
	for i, x := range n.names {
		if x == name {
			return packet.PortID(i)
		}
	}
	panic("no port " + name)
}

func playDialogue(t *testing.T, a *txtar.Archive) {
	t.Helper()
	s, err := setStage(fileOf(a, "network"))
	if err != nil {
		t.Fatal(err)
	}
	for n, line := range strings.Split(string(a.Comment), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.play(words, strings.HasPrefix(line, " ")); err != nil {
			t.Fatalf("line %d: %s\n%v", n+1, line, err)
		}
	}
	if err := s.nothingLeft(); err != nil {
		t.Fatalf("at the end: %v", err)
	}
	got, want := s.counters(), strings.Join(strings.Fields(fileOf(a, "counters")), " ")
	if got != want {
		t.Errorf("counters\n got %s\nwant %s", got, want)
	}
}

func fileOf(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func setStage(text string) (*stage, error) {
	s := &stage{network: network{routes: map[netip.Prefix]packet.PortID{}, neighbours: map[netip.Addr]packet.MAC{}, generation: 1}}
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) > 0 {
			if err := s.describe(w); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	s.Options.Network, s.Options.MaxFlows, s.Options.Seed = &s.network, s.flows, 1
	s.Director = New(s.Options)
	s.SetTable(NewTable(s.specs, DefaultTimeouts(), nil))
	return s, nil
}

func (s *stage) describe(w []string) error {
	switch w[0] {
	case "port":
		hop := packet.Hop{Port: packet.PortID(len(s.network.ports)), MTU: 1500}
		if w[2] != "raw" {
			hop.Link, hop.Src = packet.LinkEthernet, macOf(w[2])
		}
		if len(w) > 4 {
			mtu, err := strconv.Atoi(w[4])
			if err != nil {
				return err
			}
			hop.MTU = uint16(mtu)
		}
		s.network.names, s.network.ports = append(s.network.names, w[1]), append(s.network.ports, hop)
	case "route":
		s.network.routes[netip.MustParsePrefix(w[1])] = s.network.port(w[2])
	case "neighbour":
		s.network.neighbours[netip.MustParseAddr(w[1])] = macOf(w[2])
	case "transparent":
		s.Transparent = true
	case "pool":
		s.Pool = append(s.Pool, netip.MustParseAddr(w[1]))
	case "poolports":
		for i, port := range w[1:] {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return err
			}
			s.PoolPorts[i] = uint16(n)
		}
	case "service":
		proto := map[string]uint8{"tcp": packet.TCP, "udp": packet.UDP}[w[2]]
		spec := ServiceSpec{Name: w[1], Proto: proto, VIP: netip.MustParseAddrPort(w[3]), Scheduler: w[4]}
		if len(w) > 5 {
			spec.Method = Method(slices.Index(methodNames[:], w[5]))
		}
		if len(w) > 6 {
			s.dip = netip.MustParseAddr(w[6])
		}
		s.specs = append(s.specs, spec)
	case "real":
		spec := RealSpec{Name: w[1], Addr: netip.MustParseAddrPort(w[2]), Weight: 1}
		if len(w) > 3 {
			spec.Weight, _ = strconv.Atoi(w[3])
		}
		sv := &s.specs[len(s.specs)-1]
		if sv.Method == Tunnel {
			var err error
			if spec.Encap, err = tunnel.New(tunnel.Config{Type: tunnel.IPIP, Src: s.dip, Dst: spec.Addr.Addr()}); err != nil {
				return err
			}
		}
		sv.Reals = append(sv.Reals, spec)
	case "flows":
		s.flows, _ = strconv.Atoi(w[1])
	default:
		return errors.New("unknown word")
	}
	return nil
}

func macOf(text string) (m packet.MAC) {
	for i, x := range strings.Split(text, ":") {
		b, err := strconv.ParseUint(x, 16, 8)
		if err != nil {
			panic(err)
		}
		m[i] = byte(b)
	}
	return m
}

// play does one line: an event, or the expectation of what the last one caused.
func (s *stage) play(w []string, indented bool) error {
	if indented {
		return s.expect(strings.Join(w, " "))
	}
	if err := s.nothingLeft(); err != nil {
		return err
	}
	at, err := time.ParseDuration(w[0])
	if err != nil {
		return err
	}
	if at < s.now {
		return errors.New("time runs backwards")
	}
	s.now = at
	switch w[1] {
	case "in":
		return s.enter(s.network.port(w[2]), strings.Join(w[3:], " "))
	case "tick":
		s.Tick(s.now)
	case "neighbour":
		s.network.generation++
		if s.network.neighbours[netip.MustParseAddr(w[2])] = (packet.MAC{}); w[3] != "gone" {
			s.network.neighbours[netip.MustParseAddr(w[2])] = macOf(w[3])
		}
	default:
		return fmt.Errorf("unknown event %q", w[1])
	}
	return s.drain()
}

func (s *stage) enter(in packet.PortID, text string) error {
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		return err
	}
	if why := p.Parse(s.network.ports[in].Link); why != packet.OK {
		return fmt.Errorf("the packet does not parse: %v", why)
	}
	before := string(p.Bytes())
	v := s.Ingress(s.now, in, &p)
	if v.Action != packet.Emit && string(p.Bytes()) != before {
		return fmt.Errorf("a packet that is not emitted was changed to %v", &p)
	}
	if err := s.note(&p, v); err != nil {
		return err
	}
	return s.drain()
}

func (s *stage) drain() error {
	for {
		var p packet.Packet
		_, v, ok := s.Next(s.now, &p)
		if !ok {
			return nil
		}
		if err := s.note(&p, v); err != nil {
			return err
		}
	}
}

var answers = [...]string{"", " time-exceeded", " too-big", " port-unreachable", " host-unreachable", " net-unreachable"}

// note writes down what became of a packet, in the words of the scripts.
func (s *stage) note(p *packet.Packet, v packet.Verdict) error {
	said := v.Action.String()
	switch v.Action {
	case packet.Emit:
		name, link := "bridge", p.Link
		if v.Port != packet.NoPort {
			name, link = s.network.names[v.Port], s.network.ports[v.Port].Link
		}
		if why := p.Parse(link); why != packet.OK {
			return fmt.Errorf("what was emitted does not parse: %v", why)
		}
		if err := verify(p); err != nil {
			return fmt.Errorf("%v: %w", p, err)
		}
		said = "out " + name + " " + p.String()
	case packet.Drop:
		said += " " + v.Reason.String() + answers[v.Answer]
		if v.MTU != 0 {
			said += fmt.Sprintf(" mtu %d", v.MTU)
		}
	}
	s.said = append(s.said, said)
	return nil
}

func (s *stage) expect(want string) error {
	if len(s.said) == 0 {
		return errors.New("nothing (more) happened")
	}
	got := s.said[0]
	s.said = s.said[1:]
	if got != want {
		return fmt.Errorf(" got %s\nwant %s", got, want)
	}
	return nil
}

func (s *stage) nothingLeft() error {
	if len(s.said) > 0 {
		return fmt.Errorf("not expected: %s", strings.Join(s.said, "\n"))
	}
	return nil
}

func (s *stage) counters() string {
	c, _ := s.Counts()
	out := fmt.Sprintf("flows=%d created=%d expired=%d evicted=%d", c.Flows, c.Created, c.Expired, c.Evicted)
	if s.Pool != nil {
		out += fmt.Sprintf(" lent=%d exhausted=%d", c.PoolLent, c.PoolExhausted)
	}
	if c.HeldFrames+c.HeldBytes+c.FragmentDatagrams != 0 {
		out += fmt.Sprintf(" held=%d datagrams=%d", c.HeldFrames, c.FragmentDatagrams)
	}
	return out
}
