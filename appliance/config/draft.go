package config

import (
	"log/slog"
	"net/netip"
	"time"

	"weir/netstack/packet"
)

// A draft is what a file says, each value at its place, before the checks that
// need more than one value and before the defaults.
type draft struct {
	place
	topology   at[Topology]
	ports      at[[]portDraft]
	routes     at[[]routeDraft]
	neighbours at[[]neighbourDraft]
	pool       at[[]at[PoolRange]]
	services   at[[]serviceDraft]
	socket     at[string]
	http       at[netip.AddrPort]
	manage     at[bool]
	flows      at[int]
	poolPorts  at[PortRange]
	timeouts   map[string]at[time.Duration] // by key
	level      at[slog.Level]
	format     at[LogFormat]
}

type portDraft struct {
	place
	name      at[string]
	kind      at[PortKind]
	device    at[string]
	bridge    at[string]
	addresses at[[]at[netip.Prefix]]
	mtu       at[int]
	mac       at[packet.MAC]
	queues    at[int]
}

type routeDraft struct {
	place
	to   at[netip.Prefix]
	via  at[netip.Addr]
	port at[string]
}

type neighbourDraft struct {
	place
	address at[netip.Addr]
	mac     at[packet.MAC]
}

type serviceDraft struct {
	place
	name      at[string]
	vip       at[netip.AddrPort]
	protocol  at[Protocol]
	method    at[Method]
	scheduler at[Scheduler]
	affinity  at[affinityDraft]
	check     at[checkDraft]
	cookie    at[Cookie]
	tunnel    at[tunnelDraft]
	reals     at[[]realDraft]
}

type realDraft struct {
	place
	name    at[string]
	address at[netip.AddrPort]
	weight  at[int]
}

type affinityDraft struct {
	by      at[AffinityKey]
	prefix  at[int]
	timeout at[time.Duration]
}

type checkDraft struct {
	kind              at[CheckKind]
	path              string
	interval, timeout at[time.Duration]
	rise, fall        at[int]
}

type tunnelDraft struct {
	kind     at[TunnelType]
	port     at[int]
	ttl      at[int]
	fragment at[Fragment]
}
