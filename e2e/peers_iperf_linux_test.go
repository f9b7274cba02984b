//go:build peers

package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"

	"weir/e2e/lab"
)

// iperf3 talks TCP and UDP at once to one port of the VIP. How fast that is,
// make bench measures; here it must work, and no datagram may be lost that a
// busy machine would not lose.
func TestIperf3(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		text := "services:\n"
		for _, f := range families {
			for _, protocol := range []string{"tcp", "udp"} {
				text += without(f.service(w, protocol, 5201, 5201), "real2")
			}
		}
		startProgram(t, w, w.Weir().Config()+text)
		joined(t, w)
		server := background(t, w.Host("real1"), "iperf3", "--server", "--forceflush")
		if err := server.until("Server listening", nil); err != nil {
			t.Fatal(err)
		}
		slow := []string{"--udp", "--bitrate", "5M", "--length", "1200"}
		big := []string{"--udp", "--bitrate", "5M", "--length", "4000"}
		for _, f := range families {
			for _, row := range []struct {
				rule string
				args []string
			}{
				{"TCP to the server", nil},
				{"TCP from the server", []string{"--reverse"}},
				{"UDP to the server", slow},
				{"UDP from the server", append(slow, "--reverse")},
				{"UDP in fragments", big},
				{"UDP in fragments from the server", append(big, "--reverse")},
			} {
				udp := strings.HasPrefix(row.rule, "UDP")
				mbit, lost := iperf3(t, w, f, udp, row.args...)
				t.Logf("%s, %s: %.1f Mbit/s, %.2f %% lost", f.name, row.rule, mbit, lost)
				if udp && (mbit < 4 || lost > 1) || mbit < 1 {
					t.Errorf("%s, %s: %.1f Mbit/s, %.2f %% lost", f.name, row.rule, mbit, lost)
				}
			}
		}
	})
}

// iperf3 talks to the VIP for a second, and says how fast, and of UDP how many
// per cent were lost.
func iperf3(t *testing.T, w lab.World, f family, udp bool, args ...string) (mbit, lost float64) {
	t.Helper()
	args = append([]string{"--client", f.vip.String(), "--time", "1", "--json"}, args...)
	var report struct {
		Error string
		End   struct {
			Sum struct { // of UDP
				Bits float64 `json:"bits_per_second"`
				Lost float64 `json:"lost_percent"`
			}
			Received struct { // of TCP
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	eventually(t, "the server does not end its last test", func() bool {
		said := send(t, w.Host("client1"), "iperf3", args...).done(t)
		report.Error = ""
		if err := json.Unmarshal([]byte(said), &report); err != nil {
			t.Fatalf("%v in\n%s", err, said)
		}
		return !strings.Contains(report.Error, "server is busy")
	})
	if report.Error != "" {
		t.Fatalf("iperf3 %s: %s", strings.Join(args, " "), report.Error)
	}
	if udp {
		return report.End.Sum.Bits / 1e6, report.End.Sum.Lost
	}
	return report.End.Received.Bits / 1e6, 0
}
