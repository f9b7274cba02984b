package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// answer is what one call of weir has printed and returned.
type answer struct {
	exit        int
	out, errors string
}

// weir calls the command tree as a shell would; FILE names in args that are
// keys of files stand for files with that text.
func weir(t *testing.T, stdin string, args ...string) answer {
	t.Helper()
	var out, errs bytes.Buffer
	exit := run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return answer{exit, out.String(), errs.String()}
}

// write makes a file in a directory of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const good = `topology: host
ports:
  - {name: tun, tun: weir0, addresses: [10.3.0.2/32]}
services:
  - {name: web, vip: 192.0.2.10:80, method: nat, reals: [{name: r1, address: 10.2.0.11:8080}, 10.2.0.12:8080]}
  - {name: dns, vip: 192.0.2.10:53, protocol: udp, method: nat, reals: [10.2.0.11:53]}
`

const bad = `topology: host
ports:
  - {name: tun, tun: weir0, adresses: [10.3.0.2/32]}
services:
  - {name: web, vip: 192.0.2.10:80, method: nat, reals: [10.2.0.11:99999]}
`

func TestExitCodesAndMessages(t *testing.T) {
	file, faulty := write(t, "weir.yaml", good), write(t, "bad.yaml", bad)
	nobody := filepath.Join(t.TempDir(), "none.sock")
	huge := write(t, "huge.yaml", strings.Repeat("# weir\n", 700_000))
	for _, row := range []struct {
		name   string
		args   []string
		stdin  string
		exit   int
		out    string // what standard output holds; "": nothing
		errors string // the same of standard error, where it is one line
	}{
		{"no command", nil, "", 2, "", "weir: `weir` needs one of the commands apply, check, completion, decap, demo, explain, run, show, version"},
		{"an unknown command", []string{"launch"}, "", 2, "", `weir: unknown command "launch" for weir: see`},
		{"a mistyped command", []string{"chekc", file}, "", 2, "", "did you mean check?"},
		{"a command of a later version", []string{"drain", "web", "r1"}, "", 2, "", `unknown command "drain"`},
		{"an unknown flag", []string{"check", "--fast", file}, "", 2, "", "weir: unknown flag: --fast: see `weir check --help`"},
		{"a flag without its value", []string{"check", file, "--against"}, "", 2, "", "flag needs an argument: --against"},
		{"a missing argument", []string{"run"}, "", 2, "", "weir: FILE is missing: `weir run FILE"},
		{"an argument too many", []string{"check", file, "b"}, "", 2, "", `"b" is one argument too many`},
		{"show without a word", []string{"show"}, "", 2, "", "`weir show` needs one of the commands counters, flows, neighbours, plan, reals, services"},
		{"show with a wrong word", []string{"show", "flow"}, "", 2, "", `unknown command "flow" for weir show: did you mean flows?`},
		{"a negative limit", []string{"show", "flows", "--limit", "-1", "--socket", nobody}, "", 2, "", "--limit -1"},
		{"completion without a shell", []string{"completion"}, "", 2, "", "needs one of the commands bash, fish"},
		{"help for nothing there is", []string{"help", "launch"}, "", 2, "", `there is no command "launch"`},
		{"run of standard input", []string{"run", "-"}, "", 2, "", "standard input can only be read once"},

		{"help", []string{"help"}, "", 0, "Available Commands:", ""},
		{"help as a flag", []string{"show", "flows", "--help"}, "", 0, "--limit", ""},
		{"help for a command", []string{"help", "show", "flows"}, "", 0, "--limit", ""},
		{"version", []string{"version"}, "", 0, "weir devel", ""},
		{"a good file", []string{"check", file}, "", 0, file + ": ok: 2 virtual services, 3 real servers\n", ""},
		{"a good file on standard input", []string{"check", "-"}, good, 0, "-: ok: 2 virtual services, 3 real servers\n", ""},
		{"a faulty file", []string{"check", faulty}, "", 1, faulty + `:3:29: `, ""},
		{"and its second fault", []string{"check", faulty}, "", 1, "\n" + faulty + `:5:58: `, ""},
		{"a file that is not there", []string{"check", file + "x"}, "", 1, "", "weir: " + file + "x: no such file or directory"},
		{"a directory", []string{"check", filepath.Dir(file)}, "", 1, "", "is a directory"},
		{"a file without an end", []string{"check", "/dev/zero"}, "", 1, "", "weir: /dev/zero is larger than 4194304 bytes"},
		{"a file too large", []string{"check", huge}, "", 1, "", "is larger than"},
		{"against a file that is the same", []string{"check", file, "--against", file}, "", 0, "\nnothing changes\n", ""},
		{"against a faulty file", []string{"check", file, "--against", faulty}, "", 1, "", faulty + ":3:29: "},
		{"a weir that does not run", []string{"show", "services", "--socket", nobody}, "", 1, "", "weir: control socket " + nobody + ": nobody listens there: start weir"},
		{"apply to a weir that does not run", []string{"apply", file, "--socket", nobody}, "", 1, "", "nobody listens there"},
		{"apply of a file that is not there", []string{"apply", file + "x", "--socket", nobody}, "", 1, "", "no such file"},
		{"explain by a file", []string{"explain", "tcp 10.1.0.9:4000 > 192.0.2.10:80", "--config", file}, "", 0, "emit: it leaves by port tun; service web, real server ", ""},
		{"explain of nonsense", []string{"explain", "tcp 10.1.0.9", "--config", file}, "", 1, "", `weir: packet "tcp 10.1.0.9": `},
		{"explain by a faulty file", []string{"explain", "tcp 10.1.0.9:4000 > 192.0.2.10:80", "--config", faulty}, "", 1, "", faulty + ":3:29: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := weir(t, row.stdin, row.args...)
			if a.exit != row.exit {
				t.Errorf("exit code %d, want %d", a.exit, row.exit)
			}
			if !strings.Contains(a.out, row.out) || row.out == "" && a.out != "" {
				t.Errorf("standard output\n%s\nwant %q", a.out, row.out)
			}
			if !strings.Contains(a.errors, row.errors) || row.errors == "" && a.errors != "" {
				t.Errorf("standard error\n%s\nwant %q", a.errors, row.errors)
			}
			if strings.HasPrefix(row.errors, "weir:") && strings.Count(a.errors, "\n") != 1 {
				t.Errorf("not one line:\n%s", a.errors)
			}
		})
	}
}

