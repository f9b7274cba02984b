package appliance

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weir/appliance/config"
	"weir/appliance/control"
	"weir/appliance/director"
	"weir/netstack/packet"
)

// Explain says what would become of a packet, given in the text form of
// netstack/packet, and why. Nothing changes by it.
func (a *Appliance) Explain(text string) (x control.Explanation, err error) {
	bridged := a.Config().Topology == config.TopologyBridged
	e := explainer{director: a.director, network: a.stack, ports: a.ports, bridged: bridged, now: a.clock()}
	if !a.memory.use(func() { x, err = e.explain(text) }) {
		return x, errors.New("weir has stopped: its flows are gone")
	}
	return x, err
}

// Explain is Appliance.Explain for a configuration that nobody runs: routes are
// known from it, MACs of other stations are not.
func Explain(cfg *config.Config, text string) (control.Explanation, error) {
	d, err := drawingOf(cfg)
	if err != nil {
		return control.Explanation{}, err
	}
	defer d.Close()
	heart, err := newDirector(cfg, director.Options{Network: d, MaxFlows: 1})
	if err != nil {
		return control.Explanation{}, err
	}
	e := explainer{director: heart, network: d, ports: d.ports, bridged: d.bridged, offline: true}
	return e.explain(text)
}

// network is what an explainer asks of a stack: what it asks of itself.
type network interface {
	director.Network
	Admit(in packet.PortID, p *packet.Packet) packet.Reason
	Discovers(in packet.PortID, p *packet.Packet) bool
	Judge(in packet.PortID, p *packet.Packet, peek func(netip.Addr) (packet.Hop, packet.Reason)) packet.Verdict
}

// explainer asks a director about a packet that comes in by one of the ports.
type explainer struct {
	director *director.Director
	network  network
	ports    []port
	now      time.Duration
	bridged  bool
	offline  bool
}

func (e *explainer) explain(text string) (control.Explanation, error) {
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		return control.Explanation{}, fmt.Errorf("packet %q: %w", text, err)
	}
	in := e.ingress(p.Src())
	e.arrive(&p, in)
	before, vip := headers(&p), p.Dst()
	x := control.Explanation{Packet: textOf(&p), Ingress: e.ports[in].name, Offline: e.offline}
	at := packet.PortID(in)
	if why := e.network.Admit(at, &p); why != packet.OK {
		e.conclude(&x, packet.Dropped(why))
		x.Steps = []control.Step{e.refused(why, &p, in)}
		x.Headers = compare(before, nil)
		return x, nil
	}
	if e.network.Discovers(at, &p) {
		x.Verdict = packet.Pass.String()
		x.Steps = []control.Step{{Question: "ICMP", Answer: "neighbour discovery is about the link: it is weir's own stack's"}}
		x.Headers = compare(before, nil)
		return x, nil
	}
	said := e.director.Explain(e.now, &p)
	x.Service, x.Real = said.Service, said.Real
	for _, s := range said.Steps {
		x.Steps = append(x.Steps, e.named(s))
	}
	if said.Verdict.Action == packet.Pass {
		e.passed(&x, &p, at)
	} else {
		e.conclude(&x, said.Verdict)
	}
	if said.Verdict.Action == packet.Emit {
		x.Result = textOf(&p)
		x.Headers = compare(before, e.leaving(x.Service, x.Real, vip, &p))
	} else {
		x.Headers = compare(before, nil)
	}
	return x, nil
}

// textOf leaves MACs out that nobody knows.
func textOf(p *packet.Packet) string { return p.Text(!p.SrcMAC().IsZero() && !p.DstMAC().IsZero()) }

// ingress is the port that leads to src, else the first.
func (e *explainer) ingress(src netip.Addr) int {
	hop, why := e.network.PeekHop(src)
	if why == packet.NoRoute || int(hop.Port) >= len(e.ports) {
		return 0
	}
	return int(hop.Port)
}

// arrive gives the packet the link header with which it would come in by the
// port, unless the text says one.
func (e *explainer) arrive(p *packet.Packet, in int) {
	at := e.ports[in]
	if at.link == p.Link {
		return
	}
	from, _ := e.network.PeekHop(p.Src())
	p.SetHop(&packet.Hop{Link: at.link, Src: from.Dst, Dst: at.mac})
}

// wayOut is how the director says by which port a packet leaves: it knows
// numbers only, and a MAC of zero where nobody has told one.
var wayOut = regexp.MustCompile(`^(\S+ through port )(\d+)(, (?:which|MAC) )(\S+)(.*)$`)

