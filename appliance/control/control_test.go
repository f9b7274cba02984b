package control

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestEveryQuestionGetsItsAnswer(t *testing.T) {
	src := newSource()
	c, ctx := NewClient(serve(t, src, nil, nil)), within(t)
	same := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	v, err := c.Version(ctx)
	same("version", v, Version{Version: "test", PID: 4711}, err)
	services, err := c.Services(ctx)
	same("services", services, src.snapshot.Services, err)
	reals, err := c.Reals(ctx)
	same("reals", reals, src.snapshot.Services[0].Reals, err)
	neighbours, err := c.Neighbours(ctx)
	same("neighbours", neighbours, src.snapshot.Neighbours, err)
	counters, err := c.Counters(ctx)
	same("counters", counters, src.snapshot.Counters, err)
	explained, err := c.Explain(ctx, "tcp 10.1.0.9:4000 > 192.0.2.10:80")
	want, _ := src.explain("tcp 10.1.0.9:4000 > 192.0.2.10:80")
	same("explain", explained, want, err)
	planned, err := c.Plan(ctx, "new file.yaml", []byte("text"))
	wantPlan, _ := src.plan("", []byte("text"))
	same("plan", planned, wantPlan, err)
	pending, err := c.Pending(ctx)
	wantPending, _ := src.plan("", nil)
	same("pending", pending, wantPending, err)
	applied, err := c.Apply(ctx, "weir.yaml", []byte("text"))
	same("apply", applied, wantPlan, err)
	same("applied text", src.applied, []string{"text"}, nil)
}

func TestErrorsArriveAsTheyWere(t *testing.T) {
	c, ctx := NewClient(serve(t, newSource(), nil, nil)), within(t)
	if _, err := c.Explain(ctx, ""); err == nil || err.Error() != "the packet is empty" {
		t.Errorf("explain: %v", err)
	}
	_, err := c.Apply(ctx, "a b&c.yaml", []byte("bad"))
	want := Faults{{"a b&c.yaml", 1, 2, "unknown key"}, {"a b&c.yaml", 3, 4, "missing"}}
	if got := (Faults)(nil); !errors.As(err, &got) || !reflect.DeepEqual(got, want) {
		t.Errorf("apply: %v, want %v", err, want)
	}
}

func TestFlowsAreListedToTheLimitAndCounted(t *testing.T) {
	c, ctx := NewClient(serve(t, newSource(), nil, nil)), within(t)
	for _, row := range []struct{ limit, listed int }{{0, 3}, {1, 1}, {2, 2}, {1000, 3}} {
		var ports []uint16
		live, err := c.Flows(ctx, row.limit, func(f Flow) bool {
			ports = append(ports, f.Client.Port())
			return true
		})
		if err != nil || live != 3 || len(ports) != row.listed || ports[0] != 4000 {
			t.Errorf("limit %d: ports %v, %d live, %v; want %d of 3", row.limit, ports, live, err, row.listed)
		}
	}
	if _, err := c.Flows(ctx, -1, func(Flow) bool { return true }); err == nil || !strings.Contains(err.Error(), `limit "-1"`) {
		t.Errorf("limit -1: %v", err)
	}
}

// A change of a name in the JSON breaks scripts: it is made here too, or not at all.
func TestWireNames(t *testing.T) {
	f := Flow{Protocol: "udp"}
	for _, row := range []struct {
		name string
		of   any
		keys string
	}{
		{"service", Service{}, "name vip protocol method scheduler reals"},
		{"real", Real{}, "service name address weight active inactive created traffic"},
		{"traffic", Traffic{}, "request_packets request_bytes reply_packets reply_bytes"},
		{"flow", flowLine{Flow: &f}, "protocol client vip address service real state idle_seconds left_seconds"},
		{"neighbour", Neighbour{}, "port address mac state contested age_seconds"},
		{"counters", Counters{}, "ports stack flows held"},
		{"port", Port{}, "name rx_frames rx_bytes tx_frames tx_bytes drops"},
		{"explanation", Explanation{}, "packet ingress offline steps verdict headers"},
		{"header", Header{}, "field before after changed"},
		{"change", Change{}, "action what restart"},
		{"fault", Fault{}, "file line column message"},
		{"version", Version{}, "version go platform pid started"},
	} {
		text, err := json.Marshal(row.of)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(row.keys)
		for _, key := range want {
			if _, ok := got[key]; !ok {
				t.Errorf("%s has no key %s: %s", row.name, key, text)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has other keys than %v: %s", row.name, want, text)
		}
	}
}

func TestPlanAsText(t *testing.T) {
	p := Plan{[]Change{
		{Action: Add, What: "service web", To: "tcp 192.0.2.10:80"},
		{Action: Remove, What: "real r1 of web"},
		{Action: Modify, What: "real r2 of web", Key: "weight", From: "1", To: "3"},
		{Action: Modify, What: "port lan", Key: "mac", To: "02:00:00:00:00:01", Restart: true},
	}}
	want := `add service web: tcp 192.0.2.10:80
remove real r1 of web
change real r2 of web weight: 1 -> 3
change port lan mac: none -> 02:00:00:00:00:01 (needs a restart)`
	if p.String() != want {
		t.Errorf("got\n%s\nwant\n%s", p, want)
	}
	if r := p.Restarts(); len(r) != 1 || r[0].What != "port lan" {
		t.Errorf("restarts: %v", r)
	}
	if s := (Plan{}).String(); s != "nothing changes" {
		t.Errorf("empty plan: %q", s)
	}
}
