package config

import (
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// minimal is the smallest useful file: ten lines.
const minimal = `topology: host
ports:
  - name: lan
    tun: weir0
    addresses: [10.0.0.2/24]
services:
  - name: web
    vip: 192.0.2.10:80
    method: nat
    reals: [10.2.0.2:80, 10.2.0.3:80]
`

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("weir.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMinimalFileGetsEveryDefault(t *testing.T) {
	if n := strings.Count(minimal, "\n"); n != 10 {
		t.Errorf("the smallest useful file has %d lines, promised are 10", n)
	}
	want := &Config{
		Topology: TopologyHost,
		Ports: []Port{{
			Name: "lan", Kind: PortTUN, Device: "weir0",
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")},
			Queues:    1,
		}},
		Services: []Service{{
			Name: "web", VIP: netip.MustParseAddrPort("192.0.2.10:80"),
			Protocol: ProtocolTCP, Method: MethodNAT, Scheduler: SchedulerWRR,
			Reals: []Real{
				{"10.2.0.2:80", netip.MustParseAddrPort("10.2.0.2:80"), 1},
				{"10.2.0.3:80", netip.MustParseAddrPort("10.2.0.3:80"), 1},
			},
		}},
		Host:   HostSide{Manage: true},
		Limits: Limits{Flows: 262144, PoolPorts: PortRange{1024, 65535}},
		Timeouts: Timeouts{
			Established: 15 * time.Minute, SynSent: 30 * time.Second, SynRecv: 30 * time.Second,
			FinWait: 2 * time.Minute, TimeWait: 2 * time.Minute, Close: 10 * time.Second,
			CloseWait: time.Minute, LastAck: 30 * time.Second, UDP: 5 * time.Minute, ICMP: 30 * time.Second,
		},
		Log: Log{Level: slog.LevelInfo, Format: LogText},
	}
	if got := mustParse(t, minimal); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestHowAFileIsWrittenDoesNotMatter(t *testing.T) {
	want := mustParse(t, minimal)
	for what, text := range map[string]string{
		"lines end in CR LF":              strings.ReplaceAll(minimal, "\n", "\r\n"),
		"comments end in CR LF":           strings.ReplaceAll(minimal, "\n", " # note\r\n"),
		"byte order mark":                 "\ufeff" + minimal,
		"no newline at the end":           strings.TrimSuffix(minimal, "\n"),
		"document markers":                "---\n" + minimal + "...\n",
		"tabs before comments":            strings.ReplaceAll(minimal, "\n", "\t# note\n"),
		"comments and blank lines around": "# head\n\n" + strings.ReplaceAll(minimal, "\n", "\n\n  # note\n"),
		"JSON, on one line": `{"topology":"host","ports":[{"name":"lan","tun":"weir0","addresses":["10.0.0.2/24"]}],` +
			`"services":[{"name":"web","vip":"192.0.2.10:80","method":"nat","reals":["10.2.0.2:80","10.2.0.3:80"]}]}`,
	} {
		t.Run(what, func(t *testing.T) {
			if got := mustParse(t, text); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestWhatIsWrittenIsReadAsWritten(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(minimal, old) {
			t.Fatalf("%q is not in the minimal file", old)
		}
		return strings.Replace(minimal, old, new, 1)
	}
	for _, row := range []struct {
		sentence string
		text     string
		got      func(*Config) any
		want     any
	}{
		{"an IPv6 VIP in quotes and brackets", replace("192.0.2.10:80\n    method: nat\n    reals: [10.2.0.2:80, 10.2.0.3:80]",
			"\"[2001:db8::10]:80\"\n    method: nat\n    reals: [\"[2001:db8::2]:80\"]"),
			func(c *Config) any { return c.Services[0].VIP }, netip.MustParseAddrPort("[2001:db8::10]:80")},
		{"a weight of zero drains", replace("[10.2.0.2:80, 10.2.0.3:80]", "[{address: 10.2.0.2:80, weight: 0}]"),
			func(c *Config) any { return c.Services[0].Reals[0].Weight }, 0},
		{"the heaviest weight", replace("[10.2.0.2:80, 10.2.0.3:80]", "[{address: 10.2.0.2:80, weight: 65535}]"),
			func(c *Config) any { return c.Services[0].Reals[0].Weight }, 65535},
		{"a real server with a name of its own", replace("[10.2.0.2:80, 10.2.0.3:80]", "[{name: r1, address: 10.2.0.2:80}]"),
			func(c *Config) any { return c.Services[0].Real("r1").Address }, netip.MustParseAddrPort("10.2.0.2:80")},
		{"a service without real servers", replace("[10.2.0.2:80, 10.2.0.3:80]", "[]"),
			func(c *Config) any { return len(c.Services[0].Reals) }, 0},
		{"a service for all ports; its real servers need none", replace("192.0.2.10:80\n    method: nat\n    reals: [10.2.0.2:80, 10.2.0.3:80]",
			"192.0.2.10:0\n    method: nat\n    reals: [10.2.0.2, 10.2.0.3:0]"),
			func(c *Config) any {
				return []any{c.Services[0].AllPorts(), c.Services[0].Reals[0].Name, c.Services[0].Reals[1].Name}
			},
			[]any{true, "10.2.0.2", "10.2.0.3"}},
		{"addresses without quotes in a list in braces", `topology: host
ports: [{name: lan, tun: weir0, addresses: [10.0.0.2/24, fd00::2/64]}]
services: [{name: web, vip: 192.0.2.10:80, method: nat, reals: [10.2.0.2:80, {address: 10.2.0.3:80}]}]
`,
			func(c *Config) any { return c.Services[0].Reals[0].Name + " " + c.Ports[0].Addresses[1].String() }, "10.2.0.2:80 fd00::2/64"},
		{"a name that looks like a number", replace("name: web", "name: 10.50"),
			func(c *Config) any { return c.Services[0].Name }, "10.50"},
		{"durations of several units", minimal + "timeouts: {udp: 1m30s, close: 200ms}\n",
			func(c *Config) any { return []time.Duration{c.Timeouts.UDP, c.Timeouts.Close} }, []time.Duration{90 * time.Second, 200 * time.Millisecond}},
		{"the host left alone", minimal + "host: {manage: false}\n",
			func(c *Config) any { return c.Host.Manage }, false},
		{"the log's level and format", minimal + "log: {level: warn, format: json}\n",
			func(c *Config) any { return c.Log }, Log{slog.LevelWarn, LogJSON}},
		{"one VIP with a service a port and one for all others", minimal + `  - name: rest
    vip: 192.0.2.10:0
    method: nat
    reals: []
  - {name: dns, vip: "192.0.2.10:80", protocol: udp, method: nat, reals: []}
`, func(c *Config) any { return c.VIPs() }, []netip.Addr{netip.MustParseAddr("192.0.2.10")}},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			if got := row.got(mustParse(t, row.text)); !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestFindByName(t *testing.T) {
	c := mustParse(t, minimal)
	if i, ok := c.Port("lan"); !ok || i != 0 {
		t.Errorf("port lan: got %d, %v", i, ok)
	}
	if i, ok := c.Port("wan"); ok {
		t.Errorf("port wan is not in the file: got %d", i)
	}
	if s := c.Service("web"); s != &c.Services[0] {
		t.Errorf("service web: got %v", s)
	}
	if s := c.Service("mail"); s != nil {
		t.Errorf("service mail is not in the file: got %v", s)
	}
	if r := c.Services[0].Real("10.2.0.3:80"); r != &c.Services[0].Reals[1] {
		t.Errorf("real server 10.2.0.3:80: got %v", r)
	}
	if r := c.Services[0].Real("10.2.0.4:80"); r != nil {
		t.Errorf("real server 10.2.0.4:80 is not in the file: got %v", r)
	}
}

func TestWordsPrintAsTheyAreWritten(t *testing.T) {
	for want, got := range map[string]interface{ String() string }{
		"one-arm": TopologyOneArm, "tun": PortTUN, "udp": ProtocolUDP, "fullnat": MethodFullNAT, "maglev": SchedulerMaglev,
		"source": AffinitySource, "http": CheckHTTP, "rewrite": CookieRewrite, "vxlan": TunnelVXLAN, "json": LogJSON,
		"config.Method(77)": Method(77),
	} {
		if got.String() != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
