package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"

	"weir/netstack/packet"
)

// The demonstration is weir's first impression: every request is answered, the
// servers take turns, and the hop table shows what the topology is known for.
func TestDemo(t *testing.T) {
	for _, row := range []struct {
		name    string
		request []string // lines of the table, spaces folded, ports replaced by P
		reply   []string
	}{
		{"nat", []string{
			"client1 sends 02:00:00:01:00:11 02:00:00:01:00:01 10.1.0.11:P 192.0.2.10:80 64",
			"weir reads from tun - - 10.1.0.11:P 192.0.2.10:80 63",
			"weir writes to tun - - 10.1.0.11:P 10.2.0.13:80* 62*",
			"real3 receives 02:00:00:02:00:01 02:00:00:02:00:13 10.1.0.11:P 10.2.0.13:80 61",
		}, []string{
			"real3 sends 02:00:00:02:00:13 02:00:00:02:00:01 10.2.0.13:80 10.1.0.11:P 64",
			"weir writes to tun - - 192.0.2.10:80* 10.1.0.11:P 62*",
			"client1 receives 02:00:00:01:00:01 02:00:00:01:00:11 192.0.2.10:80 10.1.0.11:P 61",
		}},
		{"routed", []string{
			"weir reads from client 02:00:00:01:00:11 02:00:00:01:00:01 10.1.0.11:P 192.0.2.10:80 64",
			"weir writes to server 02:00:00:02:00:01* 02:00:00:02:00:13* 10.1.0.11:P 10.2.0.13:80* 63*",
		}, []string{
			"weir writes to client 02:00:00:01:00:01* 02:00:00:01:00:11* 192.0.2.10:80* 10.1.0.11:P 63*",
		}},
		{"bridged", []string{
			"weir reads from client 02:00:00:01:00:11 02:00:00:03:00:01 10.1.0.11:P 10.3.0.100:80 64",
			"weir writes to server 02:00:00:01:00:11 02:00:00:02:00:13* 10.1.0.11:P 10.2.0.13:80* 64",
		}, []string{
			"weir writes to client 02:00:00:02:00:13 02:00:00:01:00:11 10.3.0.100:80* 10.1.0.11:P 64",
		}},
		{"one-arm", []string{
			"weir reads from lan 02:00:00:01:00:11 02:00:00:03:00:01 10.1.0.11:P 10.3.0.100:80 64",
			"real3 receives 02:00:00:03:00:01 02:00:00:02:00:13 10.3.0.20X:P 10.2.0.13:80 63",
		}, []string{
			"weir writes to lan 02:00:00:03:00:01* 02:00:00:01:00:11* 10.3.0.100:80* 10.1.0.11:P* 63*",
		}},
		{"dsr", []string{
			"weir writes to lan 02:00:00:03:00:01* 02:00:00:02:00:13* 10.1.0.11:P 10.3.0.100:80 64",
		}, []string{
			"real3 sends 02:00:00:02:00:13 02:00:00:01:00:11 10.3.0.100:80 10.1.0.11:P 64",
			"client1 receives 02:00:00:02:00:13 02:00:00:01:00:11 10.3.0.100:80 10.1.0.11:P 64\n\nthe answer never passed weir: real3 sends it to the client itself, as the VIP",
		}},
		{"tunnel", []string{
			"weir writes to lan 02:00:00:03:00:01* 02:00:00:02:00:13* 10.3.0.1 [10.1.0.11:P]* 10.2.0.13 [10.3.0.100:80]* 64 [64]*",
			"real3 receives 02:00:00:03:00:01 02:00:00:02:00:13 10.3.0.1 [10.1.0.11:P] 10.2.0.13 [10.3.0.100:80] 64 [64]",
		}, []string{
			"client1 receives 02:00:00:02:00:13 02:00:00:01:00:11 10.3.0.100:80 10.1.0.11:P 64",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "seen.pcapng")
			var out, errs bytes.Buffer
			if code := run(t.Context(), []string{"demo", row.name, "-w", file}, strings.NewReader(""), &out, &errs); code != 0 {
				t.Fatalf("exit %d: %s", code, errs.String())
			}
			text := out.String()
			if n := strings.Count(text, " answered 200 "); n != demoRequests {
				t.Errorf("%d requests answered, want %d", n, demoRequests)
			}
			for _, real := range []string{"real1", "real2", "real3"} {
				if n := strings.Count(text, real+" answered"); n != 2 {
					t.Errorf("%s answered %d times, want its two turns", real, n)
				}
			}
			if strings.Contains(text, "\x1b") {
				t.Error("colours, and this is no terminal")
			}
			folded := regexp.MustCompile(` +`).ReplaceAllString(text, " ")
			folded = regexp.MustCompile(`10\.1\.0\.11:\d+`).ReplaceAllString(folded, "10.1.0.11:P")
			folded = regexp.MustCompile(`10\.3\.0\.20[12]:\d+`).ReplaceAllString(folded, "10.3.0.20X:P") // of the pool
			for _, line := range append(row.request, row.reply...) {
				if !strings.Contains(folded, "\n "+line+"\n") {
					t.Errorf("the table lacks %q:\n%s", line, text)
				}
			}
			readsBack(t, file)
		})
	}
}

// All of them end in one table: what weir changed, and who answered the client.
func TestDemoOfAllComparesThem(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"demo", "all"}, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	_, table, _ := strings.Cut(out.String(), "the methods side by side\n")
	got := regexp.MustCompile(`  +`).ReplaceAllString(table, " | ")
	want := ` | topology | method | weir changed in the request | in the answer | the answer came
 | nat | host | nat | destination, TTL | source, TTL | through weir
 | routed | routed | nat | source MAC, destination MAC, destination, TTL | source MAC, destination MAC, source, TTL | through weir
 | bridged | bridged | nat | destination MAC, destination | source | through weir
 | one-arm | one-arm | fullnat | source MAC, destination MAC, source, destination, TTL | source MAC, destination MAC, source, destination, TTL | through weir
 | dsr | one-arm | dsr | source MAC, destination MAC | nothing | past weir
 | tunnel | one-arm | tunnel | a header around it, source MAC, destination MAC | nothing | past weir
`
	if got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	if code := run(t.Context(), []string{"demo", "all", "-w", "x.pcapng"}, strings.NewReader(""), &out, &errs); code != 2 {
		t.Errorf("-w with all: exit %d, want 2", code)
	}
}

// readsBack: the file is pcapng, its frames parse, and they are in order of time.
func readsBack(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	frames, last := 0, int64(0)
	for {
		data, info, err := r.ReadPacketData()
		if err != nil {
			break
		}
		i, err := r.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		link := packet.LinkRaw
		if i.LinkType.String() == "Ethernet" {
			link = packet.LinkEthernet
		}
		var p packet.Packet
		p.Load(data)
		if why := p.Parse(link); why != packet.OK {
			t.Errorf("frame %d at %s: %v", frames, i.Name, why)
		}
		if at := info.Timestamp.UnixNano(); at < last {
			t.Errorf("frame %d is older than the one before", frames)
		} else {
			last = at
		}
		frames++
	}
	if frames < 100 {
		t.Errorf("%d frames in the file", frames)
	}
}
