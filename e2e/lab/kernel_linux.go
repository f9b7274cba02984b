package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// kernelWorld is a topology made of network namespaces: one per node, one for
// weir where it is a station of its own, and one for the bridges of segments
// that weir has no port on.
type kernelWorld struct {
	topology Topology
	nodes    map[string]*namespace
	weir     *namespace // a node's, or its own
	bridges  *namespace // nil until a segment needs it

	tunnels []*tunnelEnd

	alive    context.Context // ends with Close
	end      context.CancelFunc
	watchers sync.WaitGroup // end with alive

	mu        sync.Mutex
	closed    bool
	processes map[*process]struct{}
	captures  []*Capture
}

// NewKernel builds t out of this machine's kernel. It fails where Available
// does. Nothing of the machine's own network is touched.
func NewKernel(t Topology) (World, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	w := &kernelWorld{topology: t, nodes: map[string]*namespace{}, processes: map[*process]struct{}{}}
	w.alive, w.end = context.WithCancel(context.Background())
	if err := w.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("kernel world of topology %s: %w", t.Name, err), w.Close())
	}
	return w, nil
}

func (w *kernelWorld) build() error {
	for i := range w.topology.Nodes {
		n := &w.topology.Nodes[i]
		ns, err := newNamespace(n.Name)
		if err != nil {
			return err
		}
		w.nodes[n.Name] = ns
		if err := applySysctls(ns, nodeSysctls(n)); err != nil {
			return err
		}
	}
	if w.weir = w.nodes[w.topology.Weir.Node]; w.weir == nil {
		var err error
		if w.weir, err = newSwitch("weir"); err != nil {
			return err
		}
	}
	if err := w.wire(); err != nil {
		return err
	}
	if err := w.openTunnels(); err != nil {
		return err
	}
	return w.watchTAPs()
}

// newSwitch makes a namespace whose kernel only bridges: it must not answer or
// send anything of its own on the segments that run through it.
func newSwitch(name string) (*namespace, error) {
	ns, err := newNamespace(name)
	if err != nil {
		return nil, err
	}
	quiet := map[string]string{"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}
	if err := applySysctls(ns, quiet); err != nil {
		ns.close()
		return nil, err
	}
	return ns, nil
}

// nodeSysctls are the settings of a node: what it is asked to be, nothing that
// depends on the machine (IPv4 settings of a new namespace are the machine's),
// and no chatter that a capture would have to explain.
func nodeSysctls(n *Node) map[string]string {
	forward := "0"
	if n.Forward {
		forward = "1"
	}
	s := map[string]string{
		"ipv4/ip_forward":          forward,
		"ipv6/conf/all/forwarding": forward,
	}
	for _, conf := range []string{"all", "default"} {
		maps.Copy(s, map[string]string{
			"ipv4/conf/" + conf + "/rp_filter":            "0",
			"ipv4/conf/" + conf + "/accept_redirects":     "0",
			"ipv4/conf/" + conf + "/send_redirects":       "0",
			"ipv6/conf/" + conf + "/accept_redirects":     "0",
			"ipv6/conf/" + conf + "/accept_ra":            "0",
			"ipv6/conf/" + conf + "/accept_dad":           "0",
			"ipv6/conf/" + conf + "/dad_transmits":        "0",
			"ipv6/conf/" + conf + "/router_solicitations": "0",
		})
	}
	if len(n.Loopback) > 0 { // answer for what the interface has, and speak as that only
		s["ipv4/conf/all/arp_ignore"], s["ipv4/conf/all/arp_announce"] = "1", "2"
	}
	maps.Copy(s, n.Sysctls)
	return s
}

func applySysctls(ns *namespace, settings map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if err := ns.sysctl(key, settings[key]); err != nil {
			return err
		}
	}
	return nil
}

func (w *kernelWorld) Name() string { return "kernel" }

func (w *kernelWorld) Host(name string) Host {
	n := w.topology.Node(name)
	if n == nil {
		panic(fmt.Sprintf("lab: topology %s has no node %q", w.topology.Name, name))
	}
	return &kernelHost{world: w, node: n, ns: w.nodes[name]}
}

// Close ends programs first, so that they can still say goodbye over the
// network, and the namespaces last.
func (w *kernelWorld) Close() error {
	w.mu.Lock()
	w.closed = true
	captures := w.captures
	w.captures = nil
	running := slices.Collect(maps.Keys(w.processes))
	w.mu.Unlock()

	w.end()
	errs := []error{w.closeTunnels()}
	var ending sync.WaitGroup
	for _, p := range running {
		ending.Go(p.Stop)
	}
	ending.Wait()
	for _, c := range captures {
		errs = append(errs, c.Stop())
	}
	w.watchers.Wait()
	for _, ns := range w.nodes {
		ns.close()
	}
	for _, ns := range []*namespace{w.weir, w.bridges} {
		if ns != nil {
			ns.close()
		}
	}
	return errors.Join(errs...)
}
