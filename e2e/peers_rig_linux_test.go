//go:build peers

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/e2e/lab"
)

// These tests put programs that others wrote around the binary: what weir's own
// tests and weir itself agree on may still be wrong.

// tool is the path of a program that a test needs. Where it is missing the test
// is skipped, or with WEIR_NO_SKIP=1 fails.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not in everybody's PATH
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err == nil {
		return path
	}
	if os.Getenv("WEIR_NO_SKIP") == "1" {
		t.Fatalf("%v (a failure because WEIR_NO_SKIP=1): make peers-install", err)
	}
	t.Skipf("%v: make peers-install", err)
	return ""
}

// background starts a program on a host, which ends with the test, and returns
// what it writes.
func background(t testing.TB, h lab.Host, name string, args ...string) (said *screen) {
	t.Helper()
	cmd := exec.Command(tool(t, name), args...)
	said = &screen{}
	cmd.Stdout, cmd.Stderr = said, said
	p, err := h.(lab.Starter).Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() && said.String() != "" {
			t.Logf("%s on %s wrote\n%s", name, h.Name(), said)
		}
	})
	return said
}

// errand is a program on a host that ends by itself.
type errand struct {
	lab.Process
	name     string
	out, err bytes.Buffer
}

func send(t testing.TB, h lab.Host, name string, args ...string) *errand {
	t.Helper()
	e := &errand{name: name + " " + strings.Join(args, " ")}
	cmd := exec.Command(tool(t, name), args...)
	cmd.Stdout, cmd.Stderr = &e.out, &e.err
	var err error
	if e.Process, err = h.(lab.Starter).Start(cmd); err != nil {
		t.Fatal(err)
	}
	return e
}

// done waits for its end, which must be a good one, and returns what it said.
func (e *errand) done(t testing.TB) string {
	t.Helper()
	select {
	case <-e.Done():
	case <-time.After(2 * limit):
		e.Stop()
		t.Fatalf("%s: no end\n%s%s", e.name, &e.out, &e.err)
	}
	if err := e.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s%s", e.name, err, &e.out, &e.err)
	}
	return e.out.String()
}

// curl runs curl on client1.
func curl(t testing.TB, w lab.World, args ...string) string {
	t.Helper()
	return send(t, w.Host("client1"), "curl", append([]string{"--silent", "--show-error", "--globoff", "--max-time", "60"}, args...)...).done(t)
}

// bulk is the size of the file that nginx serves.
const bulk = 100 << 20

// serveNginx starts nginx on each real server, at port 8080: /who is its name,
// /bulk the file.
func serveNginx(t testing.TB, w lab.World) {
	t.Helper()
	shared := t.TempDir()
	f, err := os.Create(filepath.Join(shared, "bulk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(stream(bulk)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"real1", "real2"} {
		h := w.Host(name)
		dir := t.TempDir()
		file := write(t, filepath.Join(dir, "nginx.conf"), nginxConfig(h, dir, shared))
		background(t, h, "nginx", "-p", dir, "-c", file, "-e", "stderr")
		for _, f := range families {
			listens(t, h, netip.AddrPortFrom(f.of(h), 8080))
		}
	}
}

func nginxConfig(h lab.Host, dir, shared string) string {
	var temporary strings.Builder
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "\t%s_temp_path %s/%s;\n", what, dir, what)
	}
	return fmt.Sprintf(`daemon off;
master_process off;
pid %s/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 100000;
%s	server {
		listen %s:8080;
		listen [%s]:8080;
		root %s;
		location = /who { return 200 "%s\n"; }
	}
}
`, dir, &temporary, h.Addr4(), h.Addr6(), shared, h.Name())
}

// listens waits until somebody on h serves TCP at one of its addresses.
func listens(t testing.TB, h lab.Host, at netip.AddrPort) {
	t.Helper()
	eventually(t, fmt.Sprintf("nobody listens at %v", at), func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		c, err := h.Dial(ctx, "tcp", at.String())
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// web starts nginx and the binary, with services's services.
func web(t testing.TB, w lab.World) *program {
	t.Helper()
	serveNginx(t, w)
	p := startProgram(t, w, w.Weir().Config()+services(w))
	joined(t, w)
	return p
}
