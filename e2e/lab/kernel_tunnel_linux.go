package lab

import (
	"context"
	"errors"
	"fmt"

	"weir/tunnel/endpoint"
)

// tunnelEnd is the end of weir's tunnels on one node: what `weir decap` runs,
// in this process.
type tunnelEnd struct {
	*endpoint.Endpoint
	node  string
	stop  context.CancelFunc
	ended chan error
}

// openTunnels starts the tunnel ends of all nodes that want one.
func (w *kernelWorld) openTunnels() error {
	for i := range w.topology.Nodes {
		n := &w.topology.Nodes[i]
		if len(n.Decap) == 0 {
			continue
		}
		t := &tunnelEnd{node: n.Name, ended: make(chan error, 1)}
		err := w.nodes[n.Name].do(func() (err error) {
			t.Endpoint, err = endpoint.Open(endpoint.Config{VIPs: n.Loopback, Directors: n.Decap, NoSetup: true})
			return err
		})
		if err != nil {
			return fmt.Errorf("tunnel end of %s: %w", n.Name, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		t.stop = cancel
		go func() { t.ended <- t.Run(ctx) }() // until closeTunnels
		w.tunnels = append(w.tunnels, t)
		select {
		case <-t.Ready():
		case err := <-t.ended:
			t.ended <- err
			return fmt.Errorf("tunnel end of %s: %w", n.Name, err)
		}
	}
	return nil
}

func (w *kernelWorld) closeTunnels() error {
	var errs []error
	for _, t := range w.tunnels {
		t.stop()
		for _, err := range []error{<-t.ended, t.Close()} {
			if err != nil {
				errs = append(errs, fmt.Errorf("tunnel end of %s: %w", t.node, err))
			}
		}
	}
	w.tunnels = nil
	return errors.Join(errs...)
}
