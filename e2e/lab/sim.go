package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"weir/netstack"
	"weir/netstack/device"
	"weir/netstack/simnet"
)

// simWorld is a topology made of netstack/simnet.
type simWorld struct {
	topology Topology
	segments map[string]*simSegment
	hosts    map[string]*simHost
	place    *simPlace
	wires    map[[2]string]device.Device // what nodes are plugged in with, by node and segment

	alive context.Context // ends with Close
	end   context.CancelFunc

	mu     sync.Mutex
	closed bool
}

// NewSim builds t inside this process.
func NewSim(t Topology) (World, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	w := &simWorld{topology: t, segments: map[string]*simSegment{}, hosts: map[string]*simHost{},
		wires: map[[2]string]device.Device{}}
	w.alive, w.end = context.WithCancel(context.Background())
	w.place = newSimPlace(w)
	if err := w.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("simulation of topology %s: %w", t.Name, err), w.Close())
	}
	return w, nil
}

func (w *simWorld) build() error {
	for _, s := range w.topology.Segments {
		w.segments[s.Name] = newSimSegment(s)
	}
	for i := range w.topology.Nodes {
		n := &w.topology.Nodes[i]
		h, err := w.node(n)
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
		w.hosts[n.Name] = h
	}
	return nil
}

// node starts a router, or a host.
func (w *simWorld) node(n *Node) (*simHost, error) {
	if n.Forward {
		return w.router(n)
	}
	if len(n.Interfaces) != 1 {
		return nil, fmt.Errorf("it has %d interfaces; a simulated host has one, a router (Forward) may have more", len(n.Interfaces))
	}
	c := simnet.HostConfig{Name: n.Name, Addresses: n.Interfaces[0].Addresses}
	for _, r := range n.Routes {
		if r.To.Bits() != 0 {
			return nil, fmt.Errorf("route to %s: a simulated host has default routes only", r.To)
		}
		c.Gateways = append(c.Gateways, r.Via)
	}
	d, err := newBackDoor(w.plug(n, n.Interfaces[0]).Device, n)
	if err != nil {
		return nil, err
	}
	c.Device = d
	h, err := simnet.NewHost(c)
	if err != nil {
		return nil, err
	}
	for _, a := range n.Loopback {
		if err := h.Stack().AddVIP(a); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	return &simHost{world: w, node: n, host: h}, nil
}

// router starts a router. If it is the host around weir, it has a port for
// weir's TUN, and routes to weir's own addresses.
func (w *simWorld) router(n *Node) (*simHost, error) {
	c := simnet.RouterConfig{Name: n.Name}
	for _, i := range n.Interfaces {
		c.Ports = append(c.Ports, w.plug(n, i))
	}
	for _, r := range n.Routes {
		c.Routes = append(c.Routes, netstack.Route{To: r.To, Via: r.Via})
	}
	around := n.Name == w.topology.Weir.Node
	if around {
		for _, p := range w.topology.Weir.Ports {
			c.Ports = append(c.Ports, simnet.Port{Name: p.Device, Device: w.place.socket(p)})
			for _, a := range p.Addresses {
				c.Routes = append(c.Routes, netstack.Route{To: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Port: p.Device})
			}
		}
	}
	r, err := simnet.NewRouter(c)
	if err != nil {
		return nil, err
	}
	if around {
		w.place.around = r
	}
	return &simHost{world: w, node: n, host: r.Host}, nil
}

// plug attaches an interface of n to its segment.
func (w *simWorld) plug(n *Node, i Interface) simnet.Port {
	d := w.segments[i.Segment].Attach(n.Name, w.topology.mac(n.Name, i.Segment), 0)
	w.wires[[2]string{n.Name, i.Segment}] = d
	return simnet.Port{Name: i.Segment, Device: d, Addresses: i.Addresses}
}

func (w *simWorld) Name() string { return "sim" }

func (w *simWorld) Host(name string) Host {
	h := w.hosts[name]
	if h == nil {
		panic(fmt.Sprintf("lab: topology %s has no node %q", w.topology.Name, name))
	}
	return h
}

func (w *simWorld) Weir() Place { return w.place }

// Close ends the hosts before the segments that they are on.
func (w *simWorld) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.end()
	var errs []error
	for _, h := range w.hosts {
		errs = append(errs, h.host.Close())
	}
	for _, s := range w.segments {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