// named puts names where the director says numbers.
func (e *explainer) named(s director.Step) control.Step {
	step := control.Step{Question: s.Question, Answer: s.Answer}
	part := wayOut.FindStringSubmatch(s.Answer)
	if s.Question != "next hop" || part == nil {
		return step
	}
	if i, err := strconv.Atoi(part[2]); err == nil && i < len(e.ports) {
		part[2] = e.ports[i].name
	}
	if part[4] == (packet.MAC{}).String()+";" {
		part[4] = unknown + ";"
	}
	step.Answer = strings.Join(part[1:], "")
	return step
}

// TheBridge is what packets leave by whose port their destination MAC decides.
const TheBridge = "the bridge"

func (e *explainer) nameOf(id packet.PortID) string {
	if int(id) >= len(e.ports) {
		return TheBridge
	}
	return e.ports[id].name
}

// conclude says what becomes of the packet, and what is owed for it.
func (e *explainer) conclude(x *control.Explanation, v packet.Verdict) {
	x.Verdict = v.Action.String()
	switch v.Action {
	case packet.Emit:
		x.Egress = e.nameOf(v.Port)
	case packet.Drop, packet.Hold:
		x.Reason = v.Reason.String()
		x.Answer = answerText(v)
	}
}

// passed concludes about a packet that the director leaves to the stack. One
// that is routed on is still one that passed: nothing was rewritten.
func (e *explainer) passed(x *control.Explanation, p *packet.Packet, in packet.PortID) {
	v := e.network.Judge(in, p, e.network.PeekHop)
	x.Steps = append(x.Steps, e.judged(v, p))
	if v.Action == packet.Emit {
		v.Action = packet.Pass
	}
	e.conclude(x, v)
}

// judged is the stack's judgement in words.
func (e *explainer) judged(v packet.Verdict, p *packet.Packet) control.Step {
	src, dst := p.Src(), p.Dst()
	say := func(question, format string, args ...any) control.Step {
		return control.Step{Question: question, Answer: fmt.Sprintf(format, args...)}
	}
	switch {
	case v.Action == packet.Emit && v.Port == packet.NoPort:
		return say("bridge", "the frame crosses it as it is, towards its destination MAC")
	case v.Action == packet.Emit:
		return say("route", "%v through port %s: the packet is routed on as it is", dst, e.ports[v.Port].name)
	case v.Action == packet.Hold:
		return say("route", "%v, or the router to it, whose MAC is not known yet: the packet would wait while it is asked for", dst)
	case v.Action == packet.Pass && e.network.Local(dst):
		return say("destination", "%v is weir's own: its stack gets the packet", dst)
	case v.Action == packet.Pass:
		return say("destination", "%v is everybody on the link: weir's own stack gets the packet", dst)
	}
	switch v.Reason {
	case packet.NoRoute:
		return say("route", "none to %v: the packet is dropped", dst)
	case packet.TTLExpired:
		return say("route", "the packet has no hop left: it is dropped")
	case packet.TooBig:
		return say("route", "to %v, but its MTU of %d is too small for the packet", dst, v.MTU)
	case packet.NeighbourFailed:
		return say("route", "to %v, but the station there does not answer: the packet is dropped", dst)
	case packet.SpoofedSource:
		return say("source", "%v is weir's own: the packet is dropped", src)
	case packet.Martian, packet.Land:
		return say("source", "no packet comes from %v to %v: it is dropped", src, dst)
	}
	return say("destination", "%v: weir drops the packet (%v)", dst, v.Reason)
}

// refused says why a packet does not reach the director.
func (e *explainer) refused(why packet.Reason, p *packet.Packet, in int) control.Step {
	at := e.ports[in]
	switch why {
	case packet.ForeignMAC:
		return control.Step{Question: "frame", Answer: fmt.Sprintf("to %v, which is not port %s's MAC %v", p.DstMAC(), at.name, at.mac)}
	case packet.Martian:
		if !p.DstMAC().IsMulticast() || p.Link != packet.LinkEthernet {
			return control.Step{Question: "source", Answer: fmt.Sprintf("%v is the broadcast address of a subnet: nobody sends from it", p.Src())}
		}
	}
	return control.Step{Question: "frame", Answer: fmt.Sprintf("port %s takes none like it: %v", at.name, why)}
}

var answerTexts = map[packet.Answer]string{
	packet.AnswerTimeExceeded: "ICMP time exceeded", packet.AnswerPortUnreachable: "ICMP port unreachable",
	packet.AnswerHostUnreachable: "ICMP host unreachable", packet.AnswerNetUnreachable: "ICMP network unreachable",
}

func answerText(v packet.Verdict) string {
	if v.Answer == packet.AnswerTooBig {
		return fmt.Sprintf("ICMP packet too big, MTU %d", v.MTU)
	}
	return answerTexts[v.Answer]
}