func TestCheckSaysWhatChanges(t *testing.T) {
	old, now := write(t, "old.yaml", good), write(t, "new.yaml", strings.Replace(good, "10.2.0.12:8080", "10.2.0.13:8080", 1))
	a := weir(t, "", "check", now, "--against", old)
	want := now + `: ok: 2 virtual services, 3 real servers
add real 10.2.0.13:8080 of web: 10.2.0.13:8080 weight 1
remove real 10.2.0.12:8080 of web: 10.2.0.12:8080 weight 1
`
	if a != (answer{0, want, ""}) {
		t.Errorf("%+v, want\n%s", a, want)
	}
	a = weir(t, "", "check", now, "--against", old, "--json")
	var v checked
	if err := json.Unmarshal([]byte(a.out), &v); err != nil || a.exit != 0 || !v.OK || v.Plan == nil || len(v.Plan.Changes) != 2 {
		t.Errorf("%+v: %v", a, err)
	}
	a = weir(t, bad, "check", "-", "--json")
	v = checked{}
	if err := json.Unmarshal([]byte(a.out), &v); err != nil || a.exit != 1 || v.OK || len(v.Faults) != 2 || v.Faults[0].Line != 3 {
		t.Errorf("%+v: %v", a, err)
	}
}

func TestExplainMarksWhatChanges(t *testing.T) {
	a := weir(t, good, "explain", "udp 10.1.0.9:4000 > 192.0.2.10:53 nosum len 5", "--config", "-")
	const want = `udp 10.1.0.9:4000 > 192.0.2.10:53 nosum len 5
comes in by port tun

  virtual service  dns (192.0.2.10:53)
  flow             none yet: this packet begins one
  scheduler        wrr gives 10.2.0.11:53; candidates: 10.2.0.11:53 weight 1
  method           nat: the destination changes; replies come back through weir
  next hop         10.2.0.11 through port tun, which has no MACs; MTU 1500

emit: it leaves by port tun; service dns, real server 10.2.0.11:53
by the file alone: no running weir was asked, and nobody for a MAC

HEADER            BEFORE      AFTER
source IP         10.1.0.9    10.1.0.9
destination IP    192.0.2.10  10.2.0.11  *
TTL               64          63         *
IP checksum       0xaeb8      0x67b6     *
source port       4000        4000
destination port  53          53
UDP checksum      0x0000      0x0000
`
	if a != (answer{0, want, ""}) {
		t.Errorf("exit %d, errors %q\n%s\nwant\n%s", a.exit, a.errors, a.out, want)
	}
	a = weir(t, good, "explain", "tcp 10.1.0.9:4000 > 192.0.2.10:81 S", "--config", "-", "--json")
	var x struct {
		Verdict, Reason, Answer string
		Offline                 bool
		Headers                 []struct{ Field, Before, After string }
	}
	if err := json.Unmarshal([]byte(a.out), &x); err != nil || a.exit != 0 || x.Verdict != "drop" || x.Reason != "no-service" ||
		x.Answer != "ICMP port unreachable" || !x.Offline || len(x.Headers) != 7 {
		t.Errorf("%+v: %v", a, err)
	}
}

func TestPanicIsOneLineAndExitCodeOne(t *testing.T) {
	root := newRoot()
	root.AddCommand(&cobra.Command{Use: "burst", Run: func(*cobra.Command, []string) { panic("boom\nbang") }})
	root.SetArgs([]string{"burst"})
	var errs bytes.Buffer
	if exit := execute(context.Background(), root, &errs); exit != 1 {
		t.Errorf("exit code %d", exit)
	}
	if s := errs.String(); !strings.HasPrefix(s, "weir: a fault in weir itself: boom bang (weir/cmd/weir.TestPanic") || strings.Count(s, "\n") != 1 {
		t.Errorf("said %q", s)
	}
}

func TestFigures(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{number(0), "0"}, {number(999), "999"}, {number(1000), "1,000"}, {number(uint64(1234567)), "1,234,567"}, {number(-1000), "-1,000"},
		{size(0), "0 B"}, {size(999), "999 B"}, {size(1000), "1.0 kB"}, {size(1540), "1.5 kB"}, {size(99_940), "100 kB"},
		{size(999_600), "1.0 MB"}, {size(1 << 40), "1.1 TB"}, {size(1<<64 - 1), "18 EB"},
		{span(0), "0s"}, {span(1.25), "1.3s"}, {span(61.2), "1m1s"}, {span(3661), "1h1m0s"},
		{count(1, "ox", "oxen"), "1 ox"}, {count(0, "ox", "oxen"), "0 oxen"},
	} {
		if row.got != row.want {
			t.Errorf("%s, want %s", row.got, row.want)
		}
	}
}
