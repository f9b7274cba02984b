package appliance

import (
	"cmp"
	"net/netip"
	"time"

	"weir/appliance/config"
	"weir/netstack/packet"
)

// routes is where a configuration sends packets, as far as the file alone can
// tell.
type routes struct {
	rows []route
}

type route struct {
	to   netip.Prefix
	port int
}

func routesOf(cfg *config.Config) routes {
	var r routes
	for i, p := range cfg.Ports {
		for _, a := range p.Addresses {
			r.rows = append(r.rows, route{to: a.Masked(), port: i})
		}
	}
	for _, c := range cfg.Routes {
		row := route{to: c.To, port: -1}
		if i, ok := cfg.Port(c.Port); ok {
			row.port = i
		} else if near, ok := r.lookup(c.Via); ok {
			row.port = near.port
		}
		if row.port >= 0 {
			r.rows = append(r.rows, row)
		}
	}
	if len(cfg.Ports) == 1 && cfg.Ports[0].Kind == config.PortTUN { // it can go nowhere else
		r.rows = append(r.rows, route{to: netip.MustParsePrefix("0.0.0.0/0")}, route{to: netip.MustParsePrefix("::/0")})
	}
	return r
}

// lookup finds the longest prefix, of equals the first.
func (r routes) lookup(dst netip.Addr) (route, bool) {
	best, found := route{}, false
	for _, row := range r.rows {
		if row.to.Contains(dst) && (!found || row.to.Bits() > best.to.Bits()) {
			best, found = row, true
		}
	}
	return best, found
}

// hop is how packets leave by the port, but for the MAC that they go to.
func (p port) hop(id int) packet.Hop {
	return packet.Hop{Port: packet.PortID(id), Link: p.link, MTU: uint16(p.mtu), Src: p.mac}
}

// drawing is a network that exists in a configuration only: its routes are
// known, the MACs of its stations are not.
type drawing struct {
	routes routes
	ports  []port
	own    map[netip.Addr]bool
	macs   map[netip.Addr]packet.MAC // of static neighbours
	// bridged: which port a station is behind is learned, and no file knows it.
	bridged bool
}

func drawingOf(cfg *config.Config) drawing {
	d := drawing{routes: routesOf(cfg), own: map[netip.Addr]bool{}, macs: map[netip.Addr]packet.MAC{}, bridged: cfg.Topology == config.TopologyBridged}
	for _, p := range cfg.Ports {
		drawn := port{name: p.Name, mac: p.MAC, mtu: cmp.Or(p.MTU, 1500)} // a new device's
		if p.Kind == config.PortTAP {
			drawn.link = packet.LinkEthernet
		}
		d.ports = append(d.ports, drawn)
		for _, a := range p.Addresses {
			d.own[a.Addr()] = true
		}
	}
	for _, a := range append(cfg.VIPs(), cfg.PoolAddrs()...) {
		d.own[a] = true
	}
	for _, n := range cfg.Neighbours {
		d.macs[n.Address] = n.MAC
	}
	return d
}

// Generation implements director.Network.
func (d drawing) Generation() uint32 { return 1 }

// Local implements director.Network.
func (d drawing) Local(a netip.Addr) bool { return d.own[a] }

// NextHop implements director.Network.
func (d drawing) NextHop(_ time.Duration, dst netip.Addr) (packet.Hop, packet.Reason) {
	return d.PeekHop(dst)
}

// PeekHop implements director.Network: every station answers, with a MAC of
// zero where the file does not say one.
func (d drawing) PeekHop(dst netip.Addr) (packet.Hop, packet.Reason) {
	r, ok := d.routes.lookup(dst)
	if !ok || dst.IsMulticast() || d.own[dst] {
		return packet.Hop{}, packet.NoRoute
	}
	hop := d.ports[r.port].hop(r.port)
	hop.Dst = d.macs[dst]
	if d.bridged {
		hop.Port = packet.NoPort
	}
	return hop, packet.OK
}
