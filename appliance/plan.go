package appliance

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"weir/appliance/config"
	"weir/appliance/control"
)

// Plan lists the changes that lead from one configuration to another. It is
// pure: nothing is asked and nothing is done.
func Plan(old, new *config.Config) control.Plan {
	var d diff
	d.key("topology", "", old.Topology, new.Topology, restart)
	each(old.Ports, new.Ports, func(p *config.Port) string { return p.Name }, d.port)
	each(old.Routes, new.Routes, func(r *config.Route) string { return r.To.String() }, d.route)
	each(old.Neighbours, new.Neighbours, func(n *config.Neighbour) string { return n.Address.String() }, d.neighbour)
	d.key("pool", "", poolText(old.Pool), poolText(new.Pool), restart)
	each(old.Services, new.Services, func(s *config.Service) string { return s.Name }, d.service)
	d.key("control", "socket", old.Control.Socket, new.Control.Socket, restart)
	d.key("control", "http", old.Control.HTTP, new.Control.HTTP, restart)
	d.key("host", "manage", old.Host.Manage, new.Host.Manage, restart)
	d.key("limits", "flows", old.Limits.Flows, new.Limits.Flows, restart)
	d.key("limits", "pool_ports", old.Limits.PoolPorts, new.Limits.PoolPorts, restart)
	d.timeouts(old.Timeouts, new.Timeouts)
	d.key("log", "level", strings.ToLower(old.Log.Level.String()), strings.ToLower(new.Log.Level.String()), now)
	d.key("log", "format", old.Log.Format, new.Log.Format, restart)
	return control.Plan{Changes: d.changes}
}

// effect says when a change takes effect.
type effect bool

const (
	now     effect = false
	restart effect = true // at the next start only
)

// diff collects changes.
type diff struct{ changes []control.Change }

func (d *diff) add(action, what, from, to string, when effect) {
	d.changes = append(d.changes, control.Change{Action: action, What: what, From: from, To: to, Restart: bool(when)})
}

// key notes a value that differs.
func (d *diff) key(what, key string, from, to any, when effect) {
	if f, t := text(from), text(to); f != t {
		d.changes = append(d.changes, control.Change{Action: control.Modify, What: what, Key: key, From: f, To: t, Restart: bool(when)})
	}
}

// each calls do for each pair of elements with one name, in the order of new,
// and then for those that only old has. One of a pair is nil where it is missing.
func each[T any](old, new []T, name func(*T) string, do func(old, new *T)) {
	was := map[string]*T{}
	for i := range old {
		was[name(&old[i])] = &old[i]
	}
	kept := map[string]bool{}
	for i := range new {
		n := name(&new[i])
		kept[n] = true
		do(was[n], &new[i])
	}
	for i := range old {
		if !kept[name(&old[i])] {
			do(&old[i], nil)
		}
	}
}

func (d *diff) port(old, new *config.Port) {
	switch {
	case old == nil:
		d.add(control.Add, "port "+new.Name, "", fmt.Sprintf("%s %s", new.Kind, new.Device), restart)
	case new == nil:
		d.add(control.Remove, "port "+old.Name, fmt.Sprintf("%s %s", old.Kind, old.Device), "", restart)
	default:
		what := "port " + new.Name
		d.key(what, "device", fmt.Sprintf("%s %s", old.Kind, old.Device), fmt.Sprintf("%s %s", new.Kind, new.Device), restart)
		d.key(what, "bridge", old.Bridge, new.Bridge, restart)
		d.key(what, "addresses", old.Addresses, new.Addresses, restart)
		d.key(what, "mtu", mtuText(old.MTU), mtuText(new.MTU), restart)
		d.key(what, "mac", old.MAC, new.MAC, restart)
		d.key(what, "queues", old.Queues, new.Queues, restart)
	}
}

func mtuText(mtu int) string {
	if mtu == 0 {
		return "the device's own"
	}
	return strconv.Itoa(mtu)
}

func (d *diff) route(old, new *config.Route) {
	switch {
	case old == nil:
		d.add(control.Add, "route to "+new.To.String(), "", hopText(new), restart)
	case new == nil:
		d.add(control.Remove, "route to "+old.To.String(), hopText(old), "", restart)
	default:
		d.key("route to "+new.To.String(), "", hopText(old), hopText(new), restart)
	}
}

