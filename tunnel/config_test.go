package tunnel_test

import (
	"net/netip"
	"strings"
	"testing"

	"weir/netstack/packet"
	"weir/tunnel"
)

func TestTypes(t *testing.T) {
	for _, want := range tunnel.Types {
		if got, err := tunnel.ParseType(want.String()); got != want || err != nil {
			t.Errorf("%s is read as %s, %v", want, got, err)
		}
	}
	if _, err := tunnel.ParseType("geneve"); err == nil || !strings.Contains(err.Error(), `"geneve"`) {
		t.Errorf("geneve: %v", err)
	}
}

// A Config that cannot be says which of its fields is to blame.
func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name   string
		config tunnel.Config
		want   string
	}{
		{"no source", tunnel.Config{Dst: rip4}, "outer address invalid IP"},
		{"no destination", tunnel.Config{Src: dip4}, "outer address invalid IP"},
		{"a source that is nobody", tunnel.Config{Src: addr("0.0.0.0"), Dst: rip4}, "0.0.0.0"},
		{"a group as destination", tunnel.Config{Src: dip4, Dst: addr("239.1.1.1")}, "239.1.1.1"},
		{"an address with a zone", tunnel.Config{Src: addr("fe80::1%eth0"), Dst: rip6}, "zone"},
		{"two families", tunnel.Config{Src: dip4, Dst: rip6}, "one family"},
		{"a tunnel to itself", tunnel.Config{Src: dip4, Dst: dip4}, "both are 10.2.0.1"},
		{"an unknown type", tunnel.Config{Type: 9, Src: dip4, Dst: rip4}, "type 9"},
		{"a port where there is none", tunnel.Config{Src: dip4, Dst: rip4, Port: 1}, "ipip has no ports"},
		{"a network where there is none", tunnel.Config{Type: tunnel.GUE, Src: dip4, Dst: rip4, VNI: 1}, "only vxlan"},
		{"an inner MAC where there is none", tunnel.Config{Src: dip4, Dst: rip4, InnerDstMAC: packet.MAC{2}}, "only vxlan"},
		{"a network of 25 bits", tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4, VNI: 1 << 24}, "16777216"},
		{"a group as inner MAC", tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4, InnerDstMAC: packet.Broadcast}, "ff:ff:ff:ff:ff:ff"},
		{"a kept Offload under a checksum", tunnel.Config{Type: tunnel.GUE, Src: dip6, Dst: rip6, KeepOffload: true}, "ZeroChecksum6"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tunnel.New(tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want it to name %q", err, tt.want)
			}
		})
	}
}

func TestNewDecapRefuses(t *testing.T) {
	anyone, vips := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, []netip.Addr{vip4}
	tests := []struct {
		name   string
		config tunnel.DecapConfig
		want   string
	}{
		{"no director", tunnel.DecapConfig{VIPs: vips}, "no director"},
		{"no VIP", tunnel.DecapConfig{Directors: anyone}, "no VIP"},
		{"a prefix that is none", tunnel.DecapConfig{Directors: []netip.Prefix{{}}, VIPs: vips}, "not an IPv4 or IPv6 prefix"},
		{"a mapped prefix", tunnel.DecapConfig{Directors: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}, VIPs: vips}, "::ffff:10.0.0.0/104"},
		{"a VIP that is nobody", tunnel.DecapConfig{Directors: anyone, VIPs: []netip.Addr{{}}}, "VIP invalid IP"},
		{"a group as VIP", tunnel.DecapConfig{Directors: anyone, VIPs: []netip.Addr{addr("ff02::1")}}, "VIP ff02::1"},
		{"a group as own address", tunnel.DecapConfig{Directors: anyone, VIPs: vips, Own: []netip.Addr{addr("224.0.0.1")}}, "own address 224.0.0.1"},
		{"a VIP that is an own address", tunnel.DecapConfig{Directors: anyone, VIPs: vips, Own: vips}, "both a VIP and"},
		{"one port for two formats", tunnel.DecapConfig{Directors: anyone, VIPs: vips, GUEPort: tunnel.PortVXLAN}, "port 4789"},
		{"an unknown type", tunnel.DecapConfig{Directors: anyone, VIPs: vips, Types: []tunnel.Type{9}}, "type 9"},
		{"a network of 25 bits", tunnel.DecapConfig{Directors: anyone, VIPs: vips, VNI: 1 << 24}, "16777216"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tunnel.NewDecap(tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want it to name %q", err, tt.want)
			}
		})
	}
}

// What is left open has the value that the documentation says.
func TestDefaults(t *testing.T) {
	e := newEncap(t, tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4})
	want := tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4, Port: 4789, TTL: 64,
		InnerSrcMAC: packet.MAC{2, 0, 10, 2, 0, 1}, InnerDstMAC: packet.MAC{2, 0, 10, 2, 0, 2}}
	if got := e.Config(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := tunnel.MACOf(rip6).String(); got != "02:00:00:00:00:02" {
		t.Errorf("the MAC of %s is %s", rip6, got)
	}
}
