//go:build peers

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tshark reads a capture and returns what it prints, a line a packet.
func tshark(t *testing.T, file string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, "tshark"), append([]string{"-n", "-r", file}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// What the demonstrations write is sound to tshark, and shows the VIP becoming
// a real server's address in weir and nowhere else.
func TestCapturesOfTheDemonstrations(t *testing.T) {
	tool(t, "tshark")
	for _, args := range [][]string{{"nat"}, {"nat", "--world", "kernel"}, {"routed"}, {"routed", "--world", "kernel"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "out.pcapng")
			demo(t, append(args, "-w", file)...)
			if all := tshark(t, file); len(all) < 100 {
				t.Fatalf("%d packets only", len(all))
			}
			bad := tshark(t, file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
				"-Y", `ip.checksum.status == "Bad" || tcp.checksum.status == "Bad" || udp.checksum.status == "Bad" || icmp.checksum.status == "Bad" || icmpv6.checksum.status == "Bad" || _ws.malformed || _ws.expert.severity == error`)
			if len(bad) > 0 {
				t.Errorf("tshark complains of\n%s", strings.Join(bad, "\n"))
			}
			good := tshark(t, file, "-o", "tcp.check_checksum:TRUE", "-Y", `tcp.checksum.status == "Good"`)
			if tcp := tshark(t, file, "-Y", "tcp"); len(good) != len(tcp) {
				t.Errorf("%d of %d checksums of TCP are good", len(good), len(tcp))
			}
			showsTheChange(t, file)
		})
	}
}

// demo runs a demonstration as from a user's shell, outside of this test's
// namespaces as far as it can tell.
func demo(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, executable(t), append([]string{"demo"}, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WEIR_LAB_INSIDE=") })
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("weir demo: %v\n%s", err, said)
	}
}

// showsTheChange: before weir a request is for the VIP, behind it for a real
// server; an answer the other way round.
func showsTheChange(t *testing.T, file string) {
	t.Helper()
	const vip = "192.0.2.10"
	for _, row := range []struct{ what, filter, field string }{
		{"request", `tcp contains "GET /request-"`, "ip.dst"},
		{"answer", `tcp contains "HTTP/1.1 200 OK"`, "ip.src"},
	} {
		seen := map[string]int{}
		for _, l := range tshark(t, file, "-Y", row.filter, "-T", "fields", "-e", "frame.interface_name", "-e", row.field) {
			point, address, _ := strings.Cut(l, "\t")
			real := strings.HasPrefix(address, "10.2.0.")
			if !real && address != vip {
				t.Errorf("%s at %s: %s %s", row.what, point, row.field, address)
			}
			before := strings.HasPrefix(point, "client") || pointOf(point, row.what == "request")
			if before == real {
				t.Errorf("%s at %s: %s is %s", row.what, point, row.field, address)
			}
			seen[point]++
		}
		if len(seen) < 4 {
			t.Errorf("%s: seen at %v, want the client, both sides of weir and real servers", row.what, seen)
		}
	}
}

// pointOf reports that a point of weir's shows a packet with the VIP: a request
// as it is read, an answer as it is written.
func pointOf(point string, request bool) bool {
	if request {
		return strings.HasPrefix(point, "weir") && strings.HasSuffix(point, "rx")
	}
	return strings.HasPrefix(point, "weir") && strings.HasSuffix(point, "tx")
}
