package appliance

import (
	"log/slog"
	"strings"
	"testing"

	"weir/appliance/config"
	"weir/appliance/control"
)

// changed is a configuration with one thing written differently.
func changed(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q in\n%s", pairs[i], text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func apply(t *testing.T, a *Appliance, text string) {
	t.Helper()
	if _, err := a.Apply(configOf(t, text)); err != nil {
		t.Fatal(err)
	}
}

func TestApplyWhileTrafficFlows(t *testing.T) {
	noLeaks(t)
	a, c := start(t, routed, nil)
	client, real := stations(t, c)
	serve(t, real, "r2", "10.2.0.11:8081")
	before := dial(t, client, "tcp", "192.0.2.10:80")
	if got := before.ask("one"); got != "r1 one" {
		t.Fatalf("before: %q", got)
	}

	// The real server is replaced, and a service with a VIP of its own comes.
	text := changed(t, routed, "{name: r1, address: 10.2.0.11:8080}]}", "{name: r2, address: 10.2.0.11:8081}]}\n"+
		"  - {name: more, vip: 192.0.2.20:80, method: nat, reals: [10.2.0.11:8080]}")
	apply(t, a, text)
	if got := before.ask("two"); got != "r1 two" {
		t.Errorf("an open connection to a removed real server answers %q", got)
	}
	if got := dial(t, client, "tcp", "192.0.2.10:80").ask("three"); got != "r2 three" {
		t.Errorf("a new connection answers %q", got)
	}
	if got := dial(t, client, "tcp", "192.0.2.20:80").ask("four"); got != "r1 four" {
		t.Errorf("the new service answers %q", got)
	}

	// The new service goes again, its VIP with it.
	apply(t, a, changed(t, text, "\n  - {name: more, vip: 192.0.2.20:80, method: nat, reals: [10.2.0.11:8080]}", ""))
	if _, err := tryDial(client, "tcp", "192.0.2.20:80"); err == nil {
		t.Error("the removed service still accepts connections")
	}
	if n := len(a.Snapshot().Services); n != 3 {
		t.Errorf("%d services are left, want 3", n)
	}
	if got := before.ask("five"); got != "r1 five" {
		t.Errorf("the open connection answers %q", got)
	}
}

func TestManyChangesUnderTraffic(t *testing.T) {
	noLeaks(t)
	a, c := start(t, routed, nil)
	client, real := stations(t, c)
	serve(t, real, "r2", "10.2.0.11:8081")
	open := dial(t, client, "tcp", "192.0.2.10:80")
	other := changed(t, routed, "address: 10.2.0.11:8080}]}", "address: 10.2.0.11:8081}]}", "[2001:db8::10]:80", "[2001:db8::11]:80")
	texts := []string{other, routed}
	for i := range 100 {
		apply(t, a, texts[i%2])
		if got := open.ask("still"); got != "r1 still" {
			t.Fatalf("after %d changes the open connection answers %q", i+1, got)
		}
		conn := dial(t, client, "tcp", "192.0.2.10:80")
		if got, want := conn.ask("new"), []string{"r2", "r1"}[i%2]+" new"; got != want {
			t.Fatalf("after %d changes a new connection answers %q, want %q", i+1, got, want)
		}
		conn.conn.Close()
	}
}

func TestApplyThatCannotBeChangesNothing(t *testing.T) {
	for _, row := range []struct {
		name, says string
		text       func(*testing.T) string
		fail       string // call of the host
	}{
		{"a restart is needed", "restart weir to apply this file, a running one cannot change: port tun addresses, limits flows",
			func(t *testing.T) string {
				return changed(t, hosted, "10.3.0.2/32", "10.3.0.3/32", "192.0.2.10:80", "192.0.2.11:80") + "limits: {flows: 10}\n"
			}, ""},
		{"the host refuses", "extend refused",
			func(t *testing.T) string { return changed(t, hosted, "192.0.2.10:80", "192.0.2.11:80") }, "extend"},
	} {
		t.Run(row.name, func(t *testing.T) {
			noLeaks(t)
			h := &recordingHost{}
			a, _ := start(t, hosted, func(o *Options) { o.Host = h })
			h.mu.Lock()
			h.fail = row.fail
			h.mu.Unlock()
			before, table := a.Config(), a.Snapshot()
			_, err := a.Apply(configOf(t, row.text(t)))
			if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Apply: %v, want one line with %q", err, row.says)
			}
			if a.Config() != before {
				t.Error("another configuration is in force")
			}
			if now := a.Snapshot(); len(now.Services) != 1 || now.Services[0].VIP != table.Services[0].VIP {
				t.Errorf("the services are %+v", now.Services)
			}
			if vip := configOf(t, row.text(t)).VIPs()[0]; a.stack.Local(vip) {
				t.Errorf("%s has stayed an address of weir's", vip)
			}
			h.mu.Lock()
			h.fail = ""
			h.mu.Unlock()
			apply(t, a, changed(t, hosted, "method: nat", "method: nat, scheduler: rr"))
		})
	}
}

