package appliance

import (
	"bytes"
	"fmt"
	"net/netip"

	"weir/netstack/packet"
	"weir/tunnel"
)

// leaving are the fields of a packet that leaves. Where it does so in a tunnel,
// the outer headers have names of their own, and what is inside the usual ones.
func (e *explainer) leaving(service, real string, vip netip.Addr, p *packet.Packet) []header {
	in := e.tunnelOf(service, real)
	if in == nil {
		return headers(p)
	}
	// As whoever receives it will see it: checksums finished, parsed anew.
	outer := *p
	outer.Store = bytes.Clone(p.Store)
	if outer.Parse(p.Link) != packet.OK {
		return headers(p)
	}
	outer.Complete()
	list := outerHeaders(&outer)
	if opened(in.Config(), vip, &outer) {
		list = append(list, headers(&outer)...)
	}
	return list
}

// tunnelOf is the tunnel to a real server; nil for none.
func (e *explainer) tunnelOf(service, real string) *tunnel.Encap {
	for _, s := range e.director.Table().Services() {
		for _, r := range s.Reals() {
			if s.Name == service && r.Name == real {
				return r.Encap
			}
		}
	}
	return nil
}

// opened takes the packet out of the tunnel as a real server would; false if
// that would not take it.
func opened(c tunnel.Config, vip netip.Addr, p *packet.Packet) bool {
	end := tunnel.DecapConfig{
		Directors: []netip.Prefix{netip.PrefixFrom(c.Src, c.Src.BitLen())},
		VIPs:      []netip.Addr{vip},
		Types:     []tunnel.Type{c.Type},
		VNI:       c.VNI,
	}
	switch c.Type { // the port of the other format must only be another one
	case tunnel.GUE:
		end.GUEPort, end.VXLANPort = c.Port, ^c.Port
	case tunnel.VXLAN:
		end.GUEPort, end.VXLANPort = ^c.Port, c.Port
	}
	d, err := tunnel.NewDecap(end)
	return err == nil && d.Pop(p) == packet.OK
}

// outerHeaders are the fields in front of the packet inside a tunnel.
func outerHeaders(p *packet.Packet) []header {
	var list []header
	if p.Link == packet.LinkEthernet {
		list = append(list, header{"source MAC", macText(p.SrcMAC())}, header{"destination MAC", macText(p.DstMAC())})
	}
	list = append(list,
		header{"outer source IP", p.Src().String()}, header{"outer destination IP", p.Dst().String()},
		header{"outer TTL", fmt.Sprint(p.TTL())}, header{"outer protocol", fmt.Sprint(p.Proto)})
	if p.HasL4 && p.Proto == packet.UDP {
		list = append(list, header{"outer source port", fmt.Sprint(p.SrcPort)}, header{"outer destination port", fmt.Sprint(p.DstPort)})
	}
	return list
}
