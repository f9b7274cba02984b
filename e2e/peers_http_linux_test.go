//go:build peers

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weir/e2e/lab"
)

// curl through the VIP to nginx: 100 MB arrive as they are, and 200 requests go
// to the two servers in equal parts.
func TestCurlAndNginx(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		web(t, w)
		for _, f := range families {
			file := filepath.Join(t.TempDir(), "bulk")
			said := curl(t, w, "--output", file, "--write-out", "%{http_code} %{size_download}", "http://"+f.at(80)+"/bulk")
			if want := fmt.Sprintf("200 %d", bulk); said != want {
				t.Errorf("%s: %s, want %s", f.name, said, want)
			}
			got, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if digest(got) != digest(stream(bulk)) {
				t.Errorf("%s: the file arrived as other bytes", f.name)
			}
			got.Close()

			answers := curl(t, w, requests(f, 200, "--header", "Connection: close")...)
			if a, b := strings.Count(answers, "real1\n200 1\n"), strings.Count(answers, "real2\n200 1\n"); a != 100 || b != 100 {
				t.Errorf("%s: of 200 requests %d and %d were answered by the two servers, want 100 each\n%.300s", f.name, a, b, answers)
			}
		}
	})
}

// requests are curl's arguments for n requests, each of which is answered with a
// name, the status and the number of connections that it took.
func requests(f family, n int, more ...string) []string {
	args := append([]string{"--write-out", "%{http_code} %{num_connects}\n"}, more...)
	for range n {
		args = append(args, "http://"+f.at(80)+"/who")
	}
	return args
}

// SIGHUP again and again, with real servers coming and going: a keep-alive
// connection stays the only one, a download stays whole, new requests are
// answered.
func TestCurlDuringSIGHUP(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		p := web(t, w)
		text := []string{w.Weir().Config() + services(w), w.Weir().Config() + without(services(w), "real1"), w.Weir().Config() + without(services(w), "real2")}
		file := filepath.Join(t.TempDir(), "bulk")
		var kept, download []*errand
		for _, f := range families {
			always := []string{"--silent", "--show-error", "--globoff", "--max-time", "60"}
			kept = append(kept, send(t, w.Host("client1"), "curl", append(always, requests(f, 300, "--rate", "100/s")...)...))
			download = append(download, send(t, w.Host("client1"), "curl", append(always, "--limit-rate", "50M", "--output", file+f.name, "http://"+f.at(80)+"/bulk")...))
		}
		reloads := 0
		for running := true; running; reloads++ {
			write(t, p.file, text[reloads%len(text)])
			p.signal(t, syscall.SIGHUP)
			for _, f := range families {
				if said := curl(t, w, requests(f, 1)...); !strings.HasSuffix(said, "\n200 1\n") {
					t.Errorf("%s: a new request during reloads: %q", f.name, said)
				}
			}
			select {
			case <-kept[1].Done():
				running = false
			default:
			}
		}
		for i, f := range families {
			answers := strings.Split(strings.TrimSpace(kept[i].done(t)), "\n")
			connects := 0
			for n := 0; n+1 < len(answers); n += 2 {
				if answers[n] != answers[0] || !strings.HasPrefix(answers[n+1], "200 ") {
					t.Fatalf("%s: request %d: %s %s, and the first came from %s", f.name, n/2+1, answers[n], answers[n+1], answers[0])
				}
				connects += strings.Count(answers[n+1], " 1")
			}
			if len(answers) != 600 || connects != 1 {
				t.Errorf("%s: %d answers on %d connections, want 300 on one", f.name, len(answers)/2, connects)
			}
			download[i].done(t)
			got, err := os.Open(file + f.name)
			if err != nil {
				t.Fatal(err)
			}
			if digest(got) != digest(stream(bulk)) {
				t.Errorf("%s: the download arrived as other bytes", f.name)
			}
			got.Close()
		}
		if reloads < 20 {
			t.Errorf("%d reloads only", reloads)
		}
		t.Logf("%d reloads", reloads)
	})
}

// A host whose firewall follows connections and drops what is invalid to it
// takes weir's for good ones.
func TestBesideAStatefulFirewall(t *testing.T) {
	oneKernel(t, topologies[0], func(t *testing.T, w lab.World) {
		send(t, w.Host("host"), "nft", `add table inet fw; add chain inet fw forward { type filter hook forward priority 0; policy drop; };
			add rule inet fw forward ct state invalid counter drop; add rule inet fw forward ct state established,related accept;
			add rule inet fw forward ct state new meta l4proto { tcp, udp } accept; add rule inet fw forward meta l4proto ipv6-icmp accept`).done(t)
		web(t, w)
		for _, f := range families {
			echoUDP(t, w, f, 5353)
			untilUDP(t, w, f.at(53))
			said := curl(t, w, "--output", os.DevNull, "--write-out", "%{http_code} %{size_download}", "http://"+f.at(80)+"/bulk")
			if want := fmt.Sprintf("200 %d", bulk); said != want {
				t.Errorf("%s: %s, want %s", f.name, said, want)
			}
		}
	})
}

// ping of the VIP, where that program is; TestPingTheVIP has one of the lab's.
func TestPingProgram(t *testing.T) {
	if _, err := exec.LookPath("ping"); err != nil {
		t.Log(err)
		return
	}
	inKernel(t, func(t *testing.T, w lab.World) {
		startProgram(t, w, w.Weir().Config()+services(w))
		joined(t, w)
		for _, f := range families {
			for _, size := range []string{"56", "4000"} {
				said := send(t, w.Host("client1"), "ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", "-s", size, f.vip.String()).done(t)
				if !strings.Contains(said, "3 received, 0% packet loss") {
					t.Errorf("%s, %s bytes:\n%s", f.name, size, said)
				}
			}
		}
	})
}
