package director

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"weir/netstack/packet"
)

// What Explain says before, Ingress does after: for random packets of known and
// unknown flows, the same verdict and the same bytes, and explaining changes
// nothing that can be counted.
func TestExplanationEqualsDecision(t *testing.T) {
	a, err := txtar.ParseFile("testdata/refused.txtar")
	if err != nil {
		t.Fatal(err)
	}
	s, err := setStage(fileOf(a, "network"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	flags := []string{"S", "A", "SA", "FA", "R", "PA"}
	for i := range 20_000 {
		client := fmt.Sprintf("10.1.0.%d:%d", rng.IntN(20)+1, 4000+rng.IntN(10))
		text := fmt.Sprintf("tcp %s > 192.0.2.1%d:%d %s ttl %d", client, rng.IntN(4), 79+rng.IntN(3), flags[rng.IntN(len(flags))], 1+rng.IntN(3))
		switch rng.IntN(4) {
		case 0:
			text = fmt.Sprintf("tcp 10.2.0.1:80 > %s %s", client, flags[rng.IntN(len(flags))])
		case 1:
			text = fmt.Sprintf("icmp 10.2.0.1 > %s unreachable port (tcp %s > 10.2.0.1:80)", strings.Split(client, ":")[0], client)
		}
		var asked, sent packet.Packet
		for _, p := range []*packet.Packet{&asked, &sent} {
			if err := packet.Build(p, text); err != nil {
				t.Fatal(err)
			}
			p.Parse(packet.LinkRaw)
		}
		now := time.Duration(i) * time.Millisecond
		before := s.counters()
		e := s.Explain(now, &asked)
		if after := s.counters(); after != before {
			t.Fatalf("%s: explaining changed the counters from %s to %s", text, before, after)
		}
		if len(e.Steps) == 0 {
			t.Fatalf("%s: no reasons given", text)
		}
		v := s.Ingress(now, 0, &sent)
		if v != e.Verdict {
			t.Fatalf("%s: explained %v %v, decided %v %v\n%v", text, e.Verdict.Action, e.Verdict.Reason, v.Action, v.Reason, e.Steps)
		}
		if string(asked.Bytes()) != string(sent.Bytes()) {
			t.Fatalf("%s: explained as %v, sent as %v", text, &asked, &sent)
		}
	}
	if c, _ := s.Counts(); c.Created == 0 {
		t.Error("no flow was ever created: the test tests nothing")
	}
}

// The words of an explanation name the service, the choice and the way.
func TestExplanationReadsWell(t *testing.T) {
	a, err := txtar.ParseFile("testdata/routed.txtar")
	if err != nil {
		t.Fatal(err)
	}
	s, err := setStage(fileOf(a, "network"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ packet, want string }{
		{"tcp 10.1.0.9:4000 > 192.0.2.10:80 S", "virtual service: web (192.0.2.10:80)\nflow: none yet: this packet begins one\n" +
			"scheduler: rr gives r2; candidates: r2 weight 1\nmethod: nat: the destination changes; replies come back through weir\nnext hop: 10.2.0.2, whose MAC is not known yet: the packet would wait while it is asked for\n"},
		{"tcp 10.1.0.9:4000 > 192.0.2.10:80 A", "virtual service: web (192.0.2.10:80)\nflow: none, and only a SYN begins one\n"},
		{"tcp 10.1.0.9:4000 > 192.0.2.10:8080 S", "virtual service: none on port 8080 of 192.0.2.10, which is a VIP\n"},
		{"tcp 10.1.0.9:4000 > 10.2.0.2:80 S", "virtual service: none: 10.2.0.2 is no VIP, and no flow has these addresses and ports\n"},
	} {
		var p packet.Packet
		if err := packet.Build(&p, c.packet); err != nil {
			t.Fatal(err)
		}
		p.Parse(packet.LinkRaw)
		var got strings.Builder
		for _, step := range s.Explain(0, &p).Steps {
			fmt.Fprintf(&got, "%s: %s\n", step.Question, step.Answer)
		}
		if got.String() != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.packet, got.String(), c.want)
		}
	}
	if len(s.network.asked) != 0 {
		t.Errorf("explaining asked the network for %v", s.network.asked)
	}
}
