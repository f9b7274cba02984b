package appliance

import (
	"fmt"
	"net/netip"

	"weir/appliance/config"
	"weir/appliance/director"
	"weir/tunnel"
)

// newDirector makes a director for cfg, with its services in force. What
// depends on the configuration is added to o.
func newDirector(cfg *config.Config, o director.Options) (*director.Director, error) {
	o.Transparent = cfg.Topology == config.TopologyBridged
	o.Pool = cfg.PoolAddrs()
	o.PoolPorts = [2]uint16{cfg.Limits.PoolPorts.First, cfg.Limits.PoolPorts.Last}
	services, err := specs(cfg, cfg.Services)
	if err != nil {
		return nil, err
	}
	d := director.New(o)
	d.SetTable(director.NewTable(services, timeouts(cfg.Timeouts), nil))
	return d, nil
}

var directorMethods = map[config.Method]director.Method{
	config.MethodNAT: director.NAT, config.MethodFullNAT: director.FullNAT,
	config.MethodDSR: director.DSR, config.MethodTunnel: director.Tunnel,
}

// specs are services as the director wants them. Where packets go to their real
// servers is what cfg says.
func specs(cfg *config.Config, services []config.Service) ([]director.ServiceSpec, error) {
	var list []director.ServiceSpec
	ways := routesOf(cfg)
	for _, s := range services {
		method, ok := directorMethods[s.Method]
		if !ok {
			return nil, fmt.Errorf("service %s: method %s is not available in this version", s.Name, s.Method)
		}
		spec := director.ServiceSpec{Name: s.Name, VIP: s.VIP, Proto: uint8(s.Protocol), Scheduler: s.Scheduler.String(), Method: method}
		for _, r := range s.Reals {
			rs := director.RealSpec{Name: r.Name, Addr: r.Address, Weight: r.Weight}
			if s.Method == config.MethodTunnel {
				var err error
				if rs.Encap, err = encapOf(cfg, ways, s.Tunnel, r.Address.Addr()); err != nil {
					return nil, fmt.Errorf("service %s: real server %s: %w", s.Name, r.Name, err)
				}
			}
			spec.Reals = append(spec.Reals, rs)
		}
		list = append(list, spec)
	}
	return list, nil
}

var tunnelTypes = map[config.TunnelType]tunnel.Type{
	config.TunnelIPIP: tunnel.IPIP, config.TunnelGRE: tunnel.GRE, config.TunnelGUE: tunnel.GUE, config.TunnelVXLAN: tunnel.VXLAN,
}

// encapOf is the tunnel to one real server.
func encapOf(cfg *config.Config, ways routes, t *config.Tunnel, real netip.Addr) (*tunnel.Encap, error) {
	src := sourceFor(cfg, ways, real)
	if !src.IsValid() {
		return nil, fmt.Errorf("weir has no address of its family to send the tunnel from: add one to a port")
	}
	return tunnel.New(tunnel.Config{
		Type: tunnelTypes[t.Type], Src: src, Dst: real, Port: t.Port, TTL: t.TTL, MayFragment: t.Fragment == config.FragmentOuter,
	})
}

// sourceFor is weir's own address towards dst, of dst's family: the one in its
// subnet, else one of the port that leads there, else any. It is the zero Addr
// where weir has none.
func sourceFor(cfg *config.Config, ways routes, dst netip.Addr) netip.Addr {
	way, known := ways.lookup(dst)
	var best netip.Addr
	rank := 0
	for i, p := range cfg.Ports {
		for _, a := range p.Addresses {
			own := a.Addr()
			if own.Is4() != dst.Is4() || own.IsLinkLocalUnicast() {
				continue
			}
			r := 1
			switch {
			case a.Contains(dst):
				r = 3
			case known && way.port == i:
				r = 2
			}
			if r > rank {
				best, rank = own, r
			}
		}
	}
	return best
}

func timeouts(t config.Timeouts) director.Timeouts {
	return director.NewTimeouts(director.TimeoutSpec{
		director.SynSent: t.SynSent, director.SynRecv: t.SynRecv, director.Established: t.Established,
		director.FinWait: t.FinWait, director.CloseWait: t.CloseWait, director.LastAck: t.LastAck,
		director.TimeWait: t.TimeWait, director.Closed: t.Close,
		director.UDPNew: t.UDP, director.UDPReplied: t.UDP,
	})
}
