package director

import (
	"net/netip"
	"sync/atomic"

	"weir/netstack/packet"
	"weir/tunnel"
)

// Table is the set of virtual services in force. It is immutable: a change
// makes a new one, with the reals and their counts carried over.
type Table struct {
	services []*Service
	reals    []*Real  // by id, the removed ones that flows still use included
	free     int      // no id below it is free
	fresh    []uint32 // ids that this table gave to new reals
	used     atomic.Bool
	byKey    map[serviceKey]*Service
	vips     map[packet.Addr]struct{}
	ends     map[packet.Addr]struct{} // of flows: VIPs and real servers, removed ones included
	tunnels  []*Real                  // those at the far end of one
	filter   [vipFilterSize / 64]uint64
	timeouts Timeouts
}

// serviceKey names a virtual service; port 0 is the service for all ports.
type serviceKey struct {
	vip   packet.Addr
	port  uint16
	proto uint8
}

// ServiceSpec is a virtual service as it is asked for.
type ServiceSpec struct {
	Name      string
	VIP       netip.AddrPort // port 0: all ports
	Proto     uint8          // packet.TCP or packet.UDP
	Method    Method
	Scheduler string     // see NewScheduler
	Reals     []RealSpec // in file order
}

// RealSpec is a real server as it is asked for.
type RealSpec struct {
	Name   string
	Addr   netip.AddrPort // port 0: the port that the client asked for
	Weight int            // 0: keeps its flows, gets no new ones
	Encap  *tunnel.Encap  // of method tunnel
}

// Service is a virtual service in force.
type Service struct {
	ServiceSpec
	key       serviceKey
	reals     []*Real
	scheduler Scheduler
}

// Reals are the service's real servers in file order.
func (s *Service) Reals() []*Real { return s.reals }

// Real is one real server of one service, as a table has it.
type Real struct {
	RealSpec
	Service string // the name of its virtual service
	Proto   uint8  // that service's
	addr    packet.Addr
	vip     packet.Addr
	*tally
}

// tally is what outlives changes of the configuration: the table after next
// still counts in the same one. Flows name it by id.
type tally struct {
	id               uint32
	active, inactive atomic.Int64 // flows, told apart as IPVS does
	created          atomic.Uint64
	path             pathMTU
}

// Active counts flows that carry or are about to carry data; UDP never counts.
func (y *tally) Active() int64 { return y.active.Load() }

// Inactive counts all other flows of the real: closing ones, and UDP.
func (y *tally) Inactive() int64 { return y.inactive.Load() }

// Created counts all flows ever given to the real.
func (y *tally) Created() uint64 { return y.created.Load() }

// ID is the real's place in the traffic that Counts returns.
func (y *tally) ID() int { return int(y.id) }

func (y *tally) unused() bool { return y.Active() == 0 && y.Inactive() == 0 }

// NewTable builds a table. From old, which may be nil, it takes over the real
// servers that stay (same service key, same address) and those that flows still
// use. Specs are trusted: the configuration has been checked.
func NewTable(specs []ServiceSpec, timeouts Timeouts, old *Table) *Table {
	t := &Table{
		byKey: map[serviceKey]*Service{}, vips: map[packet.Addr]struct{}{}, ends: map[packet.Addr]struct{}{}, timeouts: timeouts,
	}
	t.inherit(old)
	for _, spec := range specs {
		s := &Service{ServiceSpec: spec, key: serviceKey{packet.AddrFrom(spec.VIP.Addr()), spec.VIP.Port(), spec.Proto}}
		before := old.service(s.key)
		for _, rs := range spec.Reals {
			r := t.put(&Real{RealSpec: rs, Service: spec.Name, Proto: spec.Proto, addr: packet.AddrFrom(rs.Addr.Addr()), vip: s.key.vip, tally: before.tallyOf(rs)})
			s.reals = append(s.reals, r)
			if r.Encap != nil {
				t.tunnels = append(t.tunnels, r)
			}
		}
		s.scheduler = newScheduler(spec.Scheduler, s.reals, before)
		t.services = append(t.services, s)
		t.byKey[s.key] = s
		t.vips[s.key.vip] = struct{}{}
		t.filterAdd(&s.key.vip)
	}
	for _, r := range t.reals {
		if r != nil {
			t.ends[r.addr], t.ends[r.vip] = struct{}{}, struct{}{}
		}
	}
	return t
}

