package config

import (
	"time"

	"weir/netstack/packet"
)

// Ranges of what a file may ask for. Where a room that the value goes to has a
// bound of its own, a test of package appliance holds the two together.
const (
	minMTU, maxMTU = 576, packet.MaxMTU // RFC 791's smallest that every host takes
	maxPorts       = int(packet.NoPort)
	maxQueues      = 256 // the kernel's own bound for a multi-queue TAP
	maxFlows       = 1 << 24
	maxWeight      = 65535
	minTimeout     = 100 * time.Millisecond // shorter ones would end flows between a packet and its answer
	maxTimeout     = 7 * 24 * time.Hour
	maxSocketPath  = 90 // sun_path of every system, less the name under which the socket is made
)

// readFile reads the whole document.
func readFile(root cursor) draft {
	o := root.object()
	f := draft{place: root.place}
	f.topology = choose(o.need("topology"), topologies)
	f.ports = list(o.need("ports"), readPort)
	f.routes = list(o.get("routes"), readRoute)
	f.neighbours = list(o.get("neighbours"), readNeighbour)
	f.pool = list(o.get("pool"), cursor.poolRange)
	f.services = list(o.need("services"), readService)
	control := o.get("control").object()
	f.socket = control.get("socket").socketPath()
	f.http = control.get("http").listen()
	f.manage = o.get("host").object().get("manage").boolean()
	limits := o.get("limits").object()
	f.flows = limits.get("flows").integer(1, maxFlows)
	f.poolPorts = limits.get("pool_ports").portRange()
	timeouts := o.get("timeouts").object()
	f.timeouts = map[string]at[time.Duration]{}
	for _, key := range grammar["timeouts"] {
		f.timeouts[key] = timeouts.get(key).duration(minTimeout, maxTimeout)
	}
	log := o.get("log").object()
	f.level = choose(log.get("level"), logLevels)
	f.format = choose(log.get("format"), logFormats)
	return f
}

func readPort(c cursor) portDraft {
	o := c.object()
	p := portDraft{place: o.place}
	p.name = o.need("name").name(nameSigns)
	tap, tun := o.get("tap"), o.get("tun")
	switch {
	case tap.written() && tun.written():
		tun.fault("a port has a tap or a tun, not both: tap is in line %d", tap.line)
	case tap.written():
		p.kind, p.device = set(tap, PortTAP), tap.device()
	case tun.written():
		p.kind, p.device = set(tun, PortTUN), tun.device()
	case o.lacks("tap", "tun"):
		o.fault(`missing key "tap" or "tun": the device that weir creates`)
	}
	p.bridge = o.get("bridge").device()
	p.addresses = list(o.get("addresses"), cursor.subnet)
	p.mtu = o.get("mtu").integer(minMTU, maxMTU)
	p.mac = o.get("mac").mac()
	p.queues = o.get("queues").integer(1, maxQueues)
	return p
}

func readRoute(c cursor) routeDraft {
	o := c.object()
	r := routeDraft{place: o.place}
	r.to = o.need("to").prefix()
	via, port := o.get("via"), o.get("port")
	if o.lacks("via", "port") {
		o.fault(`missing key "via" (the next hop's address) or "port" (to is on that port's own segment)`)
	}
	r.via = via.addr()
	r.port = port.name(nameSigns)
	return r
}

func readNeighbour(c cursor) neighbourDraft {
	o := c.object()
	return neighbourDraft{place: o.place, address: o.need("address").addr(), mac: o.need("mac").mac()}
}

func readService(c cursor) serviceDraft {
	o := c.object()
	s := serviceDraft{place: o.place}
	s.name = o.need("name").name(nameSigns)
	s.vip = o.need("vip").endpoint(false)
	s.protocol = choose(o.get("protocol"), protocols)
	s.method = choose(o.need("method"), methods)
	s.scheduler = choose(o.get("scheduler"), schedulers)
	if c := o.get("affinity"); c.written() {
		s.affinity = set(c, readAffinity(c.object()))
	}
	if c := o.get("check"); c.written() {
		s.check = set(c, readCheck(c.object()))
	}
	if c := o.get("cookie"); c.written() {
		s.cookie = set(c, readCookie(c.object()))
	}
	if c := o.get("tunnel"); c.written() {
		s.tunnel = set(c, readTunnel(c.object()))
	}
	s.reals = list(o.need("reals"), readReal)
	return s
}

// readReal reads the long form or the short one, which is the address alone.
func readReal(c cursor) realDraft {
	if c.isText() {
		return realDraft{place: c.place, address: c.endpoint(true)}
	}
	o := c.object()
	return realDraft{
		place:   c.place,
		name:    o.get("name").name(nameSigns + ":[]"),
		address: o.need("address").endpoint(true),
		weight:  o.get("weight").integer(0, maxWeight),
	}
}

func readAffinity(o object) affinityDraft {
	return affinityDraft{
		by:      choose(o.need("by"), affinityKeys),
		prefix:  o.get("prefix").integer(0, 128),
		timeout: o.get("timeout").duration(minTimeout, maxTimeout),
	}
}

func readCheck(o object) checkDraft {
	var k checkDraft
	tcp, http := o.get("tcp"), o.get("http")
	switch {
	case tcp.written() && http.written():
		http.fault("a check asks one question: tcp is in line %d", tcp.line)
	case tcp.written():
		if yes := tcp.boolean(); yes.ok && !yes.v {
			tcp.fault("false checks nothing: remove the check, or write tcp: true")
		}
		k.kind = set(tcp, CheckTCP)
	case http.written():
		k.kind, k.path = set(http, CheckHTTP), http.urlPath()
	case o.lacks("tcp", "http"):
		o.fault(`missing key "tcp" or "http": what the check asks`)
	}
	k.interval = o.get("interval").duration(minTimeout, time.Hour)
	k.timeout = o.get("timeout").duration(10*time.Millisecond, time.Hour)
	k.rise = o.get("rise").integer(1, 100)
	k.fall = o.get("fall").integer(1, 100)
	return k
}

func readCookie(o object) Cookie {
	flag := func(key string) bool { return o.get(key).boolean().or(false) }
	span := func(key string) time.Duration { return o.get(key).duration(time.Second, 100*365*24*time.Hour).or(0) }
	return Cookie{
		Name:     o.need("name").cookieName().or(""),
		Mode:     choose(o.need("mode"), cookieModes).or(CookieInsert),
		Indirect: flag("indirect"),
		NoCache:  flag("nocache"),
		PostOnly: flag("postonly"),
		Preserve: flag("preserve"),
		HTTPOnly: flag("httponly"),
		Secure:   flag("secure"),
		Domain:   o.get("domain").name(nameSigns).or(""),
		MaxIdle:  span("maxidle"),
		MaxLife:  span("maxlife"),
		Dynamic:  flag("dynamic"),
	}
}

func readTunnel(o object) tunnelDraft {
	return tunnelDraft{
		kind:     choose(o.need("type"), tunnelTypes),
		port:     o.get("port").integer(1, 65535),
		ttl:      o.get("ttl").integer(1, 255),
		fragment: choose(o.get("fragment"), fragments),
	}
}
