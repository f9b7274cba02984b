package appliance

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"weir/appliance/config"
	"weir/appliance/control"
	"weir/appliance/director"
	"weir/netstack/packet"
)

// Explain says what would become of a packet, given in the text form of
// netstack/packet, and why. Nothing changes by it.
func (a *Appliance) Explain(text string) (control.Explanation, error) {
	bridged := a.Config().Topology == config.TopologyBridged
	e := explainer{director: a.director, network: a.stack, ports: a.ports, bridged: bridged, now: a.clock()}
	return e.explain(text)
}

// Explain is Appliance.Explain for a configuration that nobody runs: routes are
// known from it, MACs of other stations are not.
func Explain(cfg *config.Config, text string) (control.Explanation, error) {
	d := drawingOf(cfg)
	heart, err := newDirector(cfg, director.Options{Network: d, MaxFlows: 1})
	if err != nil {
		return control.Explanation{}, err
	}
	e := explainer{director: heart, network: d, ports: d.ports, bridged: d.bridged, offline: true}
	return e.explain(text)
}

// explainer asks a director about a packet that comes in by one of the ports.
type explainer struct {
	director *director.Director
	network  director.Network
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
	if why := e.filter(&p, in); why != "" {
		x.Verdict, x.Reason = packet.Drop.String(), why
		x.Steps = []control.Step{{Question: "frame", Answer: fmt.Sprintf("to %v, which is not port %s's MAC %v", p.DstMAC(), x.Ingress, e.ports[in].mac)}}
		x.Headers = compare(before, nil)
		return x, nil
	}
	said := e.director.Explain(e.now, &p)
	x.Service, x.Real = said.Service, said.Real
	for _, s := range said.Steps {
		x.Steps = append(x.Steps, control.Step{Question: s.Question, Answer: e.named(s.Answer)})
	}
	e.conclude(&x, said.Verdict, &p)
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

// filter is what the port's MAC filter says of a frame; "" if it may pass.
func (e *explainer) filter(p *packet.Packet, in int) string {
	mac := e.ports[in].mac
	if e.bridged || p.Link != packet.LinkEthernet || mac.IsZero() || p.DstMAC() == mac || p.DstMAC().IsMulticast() {
		return ""
	}
	return packet.ForeignMAC.String()
}

// named puts names where the director, which knows none, says numbers.
func (e *explainer) named(answer string) string {
	for i, p := range e.ports {
		through := fmt.Sprintf("through port %d,", i)
		answer = strings.Replace(answer, through, "through port "+p.name+",", 1)
	}
	answer = strings.Replace(answer, fmt.Sprintf("through port %d,", packet.NoPort), "through "+TheBridge+",", 1)
	return strings.Replace(answer, "MAC "+packet.MAC{}.String(), "MAC "+unknown, 1)
}

// conclude says what the verdict is, and what it means for a packet that
// the director leaves to others.
func (e *explainer) conclude(x *control.Explanation, v packet.Verdict, p *packet.Packet) {
	x.Verdict = v.Action.String()
	switch v.Action {
	case packet.Emit:
		x.Egress = e.nameOf(v.Port)
	case packet.Drop, packet.Hold:
		x.Reason = v.Reason.String()
		x.Answer = answerText(v)
	case packet.Pass:
		x.Steps = append(x.Steps, e.passed(p.Dst()))
	}
}

func (e *explainer) passed(dst netip.Addr) control.Step {
	if e.network.Local(dst) {
		return control.Step{Question: "destination", Answer: fmt.Sprintf("%v is weir's own: its stack gets the packet", dst)}
	}
	hop, why := e.network.PeekHop(dst)
	switch {
	case e.bridged:
		return control.Step{Question: "bridge", Answer: "the frame crosses it as it is, towards its destination MAC"}
	case why == packet.NoRoute:
		return control.Step{Question: "route", Answer: fmt.Sprintf("none to %v: the packet is dropped", dst)}
	}
	return control.Step{Question: "route", Answer: fmt.Sprintf("%v through port %s: the packet is routed on as it is", dst, e.nameOf(hop.Port))}
}

// TheBridge is what packets leave by whose port their destination MAC decides.
const TheBridge = "the bridge"

func (e *explainer) nameOf(id packet.PortID) string {
	if int(id) >= len(e.ports) {
		return TheBridge
	}
	return e.ports[id].name
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
