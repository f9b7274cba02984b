package appliance

import (
	"weir/appliance/control"
	"weir/appliance/director"
	"weir/netstack"
	"weir/netstack/packet"
)

// Snapshot is what the appliance is and has counted.
func (a *Appliance) Snapshot() control.Snapshot {
	s := control.Snapshot{Services: []control.Service{}, Neighbours: []control.Neighbour{}}
	counts, traffic := a.director.Counts()
	method := map[string]string{}
	for _, sv := range a.Config().Services {
		method[sv.Name] = sv.Method.String()
	}
	for _, sv := range a.director.Table().Services() {
		s.Services = append(s.Services, serviceOf(sv, method[sv.Name], traffic))
	}
	for _, n := range a.stack.Neighbours() {
		s.Neighbours = append(s.Neighbours, a.neighbourOf(n))
	}
	s.Counters = countersOf(a.stack.Counters(), counts)
	return s
}

func serviceOf(sv *director.Service, method string, traffic []director.Traffic) control.Service {
	s := control.Service{
		Name: sv.Name, VIP: sv.VIP, Protocol: protocolName(sv.Proto), Method: method,
		Scheduler: sv.Scheduler, Reals: []control.Real{},
	}
	for _, r := range sv.Reals() {
		s.Reals = append(s.Reals, control.Real{
			Service: sv.Name, Name: r.Name, Address: r.Addr, Weight: r.Weight,
			Active: r.Active(), Inactive: r.Inactive(), Created: r.Created(), Traffic: trafficOf(r, traffic),
		})
	}
	return s
}

// trafficOf is the traffic of one real server: counts go by its id.
func trafficOf(r *director.Real, traffic []director.Traffic) control.Traffic {
	if r.ID() >= len(traffic) {
		return control.Traffic{}
	}
	return control.Traffic(traffic[r.ID()])
}

func protocolName(proto uint8) string {
	if proto == packet.UDP {
		return "udp"
	}
	return "tcp"
}

func (a *Appliance) neighbourOf(n netstack.Neighbour) control.Neighbour {
	row := control.Neighbour{
		Port: a.ports[n.Port].name, Address: n.Addr, State: n.State.String(), Contested: n.Contested, Age: n.Age.Seconds(),
	}
	if !n.MAC.IsZero() {
		row.MAC = n.MAC.String()
	}
	return row
}

func countersOf(s netstack.Counters, d director.Counts) control.Counters {
	c := control.Counters{
		Ports: []control.Port{},
		Stack: map[string]uint64{
			"delivered": s.Delivered, "forwarded": s.Forwarded, "icmp_errors_sent": s.Answers, "icmp_errors_suppressed": s.Suppressed,
			"neighbour_questions": s.Solicits, "address_claims": s.Spoofs, "neighbour_claims_refuted": s.Contests, "panics": s.Panics,
		},
		Flows: control.Flows{Live: d.Flows, Limit: d.Limit, Created: d.Created, Expired: d.Expired, Evicted: d.Evicted, Replaced: d.Replaced},
		Held:  control.Held{Frames: d.HeldFrames, Bytes: d.HeldBytes, Datagrams: d.FragmentDatagrams},
	}
	for _, p := range s.Ports {
		row := control.Port{Name: p.Name, RxFrames: p.RxFrames, RxBytes: p.RxBytes, TxFrames: p.TxFrames, TxBytes: p.TxBytes, Drops: map[string]uint64{}}
		for r := packet.OK + 1; r < packet.NumReasons; r++ {
			row.Drops[r.String()] = p.Drops[r]
		}
		c.Ports = append(c.Ports, row)
	}
	return c
}

// Flows calls yield for each live flow until it returns false. Once the
// appliance has ended there is none. yield must not wait for that end.
func (a *Appliance) Flows(yield func(control.Flow) bool) {
	a.memory.use(func() { a.flows(yield) })
}

func (a *Appliance) flows(yield func(control.Flow) bool) {
	a.director.Flows(a.clock(), func(f director.FlowInfo) bool {
		return yield(control.Flow{
			Protocol: protocolName(f.Proto), Client: f.Client, VIP: f.VIP, Address: f.Real,
			Service: f.Service, Real: f.Server, State: f.State.String(), Idle: f.Idle.Seconds(), Left: f.Left.Seconds(),
		})
	})
}
