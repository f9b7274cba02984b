package appliance

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"weir/appliance/config"
	"weir/appliance/director"
	"weir/netstack/packet"
)

// film is a configuration as it is changed step by step, and the plan of each
// step. The first line of a step says what the operator does.
type scene struct {
	name    string
	replace []string // pairs: what is written instead of what
	plan    string   // one line a change
}

var film = []scene{
	{"nothing is touched", nil, "nothing changes"},
	{"comments and blanks change nothing", []string{"services:", "# the services\n\nservices:"}, "nothing changes"},
	{"defaults that are written out change nothing", []string{"method: nat", "method: nat\n    protocol: tcp\n    scheduler: wrr"}, "nothing changes"},
	{"a weight", []string{"weight: 3", "weight: 0"}, "change real r1 of web weight: 3 -> 0"},
	{"a real server moves", []string{"10.2.0.12:8080", "10.2.0.13:8080"}, `
		add real 10.2.0.13:8080 of web: 10.2.0.13:8080 weight 1
		remove real 10.2.0.12:8080 of web: 10.2.0.12:8080 weight 1`},
	{"a named one keeps its name", []string{"10.2.0.11:8080, weight: 0", "10.2.0.99:8080, weight: 0"},
		"change real r1 of web address: 10.2.0.11:8080 -> 10.2.0.99:8080"},
	{"another scheduler", []string{"scheduler: wrr", "scheduler: rr"}, "change service web scheduler: wrr -> rr"},
	{"the order of real servers counts for schedulers", []string{
		"- {name: r1, address: 10.2.0.99:8080, weight: 0}\n      - 10.2.0.13:8080", "- 10.2.0.13:8080\n      - {name: r1, address: 10.2.0.99:8080, weight: 0}"},
		"change service web order of real servers: r1 10.2.0.13:8080 -> 10.2.0.13:8080 r1"},
	{"a service comes", []string{"services:", "services:\n  - {name: dns, vip: \"[2001:db8::10]:53\", protocol: udp, method: nat, reals: [\"[fd00:2::11]:53\"]}"}, `
		add service dns: udp [2001:db8::10]:53, method nat, scheduler wrr
		add real [fd00:2::11]:53 of dns: [fd00:2::11]:53 weight 1`},
	{"its address changes", []string{"2001:db8::10", "2001:db8::11"}, "change service dns vip: [2001:db8::10]:53 -> [2001:db8::11]:53"},
	{"it goes", []string{"\n  - {name: dns, vip: \"[2001:db8::11]:53\", protocol: udp, method: nat, reals: [\"[fd00:2::11]:53\"]}", ""},
		"remove service dns: udp [2001:db8::11]:53, method nat, scheduler wrr"},
	{"timeouts and the log's level", []string{"services:", "timeouts: {syn-sent: 10s, udp: 1m}\nlog: {level: debug}\nservices:"}, `
		change timeouts syn-sent: 30s -> 10s
		change timeouts udp: 5m0s -> 1m0s
		change log level: info -> debug`},
	{"a port's addresses", []string{"10.1.0.1/24", "10.1.0.2/24"},
		"change port lan addresses: 10.1.0.1/24 fd00:1::1/64 -> 10.1.0.2/24 fd00:1::1/64 (needs a restart)"},
	{"a port's MTU, MAC and queues", []string{"tap: weir0", "tap: weir0\n    mtu: 1400\n    mac: \"02:00:00:00:00:09\"\n    queues: 2"}, `
		change port lan mtu: the device's own -> 1400 (needs a restart)
		change port lan mac: none -> 02:00:00:00:00:09 (needs a restart)
		change port lan queues: 1 -> 2 (needs a restart)`},
	{"a port's name", []string{"name: lan", "name: front"}, `
		add port front: tap weir0 (needs a restart)
		remove port lan: tap weir0 (needs a restart)`},
	{"a route", []string{"via: 10.1.0.254", "via: 10.1.0.253"}, "change route to 0.0.0.0/0: via 10.1.0.254 -> via 10.1.0.253 (needs a restart)"},
	{"the pool, its ports and neighbours", []string{"services:", `limits: {pool_ports: 2000-2999}
pool: [10.2.0.101-10.2.0.104]
neighbours: [{address: 10.2.0.11, mac: "02:00:00:00:00:11"}]
services:`}, `
		add neighbour 10.2.0.11: 02:00:00:00:00:11 (needs a restart)
		change pool: none -> 10.2.0.101-10.2.0.104 (needs a restart)
		change limits pool_ports: 1024-65535 -> 2000-2999 (needs a restart)`},
	{"a neighbour's MAC", []string{"00:00:00:11", "00:00:00:12"},
		"change neighbour 10.2.0.11 mac: 02:00:00:00:00:11 -> 02:00:00:00:00:12 (needs a restart)"},
	{"another method, with the pool", []string{"method: nat", "method: fullnat"}, "change service web method: nat -> fullnat"},
	{"and back", []string{"method: fullnat", "method: nat"}, "change service web method: fullnat -> nat"},
	{"the pool and neighbours go", []string{"limits: {pool_ports: 2000-2999}\npool: [10.2.0.101-10.2.0.104]\nneighbours: [{address: 10.2.0.11, mac: \"02:00:00:00:00:12\"}]\n", ""}, `
		remove neighbour 10.2.0.11: 02:00:00:00:00:12 (needs a restart)
		change pool: 10.2.0.101-10.2.0.104 -> none (needs a restart)
		change limits pool_ports: 2000-2999 -> 1024-65535 (needs a restart)`},
	{"limits, control and host", []string{"services:", "limits: {flows: 1000}\ncontrol: {socket: /run/other.sock}\nhost: {manage: false}\nservices:"}, `
		change control socket: none -> /run/other.sock (needs a restart)
		change host manage: true -> false (needs a restart)
		change limits flows: 262144 -> 1000 (needs a restart)`},
}