func TestApplyTellsTheHost(t *testing.T) {
	h := &recordingHost{}
	a, _ := start(t, hosted, func(o *Options) { o.Host = h })
	apply(t, a, changed(t, hosted, "192.0.2.10:80", "192.0.2.11:80", "10.2.0.11:8080", "10.2.0.12:53", "method", "protocol: udp, method"))
	// A real server that left may have got a flow a moment ago.
	const want, left = "192.0.2.11, 10.3.0.2, protocol 17 from 10.2.0.12, protocol 1 from 10.2.0.12", ", protocol 6 from 10.2.0.11:8080, protocol 1 from 10.2.0.11"
	a.tidy(a.clock() + tidyEvery)
	if s := h.story(); !strings.HasSuffix(s, "\nextend "+want+"\nreduce to "+want+left+"\nreduce to "+want) {
		t.Errorf("the host was asked\n%s", s)
	}
	said := h.story()
	if p, err := a.Apply(a.Config()); err != nil || !p.Empty() {
		t.Errorf("the same again: %v, %v", p, err)
	}
	if s := h.story(); s != said {
		t.Errorf("for nothing, the host was asked\n%s", s)
	}
}

func TestApplySetsTheLogsLevel(t *testing.T) {
	var level slog.LevelVar
	a, _ := start(t, hosted+"log: {level: warn}\n", func(o *Options) { o.Level = &level })
	if level.Level() != slog.LevelWarn {
		t.Errorf("level %v at the start", level.Level())
	}
	apply(t, a, hosted+"log: {level: debug}\n")
	if level.Level() != slog.LevelDebug {
		t.Errorf("level %v after apply", level.Level())
	}
}

func TestApplyAfterTheEndIsRefused(t *testing.T) {
	cfg := configOf(t, hosted)
	a, err := New(cfg, Options{OpenDevice: layCables(cfg).open, Host: &recordingHost{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(configOf(t, changed(t, hosted, "192.0.2.10", "192.0.2.11"))); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("Apply: %v", err)
	}
}

func TestVIPsOnSegmentsAreAnnounced(t *testing.T) {
	text := changed(t, routed, "vip: 192.0.2.10:80", "vip: 10.1.0.100:80", "[2001:db8::10]:80", "[fd00:1::100]:80")
	var got []string
	for _, a := range onSegments(configOf(t, text)) {
		got = append(got, a.String())
	}
	// 192.0.2.10 is reached by routers, which ask for weir's own address.
	if want := "10.1.0.100 fd00:1::100"; strings.Join(got, " ") != want {
		t.Errorf("announced are %v, want %s", got, want)
	}
	if got := onSegments(configOf(t, hosted)); got != nil {
		t.Errorf("on a TUN: %v", got)
	}
}

// Faults is config's Faults in other words: nothing may get lost.
func TestFaultsKeepTheirPlace(t *testing.T) {
	_, err := config.Parse("x.yaml", []byte("topology: hots\n"))
	faults, ok := err.(config.Faults)
	if !ok {
		t.Fatalf("Parse: %v", err)
	}
	if got := Faults(faults); len(got) != 3 || got.Error() != faults.Error() || got[2] != (control.Fault{File: "x.yaml", Line: 1, Col: 11, Message: faults[2].Message}) {
		t.Errorf("%v became %v", faults, got)
	}
}
