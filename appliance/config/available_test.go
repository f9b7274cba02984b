package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every row of notBuilt is refused where it is used, and names something that
// the grammar has: a row that outlived its word would be dead.
func TestWhatIsNotBuiltIsRefusedWhereItStands(t *testing.T) {
	_, err := Parse("reference.yaml", []byte(everything()))
	faults, _ := err.(Faults)
	refused := func(path, text string) bool {
		return slices.ContainsFunc(faults, func(f Fault) bool { return f.Message == path+": "+text })
	}
	for g := range notBuilt {
		if g.word == "" {
			path := map[string]string{"services[].cookie": "services[6].cookie"}[g.pattern]
			if path == "" {
				path = strings.ReplaceAll(g.pattern, "[]", "[0]")
			}
			if !refused(path, "not available in this version") {
				t.Errorf("%s is not refused, or not in reference.yaml", path)
			}
			continue
		}
		text, err := "", error(nil)
		switch g.pattern {
		case "topology":
			text = strings.Replace(minimal, "topology: host", "topology: "+g.word, 1)
		case "services[].method":
			text = strings.Replace(minimal, "method: nat", "method: "+g.word, 1)
		case "services[].scheduler":
			text = strings.Replace(minimal, "method: nat", "method: nat\n    scheduler: "+g.word, 1)
		default:
			t.Fatalf("no file is known that uses %v", g)
		}
		_, err = Parse("weir.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), g.word+" is not available in this version; available: ") {
			t.Errorf("%v: got %v", g, err)
		}
	}
}

// What is to come is read in full already: its faults are found today, and the
// day a row of notBuilt goes, its values are there.
func TestWhatIsNotBuiltIsReadAllTheSame(t *testing.T) {
	text := `topology: one-arm
ports:
  - {name: lan, tap: weir0, bridge: br0, addresses: [10.0.0.2/24]}
pool: [10.0.0.16-10.0.0.19, 10.0.0.30]
services:
  - name: web
    vip: 10.0.0.100:80
    method: fullnat
    scheduler: wlc
    affinity: {by: source, prefix: 24, timeout: 1h}
    check: {http: /healthz, interval: 5s}
    reals: ["10.0.0.11:8080"]
  - {name: vx, vip: "10.0.0.101:80", method: tunnel, tunnel: {type: vxlan}, reals: []}
  - {name: ipip, vip: "10.0.0.102:80", method: tunnel, reals: []}
  - name: shop
    vip: 10.0.0.103:80
    method: proxy
    cookie: {name: SRV, mode: insert, indirect: true, maxlife: 8h}
    reals: []
control: {http: 127.0.0.1:9464}
`
	c, err := parseWith("weir.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	for what, pair := range map[string][2]any{
		"topology":  {c.Topology, TopologyOneArm},
		"bridge":    {c.Ports[0].Bridge, "br0"},
		"pool":      {c.Pool, []PoolRange{{addr("10.0.0.16"), addr("10.0.0.19")}, {addr("10.0.0.30"), addr("10.0.0.30")}}},
		"method":    {c.Services[0].Method, MethodFullNAT},
		"scheduler": {c.Services[0].Scheduler, SchedulerWLC},
		"affinity":  {c.Services[0].Affinity, &Affinity{AffinitySource, 24, time.Hour}},
		"check":     {c.Services[0].Check, &Check{CheckHTTP, "/healthz", 5 * time.Second, time.Second, 2, 3}},
		"vxlan":     {c.Services[1].Tunnel, &Tunnel{TunnelVXLAN, 4789, 64, FragmentNever}},
		"ipip":      {c.Services[2].Tunnel, &Tunnel{TunnelIPIP, 0, 64, FragmentNever}},
		"cookie":    {c.Services[3].Cookie, &Cookie{Name: "SRV", Indirect: true, MaxLife: 8 * time.Hour}},
		"http":      {c.Control.HTTP, netip.MustParseAddrPort("127.0.0.1:9464")},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %+v, want %+v", what, pair[0], pair[1])
		}
	}
}
