package simnet

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"weir/netstack"
	"weir/netstack/packet"
)

// RouterConfig describes a router.
type RouterConfig struct {
	Name   string
	Ports  []Port
	Routes []netstack.Route
	Rules  []Rule
	Log    *slog.Logger // nil: discarded
}

// Rule diverts transit packets into a port without MACs, whatever the routes
// say: what a Linux host does with `ip rule` and a table of one route into a
// TUN. Every condition that is set must hold; the zero Rule matches nothing
// that came by its own port To, and everything else. A rule with ports matches
// no fragment, as in Linux.
type Rule struct {
	In               string // the port they came by; empty: any but Out
	Src, Dst         netip.Prefix
	Proto            uint8
	SrcPort, DstPort uint16
	Out              string
}

// Router is a node that forwards. It is a Host too: one that can be pinged, and
// dialled from.
type Router struct {
	*Host
	ports []Port
}

// NewRouter starts a router. When it returns, it forwards.
func NewRouter(c RouterConfig) (*Router, error) {
	k := newHook()
	rules, err := compile(c.Name, c.Ports, c.Rules)
	if err != nil {
		for _, p := range c.Ports {
			_ = p.Device.Close()
		}
		return nil, err
	}
	k.rules.Store(&rules)
	h, err := newHost(c.Name, c.Log, c.Ports, c.Routes, true, k)
	if err != nil {
		return nil, err
	}
	return &Router{Host: h, ports: c.Ports}, nil
}

// SetRules replaces the rules, at once for all packets to come.
func (r *Router) SetRules(rules []Rule) error {
	compiled, err := compile(r.name, r.ports, rules)
	if err == nil {
		r.hook.rules.Store(&compiled)
	}
	return err
}

// rule is a Rule whose ports are found.
type rule struct {
	Rule
	in  packet.PortID // NoPort: any
	hop packet.Hop
}

func compile(router string, ports []Port, rules []Rule) ([]rule, error) {
	find := func(name string) int {
		return slices.IndexFunc(ports, func(p Port) bool { return p.Name == name })
	}
	compiled := make([]rule, 0, len(rules))
	for _, c := range rules {
		r := rule{Rule: c, in: packet.NoPort}
		if c.In != "" {
			i := find(c.In)
			if i < 0 {
				return nil, fmt.Errorf("simnet: %s: rule: there is no port %q; name one of the router's", router, c.In)
			}
			r.in = packet.PortID(i)
		}
		i := find(c.Out)
		if i < 0 || ports[i].Device.Link() != packet.LinkRaw {
			return nil, fmt.Errorf("simnet: %s: rule: %q is no port without MACs; name one that is", router, c.Out)
		}
		r.hop = packet.Hop{Port: packet.PortID(i), Link: packet.LinkRaw, MTU: uint16(ports[i].Device.MTU())}
		compiled = append(compiled, r)
	}
	return compiled, nil
}

func (r *rule) matches(in packet.PortID, p *packet.Packet) bool {
	ports := r.SrcPort != 0 || r.DstPort != 0
	switch {
	case in == r.hop.Port, r.in != packet.NoPort && r.in != in,
		r.Src.IsValid() && !r.Src.Contains(p.Src()), r.Dst.IsValid() && !r.Dst.Contains(p.Dst()),
		r.Proto != 0 && r.Proto != p.Proto,
		ports && (p.Frag || !p.HasL4),
		r.SrcPort != 0 && r.SrcPort != p.SrcPort, r.DstPort != 0 && r.DstPort != p.DstPort,
		p.Dst().IsMulticast():
		return false
	}
	return true
}

// divert routes p out of the rule's port.
func (r *rule) divert(p *packet.Packet) packet.Verdict {
	if p.TTL() <= 1 {
		return packet.Verdict{Action: packet.Drop, Reason: packet.TTLExpired, Answer: packet.AnswerTimeExceeded}
	}
	p.DecTTL()
	p.SetHop(&r.hop)
	v := packet.Verdict{Action: packet.Emit}
	v.Port = r.hop.Port
	return v
}
