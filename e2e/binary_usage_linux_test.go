package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/e2e/lab"
)

// The exit codes and the one line of each error.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	bad := write(t, filepath.Join(dir, "bad.yaml"), twoFaults)
	nowhere := filepath.Join(dir, "nowhere")
	for _, row := range []struct {
		rule string
		args []string
		exit int
		says string
	}{
		{"a missing file is a bad input of run", []string{"run", nowhere}, 1, nowhere},
		{"a missing file is a bad input of check", []string{"check", nowhere}, 1, nowhere},
		{"nobody listens at the socket", []string{"show", "services", "--socket", nowhere}, 1, nowhere},
		{"an unknown flag is wrong usage", []string{"run", "--hurry", bad}, 2, "--hurry"},
		{"an unknown command is wrong usage", []string{"balance"}, 2, "balance"},
		{"an unknown thing to show is wrong usage", []string{"show", "service"}, 2, "service"},
		{"no command is wrong usage", nil, 2, "run"},
		{"run without a file is wrong usage", []string{"run"}, 2, "FILE"},
		{"a packet that is none is a bad input", []string{"explain", "tcp from somewhere", "--config", "../appliance/config/reference.yaml"}, 1, "from"},
	} {
		a := weir(t, row.args...)
		if a.exit != row.exit || a.out != "" || !oneLine(a.err) || !strings.Contains(a.err, row.says) {
			t.Errorf("%s: weir %s: %+v, want exit %d and one line with %q", row.rule, strings.Join(row.args, " "), a, row.exit, row.says)
		}
	}
	for _, command := range []string{"run", "check"} {
		a := weir(t, command, bad)
		if a.exit != 1 || !reportsTwoFaults(a.out+a.err, bad) || strings.Count(a.out+a.err, "\n") != 2 {
			t.Errorf("%s of a file with two faults: %+v, want exit 1 and both as FILE:LINE:COL: message", command, a)
		}
	}
	for _, args := range [][]string{{"help"}, {"version"}, {"run", "--help"}} {
		if a := weir(t, args...); a.exit != 0 || a.out == "" || a.err != "" {
			t.Errorf("weir %s: %+v, want exit 0 and words", strings.Join(args, " "), a)
		}
	}
}

func TestReferenceConfigurationIsGood(t *testing.T) {
	if a := weir(t, "check", "../appliance/config/reference.yaml"); a.exit != 0 || !strings.Contains(a.out, "ok") {
		t.Errorf("%+v", a)
	}
}

// The smallest useful file is the README's, of ten lines at most, and it works.
func TestTheFileOfTheREADMEWorks(t *testing.T) {
	text := readmeConfiguration(t)
	if lines := strings.Count(text, "\n"); lines > 10 {
		t.Errorf("it has %d lines, and promises are of ten", lines)
	}
	oneKernel(t, lab.HostTopology(1, 2), func(t *testing.T, w lab.World) {
		serveTCP(t, w, families[0], 80, greet)
		p := startProgram(t, w, text)
		if a := weir(t, "check", p.file); a.exit != 0 {
			t.Errorf("check: %+v", a)
		}
		first, second := converse(t, w, families[0].at(80)), converse(t, w, families[0].at(80))
		if first.real == second.real {
			t.Errorf("both connections went to %s", first.real)
		}
	})
}

// readmeConfiguration is the first YAML of the project's README.
func readmeConfiguration(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n```yaml\n(.*?)```\n").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md has no block of YAML")
	}
	return string(block[1])
}