func (d *diff) neighbour(old, new *config.Neighbour) {
	switch {
	case old == nil:
		d.add(control.Add, "neighbour "+new.Address.String(), "", new.MAC.String(), restart)
	case new == nil:
		d.add(control.Remove, "neighbour "+old.Address.String(), old.MAC.String(), "", restart)
	default:
		d.key("neighbour "+new.Address.String(), "mac", old.MAC, new.MAC, restart)
	}
}

func hopText(r *config.Route) string {
	var parts []string
	if r.Via.IsValid() {
		parts = append(parts, "via "+r.Via.String())
	}
	if r.Port != "" {
		parts = append(parts, "port "+r.Port)
	}
	return strings.Join(parts, " ")
}

func (d *diff) service(old, new *config.Service) {
	switch {
	case old == nil:
		d.add(control.Add, "service "+new.Name, "", serviceText(new), now)
		for i := range new.Reals {
			d.real(new.Name)(nil, &new.Reals[i])
		}
	case new == nil:
		d.add(control.Remove, "service "+old.Name, serviceText(old), "", now)
	default:
		what := "service " + new.Name
		d.key(what, "vip", old.VIP, new.VIP, now)
		d.key(what, "protocol", old.Protocol, new.Protocol, now)
		d.key(what, "method", old.Method, new.Method, now)
		d.key(what, "scheduler", old.Scheduler, new.Scheduler, now)
		d.key(what, "affinity", old.Affinity, new.Affinity, now)
		d.key(what, "check", old.Check, new.Check, now)
		d.key(what, "cookie", old.Cookie, new.Cookie, now)
		d.key(what, "tunnel", old.Tunnel, new.Tunnel, now)
		each(old.Reals, new.Reals, func(r *config.Real) string { return r.Name }, d.real(new.Name))
		d.key(what, "order of real servers", common(old.Reals, new.Reals), common(new.Reals, old.Reals), now)
	}
}

func serviceText(s *config.Service) string {
	return fmt.Sprintf("%s %s, method %s, scheduler %s", s.Protocol, s.VIP, s.Method, s.Scheduler)
}

func (d *diff) real(service string) func(old, new *config.Real) {
	return func(old, new *config.Real) {
		switch {
		case old == nil:
			d.add(control.Add, "real "+new.Name+" of "+service, "", fmt.Sprintf("%s weight %d", new.Address, new.Weight), now)
		case new == nil:
			d.add(control.Remove, "real "+old.Name+" of "+service, fmt.Sprintf("%s weight %d", old.Address, old.Weight), "", now)
		default:
			what := "real " + new.Name + " of " + service
			d.key(what, "address", old.Address, new.Address, now)
			d.key(what, "weight", old.Weight, new.Weight, now)
		}
	}
}

// common are the names of the reals that others has too, in the order of reals:
// schedulers go by it.
func common(reals, others []config.Real) string {
	has := map[string]bool{}
	for _, r := range others {
		has[r.Name] = true
	}
	var names []string
	for _, r := range reals {
		if has[r.Name] {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, " ")
}

func (d *diff) timeouts(old, new config.Timeouts) {
	was, is := reflect.ValueOf(old), reflect.ValueOf(new)
	for i := range was.NumField() {
		d.key("timeouts", hyphenated(was.Type().Field(i).Name), was.Field(i).Interface(), is.Field(i).Interface(), now)
	}
}

// hyphenated is a field's name as the file writes it: SynSent is syn-sent.
func hyphenated(field string) string {
	var b strings.Builder
	for i, r := range field {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(rune(field[i-1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func poolText(pool []config.PoolRange) string {
	var parts []string
	for _, r := range pool {
		parts = append(parts, r.From.String()+"-"+r.To.String())
	}
	return strings.Join(parts, " ")
}

// text is a value as a line of a plan shows it; "" is none.
func text(v any) string {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Pointer:
		if r.IsNil() {
			return ""
		}
		return fmt.Sprintf("%+v", r.Elem().Interface())
	case reflect.Slice:
		var parts []string
		for i := range r.Len() {
			parts = append(parts, fmt.Sprint(r.Index(i).Interface()))
		}
		return strings.Join(parts, " ")
	}
	if z, ok := v.(interface{ IsZero() bool }); ok && z.IsZero() {
		return ""
	}
	if z, ok := v.(interface{ IsValid() bool }); ok && !z.IsValid() {
		return ""
	}
	return fmt.Sprint(v)
}
