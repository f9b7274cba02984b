package capture

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/netstack/packet"
)

// tshark prints the fields of every frame of a file, with all its checksum
// checks on.
func tshark(t *testing.T, file string, fields ...string) []string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("WEIR_NO_SKIP") == "1" {
			t.Fatalf("WEIR_NO_SKIP=1, and there is no tshark: %v: install the package tshark", err)
		}
		t.Skipf("no tshark: %v", err)
	}
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "separator=/s"}
	for _, p := range []string{"ip", "tcp", "udp"} {
		args = append(args, "-o", p+".check_checksum:TRUE")
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, stderr.Bytes())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func TestTsharkHasNoComplaint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.pcapng")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := New(file, Config{Epoch: epoch})
	wan, tun := c.Point("wan-rx", packet.LinkEthernet), c.Point("tun-tx", packet.LinkRaw)
	texts := []string{
		"tcp 10.1.0.9:4000 > 192.0.2.10:80 S",
		"tcp [2001:db8::9]:4000 > [2001:db8::10]:80 A len 40000",
		"udp 10.1.0.9:4000 > 192.0.2.10:5300 len 1400",
		"udp [2001:db8::9]:4000 > [2001:db8::10]:5300 len 40000",
	}
	for i, text := range texts {
		at := time.Duration(i) * time.Millisecond
		tun.Frame(at, partial(build(t, text)))
		wan.Frame(at, partial(build(t, text+" mac 02:00:00:00:00:01>02:00:00:00:00:02 vlan 5")))
	}
	tun.Frame(time.Second, build(t, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S badsum"))
	ended(t, c)

	const good, bad = "1", "0"
	lines := tshark(t, path, "frame.interface_name", "frame.time_epoch", "tcp.checksum.status", "udp.checksum.status", "_ws.malformed")
	if len(lines) != 2*len(texts)+1 {
		t.Fatalf("%d lines of tshark for %d frames:\n%s", len(lines), 2*len(texts)+1, strings.Join(lines, "\n"))
	}
	for i, text := range texts {
		for j, point := range []string{"tun-tx", "wan-rx"} {
			at := fmt.Sprintf("%d.%03d000000", epoch.Unix(), i)
			if got := strings.Fields(lines[2*i+j]); strings.Join(got, " ") != point+" "+at+" "+good {
				t.Errorf("%s: tshark says %q, want %s at %s and a good checksum", text, got, point, at)
			}
		}
	}
	// The check itself works: a wrong checksum is told.
	if got := strings.Fields(lines[2*len(texts)]); len(got) != 3 || got[2] != bad {
		t.Errorf("a wrong checksum: tshark says %q", got)
	}
}
