package lab

import (
	"errors"
	"fmt"
	"os/exec"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/device"
)

// kernelPlace is weir's namespace.
type kernelPlace struct {
	world *kernelWorld
	ns    *namespace
}

func (w *kernelWorld) Weir() Place { return &kernelPlace{world: w, ns: w.weir} }

func (p *kernelPlace) Config() string { return p.world.topology.config(true) }

func (p *kernelPlace) Do(f func() error) error { return p.ns.do(f) }

func (p *kernelPlace) Start(cmd *exec.Cmd) (Process, error) { return p.world.start(p.ns, cmd) }

func (p *kernelPlace) Open(c device.Config) (dev device.Device, err error) {
	err = p.ns.do(func() (err error) {
		if dev, err = device.Open(c); err != nil {
			return err
		}
		if bridge := p.world.bridgeFor(c.Name); bridge != "" {
			// The watcher would do it too, at its own time: a caller who sends
			// a frame now means it to arrive.
			if err = join(c.Name, bridge); err != nil {
				return errors.Join(err, dev.Close())
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return dev, nil
}

// bridgeFor is the bridge that a device of weir's belongs to; "" for none.
func (w *kernelWorld) bridgeFor(name string) string {
	for _, p := range w.topology.Weir.Ports {
		if p.Device == name && p.Segment != "" {
			return bridgeName(p.Segment)
		}
	}
	return ""
}

// join puts a link into a bridge. That it is in it already is no error.
func join(name, bridge string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("%s: %w", bridge, err)
	}
	if err := netlink.LinkSetMaster(link, br); err != nil {
		return fmt.Errorf("put %s into %s: %w", name, bridge, err)
	}
	return nil
}

// watchTAPs puts each TAP of weir's into its segment whenever it appears: weir
// may be another process, and may be restarted.
func (w *kernelWorld) watchTAPs() error {
	taps := false
	for _, p := range w.topology.Weir.Ports {
		taps = taps || p.Segment != ""
	}
	if !taps {
		return nil
	}
	updates := make(chan netlink.LinkUpdate)
	err := w.weir.do(func() error { return netlink.LinkSubscribe(updates, w.alive.Done()) })
	if err != nil {
		return fmt.Errorf("watch the links of weir's namespace: %w", err)
	}
	w.watchers.Go(func() {
		for u := range updates { // closed once alive has ended
			bridge := w.bridgeFor(u.Attrs().Name)
			if u.Header.Type != unix.RTM_NEWLINK || bridge == "" || u.Attrs().MasterIndex != 0 {
				continue
			}
			// It fails only where the TAP is gone again, and then there will be
			// word of the next.
			_ = w.weir.do(func() error { return join(u.Attrs().Name, bridge) })
		}
	})
	return nil
}