func (t *Table) service(k serviceKey) *Service {
	if t == nil {
		return nil
	}
	return t.byKey[k]
}

// tallyOf is the tally of the real that spec names, if the service had it.
func (s *Service) tallyOf(spec RealSpec) *tally {
	if s == nil {
		return nil
	}
	for _, r := range s.reals {
		if r.Addr == spec.Addr {
			return r.tally
		}
	}
	return nil
}

// inherit takes over the reals of the table before, by id, so that flows of
// removed ones go on being counted. A real that was removed before already and
// has no flow left is forgotten, and its id is free: not sooner, because a
// packet that still works with the table before may be giving it a flow now.
func (t *Table) inherit(old *Table) {
	if old == nil {
		return
	}
	t.reals = append(t.reals, old.reals...)
	listed := old.listed()
	for i, r := range t.reals {
		if r != nil && !listed[r.tally] && r.unused() {
			t.reals[i] = nil
		}
	}
}

// put enters r by its tally's id, giving it a tally with a free id if it is new.
func (t *Table) put(r *Real) *Real {
	if r.tally != nil {
		t.reals[r.id] = r
		return r
	}
	for t.free < len(t.reals) && t.reals[t.free] != nil {
		t.free++
	}
	if t.free == len(t.reals) {
		t.reals = append(t.reals, nil)
	}
	r.tally = &tally{id: uint32(t.free)}
	t.fresh = append(t.fresh, r.id)
	t.reals[t.free] = r
	return r
}

// real is the real server that flows call id, or nil.
func (t *Table) real(id uint32) *Real {
	if int(id) >= len(t.reals) {
		return nil
	}
	return t.reals[id]
}

// Leaving are the real servers that no service has any more and flows still use.
func (t *Table) Leaving() (list []*Real) {
	listed := t.listed()
	for _, r := range t.reals {
		if r != nil && !listed[r.tally] && !r.unused() {
			list = append(list, r)
		}
	}
	return list
}

// listed are the real servers that services have.
func (t *Table) listed() map[*tally]bool {
	listed := map[*tally]bool{}
	for _, s := range t.services {
		for _, r := range s.reals {
			listed[r.tally] = true
		}
	}
	return listed
}

// Services are the virtual services in file order.
func (t *Table) Services() []*Service { return t.services }

// lookup finds the service of a packet to addr: the one for its port before
// the one for all ports.
func (t *Table) lookup(addr *packet.Addr, port uint16, proto uint8) *Service {
	k := serviceKey{*addr, port, proto}
	if s := t.byKey[k]; s != nil {
		return s
	}
	k.port = 0
	return t.byKey[k]
}

// IsVIP reports whether a service has this address.
func (t *Table) IsVIP(a *packet.Addr) bool {
	_, ok := t.vips[*a]
	return ok
}

// hasEnd reports whether a packet may belong to a flow: it goes to a VIP, or to
// one that was removed while flows to it go on, or it comes from a real server
// of such a service.
func (t *Table) hasEnd(src, dst *packet.Addr) bool {
	if _, ok := t.ends[*src]; ok || t.IsVIP(dst) {
		return true
	}
	_, ok := t.ends[*dst]
	return ok
}

// vipFilterSize is the number of bits of the filter in front of the VIPs. One
// bit a VIP: with ten VIPs one foreign address in fifty takes the wrong probe
// first, which costs time and nothing else.
const vipFilterSize = 512

func vipBit(a *packet.Addr) (word, bit uint32) {
	x := (a.V4() * 0x9e3779b1) >> 23
	return x >> 6, x & 63
}

func (t *Table) filterAdd(a *packet.Addr) {
	w, b := vipBit(a)
	t.filter[w] |= 1 << b
}

// maybeVIP is false only for addresses that are no VIP; it costs two
// nanoseconds, where a look into the map costs twenty.
func (t *Table) maybeVIP(a *packet.Addr) bool {
	w, b := vipBit(a)
	return t.filter[w]&(1<<b) != 0
}
