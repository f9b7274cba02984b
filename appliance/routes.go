package appliance

import (
	"net/netip"

	"weir/appliance/config"
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
