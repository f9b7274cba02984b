package device

import (
	"strings"
	"testing"

	"weir/netstack/packet"
)

func TestConfigIsValidatedBeforeTheKernelIsAsked(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		says   string // "": valid
	}{
		{"a plain TUN", Config{Name: "weir0"}, ""},
		{"15 characters are the most", Config{Name: "weir-0123456789"}, ""},
		{"everything set", Config{Name: "w.0", Kind: TAP, MTU: 9000, MAC: packet.MAC{2}, Queues: 4}, ""},
		{"the largest MTU", Config{Name: "weir0", Kind: TAP, MTU: packet.MaxMTU}, ""},
		{"no name", Config{}, "name is empty"},
		{"16 characters, which the kernel would cut", Config{Name: "weir-01234567890"}, "has 16 characters: shorten it to 15"},
		{"a slash", Config{Name: "weir/0"}, "forbidden character at 5"},
		{"a pattern, which the kernel would number", Config{Name: "weir%d"}, "forbidden character at 5"},
		{"a space", Config{Name: "we ir"}, "forbidden character at 3"},
		{"a NUL, which would end the name early", Config{Name: "we\x00ir"}, "forbidden character at 3"},
		{"a letter outside ASCII", Config{Name: "wëir"}, "forbidden character at 2"},
		{"a directory", Config{Name: ".."}, "reserved"},
		{"MTU below IPv4's least", Config{Name: "weir0", MTU: 67}, "MTU 67: use 68 to 65521"},
		{"MTU above the kernel's most", Config{Name: "weir0", MTU: 65522}, "MTU 65522: use 68 to 65521"},
		{"MTU negative", Config{Name: "weir0", MTU: -1}, "MTU -1"},
		{"more queues than the kernel has", Config{Name: "weir0", Queues: 257}, "257 queues: use 1 to 256"},
		{"queues negative", Config{Name: "weir0", Queues: -1}, "-1 queues"},
		{"a MAC on a TUN", Config{Name: "weir0", MAC: packet.MAC{2}}, "a TUN has no MAC"},
		{"a group MAC", Config{Name: "weir0", Kind: TAP, MAC: packet.MAC{1}}, "group address"},
		{"an unknown kind", Config{Name: "weir0", Kind: 7}, "unknown kind 7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.config.validate()
			switch {
			case tt.says == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil:
				t.Error("valid")
			case !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n"):
				t.Errorf("%q, want one line with %q", err, tt.says)
			}
		})
	}
}

func TestFeaturesForTheLog(t *testing.T) {
	for want, f := range map[string]Features{
		"none":             {},
		"checksum":         {Checksum: true},
		"checksum+tso":     {Checksum: true, TSO: true},
		"checksum+tso+uso": {Checksum: true, TSO: true, USO: true},
	} {
		if f.String() != want {
			t.Errorf("%q, want %q", f, want)
		}
	}
}
