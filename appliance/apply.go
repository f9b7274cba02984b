package appliance

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weir/appliance/config"
	"weir/appliance/control"
	"weir/appliance/director"
)

// Apply makes cfg the configuration in force, or returns an error and has
// changed nothing. Connections that are open stay so, those of removed real
// servers too. What can only change with a restart is refused.
func (a *Appliance) Apply(cfg *config.Config) (control.Plan, error) {
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.ending {
		return control.Plan{}, errors.New("weir is stopping: nothing can be applied")
	}
	old := a.Config()
	plan := Plan(old, cfg)
	if late := plan.Restarts(); late != nil {
		return plan, fmt.Errorf("restart weir to apply this file, a running one cannot change: %s", whatOf(late))
	}
	if plan.Empty() {
		return plan, nil
	}
	c, err := changeOf(old, cfg)
	if err != nil {
		return plan, err
	}
	if err := a.prepare(c); err != nil {
		return plan, err
	}
	a.commit(c)
	for _, change := range plan.Changes {
		a.log.Info("configuration changed", "change", change.String())
	}
	return plan, nil
}

// whatOf names what changes.
func whatOf(changes []control.Change) string {
	var list []string
	for _, c := range changes {
		what := c.What
		if c.Key != "" {
			what += " " + c.Key
		}
		list = append(list, what)
	}
	return strings.Join(list, ", ")
}

// change is what moves between two configurations.
type change struct {
	old, new    *config.Config
	come, leave []netip.Addr // VIPs
	was, is     []director.ServiceSpec
}

func changeOf(old, new *config.Config) (c change, err error) {
	c = change{old: old, new: new, come: without(new.VIPs(), old.VIPs()), leave: without(old.VIPs(), new.VIPs())}
	if c.was, err = specs(old, old.Services); err == nil {
		c.is, err = specs(new, new.Services)
	}
	return c, err
}

// without are the addresses that others has not.
func without(addrs, others []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		_, found := slices.BinarySearchFunc(others, a, netip.Addr.Compare) // VIPs are sorted
		return found
	})
}

// prepare does what may fail: it brings the new VIPs. The director knows an
// address before anything sends packets for it, or the stack behind it would
// answer them with RST.
func (a *Appliance) prepare(c change) (err error) {
	if len(c.come) > 0 {
		a.setTable(both(c.was, c.is, c.come), c.old.Timeouts)
	}
	var added []netip.Addr
	defer func() {
		if err != nil {
			for _, vip := range added {
				err = errors.Join(err, a.stack.RemoveVIP(vip))
			}
			a.setTable(c.was, c.old.Timeouts) // made from the one in force: it may have begun flows
		}
	}()
	for _, vip := range c.come {
		if err := a.stack.AddVIP(vip); err != nil {
			return err
		}
		added = append(added, vip)
	}
	return a.steering.Extend(wanted(c.new))
}

// commit cannot fail. What it cannot tidy up it reports: traffic for the VIPs
// in force is not concerned.
func (a *Appliance) commit(c change) {
	a.setTable(both(c.is, c.was, c.leave), c.new.Timeouts)
	a.config.Store(c.new)
	a.setLevel(c.new)
	a.segment.Remove(c.leave...)
	for _, vip := range c.come {
		if onSegment(c.new, vip) {
			a.segment.Add(vip)
		}
	}
	a.lingering.change(a.clock(), c.old, c.new)
	a.reduce()
	for _, vip := range c.leave {
		if err := a.stack.RemoveVIP(vip); err != nil {
			a.log.Warn("a VIP that is not configured any more still answers", "error", err)
		}
	}
	if len(c.leave) > 0 {
		a.setTable(c.is, c.new.Timeouts)
	}
}

// both are services, and those of others whose VIP is one of vips, which are
// sorted.
func both(services, others []director.ServiceSpec, vips []netip.Addr) []director.ServiceSpec {
	all := slices.Clone(services)
	for _, s := range others {
		if _, found := slices.BinarySearchFunc(vips, s.VIP.Addr(), netip.Addr.Compare); found {
			all = append(all, s)
		}
	}
	return all
}

func (a *Appliance) setTable(services []director.ServiceSpec, t config.Timeouts) {
	a.director.SetTable(director.NewTable(services, timeouts(t), a.director.Table()))
}

func (a *Appliance) setLevel(cfg *config.Config) {
	if a.options.Level != nil {
		a.options.Level.Set(cfg.Log.Level)
	}
}
