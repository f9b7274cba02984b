package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Defaults that are more than a zero. They are applied here and nowhere else.
const (
	defaultScheduler = SchedulerWRR
	defaultWeight    = 1
	defaultFlows     = 262144
	defaultTTL       = 64   // RFC 1700, and what hosts send
	defaultGUEPort   = 6080 // IANA
	defaultVXLANPort = 4789 // RFC 7348, section 5
)

// defaultPoolPorts are all ports but the well-known ones.
var defaultPoolPorts = PortRange{1024, 65535}

// defaultTimeouts are those of IPVS, with exceptions that README.md explains:
// syn-sent, syn-recv and icmp are shorter.
var defaultTimeouts = Timeouts{
	Established: 15 * time.Minute,
	SynSent:     30 * time.Second,
	SynRecv:     30 * time.Second,
	FinWait:     2 * time.Minute,
	TimeWait:    2 * time.Minute,
	Close:       10 * time.Second,
	CloseWait:   time.Minute,
	LastAck:     30 * time.Second,
	UDP:         5 * time.Minute,
	ICMP:        30 * time.Second,
}

// build makes the Config of a draft that has no fault.
func build(f *draft) *Config {
	c := &Config{
		Topology: f.topology.v,
		Control:  Control{Socket: f.socket.v, HTTP: f.http.v},
		Host:     HostSide{Manage: f.manage.or(true)},
		Limits:   Limits{Flows: f.flows.or(defaultFlows), PoolPorts: f.poolPorts.or(defaultPoolPorts)},
		Timeouts: buildTimeouts(f.timeouts),
		Log:      Log{Level: f.level.or(slog.LevelInfo), Format: f.format.or(LogText)},
	}
	for _, p := range f.ports.v {
		c.Ports = append(c.Ports, buildPort(p))
	}
	for _, r := range f.routes.v {
		c.Routes = append(c.Routes, Route{To: r.to.v, Via: r.via.v, Port: r.port.v})
	}
	for _, n := range f.neighbours.v {
		c.Neighbours = append(c.Neighbours, Neighbour{Address: n.address.v, MAC: n.mac.v})
	}
	for _, r := range f.pool.v {
		c.Pool = append(c.Pool, r.v)
	}
	for _, s := range f.services.v {
		c.Services = append(c.Services, buildService(s))
	}
	return c
}

func buildTimeouts(given map[string]at[time.Duration]) Timeouts {
	t := defaultTimeouts
	for key, field := range t.byKey() {
		*field = given[key].or(*field)
	}
	return t
}

// byKey are the fields of t under the names that the file gives them.
func (t *Timeouts) byKey() map[string]*time.Duration {
	return map[string]*time.Duration{
		"established": &t.Established, "syn-sent": &t.SynSent, "syn-recv": &t.SynRecv, "fin-wait": &t.FinWait,
		"time-wait": &t.TimeWait, "close": &t.Close, "close-wait": &t.CloseWait, "last-ack": &t.LastAck,
		"udp": &t.UDP, "icmp": &t.ICMP,
	}
}

func buildPort(d portDraft) Port {
	p := Port{
		Name:   d.name.v,
		Kind:   d.kind.v,
		Device: d.device.v,
		Bridge: d.bridge.v,
		MTU:    d.mtu.or(0),
		MAC:    d.mac.v,
		Queues: d.queues.or(1),
	}
	for _, a := range d.addresses.v {
		p.Addresses = append(p.Addresses, a.v)
	}
	return p
}

func buildService(d serviceDraft) Service {
	s := Service{
		Name:      d.name.v,
		VIP:       d.vip.v,
		Protocol:  d.protocol.or(ProtocolTCP),
		Method:    d.method.v,
		Scheduler: d.scheduler.or(defaultScheduler),
	}
	if d.affinity.ok {
		s.Affinity = buildAffinity(d.affinity.v, s.VIP.Addr())
	}
	if d.check.ok {
		s.Check = buildCheck(d.check.v)
	}
	if d.cookie.ok {
		s.Cookie = &d.cookie.v
	}
	if s.Method == MethodTunnel {
		s.Tunnel = buildTunnel(d.tunnel.v)
	}
	for _, r := range d.reals.v {
		s.Reals = append(s.Reals, Real{Name: r.fullName(), Address: r.address.v, Weight: r.weight.or(defaultWeight)})
	}
	return s
}

// fullName is the real server's name: its address where the file gives none.
func (r realDraft) fullName() string {
	switch {
	case r.name.ok:
		return r.name.v
	case r.address.v.Port() == 0:
		return r.address.v.Addr().String()
	}
	return r.address.v.String()
}

func buildAffinity(d affinityDraft, vip netip.Addr) *Affinity {
	return &Affinity{By: d.by.v, Prefix: d.prefix.or(vip.BitLen()), Timeout: d.timeout.or(5 * time.Minute)}
}

func buildCheck(d checkDraft) *Check {
	return &Check{
		Kind:     d.kind.v,
		Path:     d.path,
		Interval: d.interval.or(2 * time.Second),
		Timeout:  d.timeout.or(time.Second),
		Rise:     d.rise.or(2),
		Fall:     d.fall.or(3),
	}
}

func buildTunnel(d tunnelDraft) *Tunnel {
	t := &Tunnel{Type: d.kind.or(TunnelIPIP), Port: uint16(d.port.v), TTL: uint8(d.ttl.or(defaultTTL)), Fragment: d.fragment.v}
	switch {
	case t.Port != 0:
	case t.Type == TunnelGUE:
		t.Port = defaultGUEPort
	case t.Type == TunnelVXLAN:
		t.Port = defaultVXLANPort
	}
	return t
}