const firstScene = `topology: routed
ports:
  - name: lan
    tap: weir0
    addresses: [10.1.0.1/24, "fd00:1::1/64"]
  - name: dmz
    tap: weir1
    addresses: [10.2.0.1/24, "fd00:2::1/64"]
routes:
  - {to: 0.0.0.0/0, via: 10.1.0.254}
services:
  - name: web
    vip: 192.0.2.10:80
    method: nat
    reals:
      - {name: r1, address: 10.2.0.11:8080, weight: 3}
      - 10.2.0.12:8080
`

func configOf(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return cfg
}

// lines is the text of a plan without the indentation of a Go source.
func lines(s string) string {
	var list []string
	for _, l := range strings.Split(strings.TrimSpace(s), "\n") {
		list = append(list, strings.TrimSpace(l))
	}
	return strings.Join(list, "\n")
}

func TestPlanOfAFilm(t *testing.T) {
	text := firstScene
	for _, s := range film {
		old := configOf(t, text)
		for i := 0; i < len(s.replace); i += 2 {
			if !strings.Contains(text, s.replace[i]) {
				t.Fatalf("%s: there is no %q in\n%s", s.name, s.replace[i], text)
			}
			text = strings.Replace(text, s.replace[i], s.replace[i+1], 1)
		}
		if got, want := Plan(old, configOf(t, text)).String(), lines(s.plan); got != want {
			t.Errorf("%s: the plan is\n%s\nwant\n%s", s.name, got, want)
		}
	}
	if back := Plan(configOf(t, text), configOf(t, firstScene)); len(back.Restarts()) == 0 || back.Empty() {
		t.Errorf("the way back is %s", back)
	}
}

// A key that Plan forgot would be ignored in silence at a reload: each value of
// a configuration is changed in turn, and each time there must be a plan.
func TestPlanSeesEveryValue(t *testing.T) {
	cfg := func() *config.Config {
		c := configOf(t, firstScene)
		c.Neighbours = []config.Neighbour{{Address: netip.MustParseAddr("10.2.0.11"), MAC: packet.MAC{2, 0, 0, 0, 0, 1}}}
		c.Pool = []config.PoolRange{{From: netip.MustParseAddr("10.2.0.100"), To: netip.MustParseAddr("10.2.0.101")}}
		s := &c.Services[0]
		s.Affinity, s.Check, s.Cookie, s.Tunnel = &config.Affinity{}, &config.Check{}, &config.Cookie{}, &config.Tunnel{}
		return c
	}
	if p := Plan(cfg(), cfg()); !p.Empty() {
		t.Fatalf("equal configurations differ: %s", p)
	}
	paths := leaves("", reflect.ValueOf(cfg()).Elem())
	if len(paths) < 60 {
		t.Fatalf("only %d values found", len(paths))
	}
	for i, path := range paths {
		old, changed := cfg(), cfg()
		n := 0
		mutate(reflect.ValueOf(changed).Elem(), i, &n)
		if Plan(old, changed).Empty() {
			t.Errorf("%s changed, and the plan is empty", path)
		}
	}
}

// leaf reports whether v is a value and not a container of values.
func leaf(v reflect.Value) bool {
	switch v.Interface().(type) {
	case netip.Addr, netip.AddrPort, netip.Prefix, packet.MAC:
		return true
	}
	k := v.Kind()
	return k != reflect.Struct && k != reflect.Slice && k != reflect.Pointer
}

func parts(v reflect.Value) (list []reflect.Value, names []string) {
	switch v.Kind() {
	case reflect.Pointer:
		return []reflect.Value{v.Elem()}, []string{""}
	case reflect.Struct:
		for i := range v.NumField() {
			list, names = append(list, v.Field(i)), append(names, "."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		for i := range v.Len() {
			list, names = append(list, v.Index(i)), append(names, fmt.Sprintf("[%d]", i))
		}
	}
	return list, names
}

func leaves(path string, v reflect.Value) (paths []string) {
	if leaf(v) {
		return []string{path}
	}
	list, names := parts(v)
	for i := range list {
		paths = append(paths, leaves(path+names[i], list[i])...)
	}
	return paths
}

// mutate changes the leaf with number want.
func mutate(v reflect.Value, want int, n *int) {
	if !leaf(v) {
		list, _ := parts(v)
		for _, e := range list {
			mutate(e, want, n)
		}
		return
	}
	if *n++; *n != want+1 {
		return
	}
	switch x := v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("198.51.100.1")))
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("198.51.100.1:99")))
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("198.51.100.1/25")))
	case packet.MAC:
		x[5]++
		v.Set(reflect.ValueOf(x))
	default:
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Uint8, reflect.Uint16:
			v.SetUint(v.Uint() + 1)
		default:
			v.SetInt(v.Int() + 1)
		}
	}
}

// A file that says nothing about timeouts and a director that is told nothing
// mean the same.
func TestTheDefaultsOfConfigAreTheDirectors(t *testing.T) {
	cfg := configOf(t, routed)
	if got, want := timeouts(cfg.Timeouts), director.DefaultTimeouts(); got != want {
		t.Errorf("config's default timeouts are %v, the director's %v", got, want)
	}
}
