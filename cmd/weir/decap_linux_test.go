package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"weir/tunnel/endpoint"
)

func TestDecapProcess(t *testing.T) {
	out, log := newScreen(), newScreen()
	cmd := process(t, out, log, "decap", "--vip", "192.0.2.10", "--vip", "2001:db8:f::10", "--director", "10.2.0.0/16,fd00:2::1", "--json")
	out.until(t, "weir: ready: tunnel packets for 2 VIPs, from 10.2.0.0/16, fd00:2::1/128, into tun weir-decap (pid ")
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	out.until(t, `"drops":{}`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || log.String() != "" {
		t.Fatalf("it says\n%s\nand\n%s", out, log)
	}
	for _, line := range lines[1:] {
		var c endpoint.Counters
		if err := json.Unmarshal([]byte(line), &c); err != nil || c.Packets != 0 || c.Formats == nil {
			t.Errorf("counters %q: %v", line, err)
		}
	}
}

func TestDecapTellsCountersInText(t *testing.T) {
	out, log := newScreen(), newScreen()
	cmd := process(t, out, log, "decap", "--vip=192.0.2.10", "--director=0.0.0.0/0", "--device=d0", "--no-setup")
	out.until(t, " into tun d0 (pid ")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "delivered  0 packets, 0 bytes, in 0 writes\n") {
		t.Errorf("after SIGINT: %v\n%s\n%s", err, out, log)
	}
}
