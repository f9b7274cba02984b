package main

import (
	"strings"
	"testing"
)

func TestDecapUsage(t *testing.T) {
	for _, row := range []struct {
		name, says string
		args       []string
	}{
		{"no VIP", "decap needs the virtual IP", nil},
		{"a VIP with a port", `--vip "192.0.2.10:80": it is not an IP address`, []string{"--vip", "192.0.2.10:80"}},
		{"a name as director", `--director "lb1": it is neither`, []string{"--vip", "192.0.2.10", "--director", "lb1"}},
		{"an unknown format", `--type: tunnel type "l2tp": it is none of ipip, gre, gue, vxlan`, []string{"--vip", "192.0.2.10", "--type", "l2tp"}},
		{"an argument", `"x" is one argument too many`, []string{"--vip", "192.0.2.10", "x"}},
		{"an unknown flag", "unknown flag: --vips", []string{"--vips", "192.0.2.10"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := weir(t, "", append([]string{"decap"}, row.args...)...)
			if a.exit != exitUsage || !strings.Contains(a.errors, row.says) || strings.Count(a.errors, "\n") != 1 || a.out != "" {
				t.Errorf("got %+v, want one line with %q and exit code 2", a, row.says)
			}
		})
	}
	for _, row := range []struct {
		name, says string
		args       []string
	}{
		{"a group as VIP", "VIP 224.0.0.1: it must be one host's", []string{"--vip", "224.0.0.1"}},
		{"one port for two formats", "gue and vxlan cannot share it", []string{"--vip", "192.0.2.10", "--gue-port", "4789"}},
		{"a network that is too large", "it has 24 bits", []string{"--vip", "192.0.2.10", "--vni", "16777216"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := weir(t, "", append([]string{"decap"}, row.args...)...)
			if a.exit != exitNo || !strings.Contains(a.errors, row.says) || strings.Count(a.errors, "\n") != 1 || a.out != "" {
				t.Errorf("got %+v, want one line with %q and exit code 1", a, row.says)
			}
		})
	}
}
