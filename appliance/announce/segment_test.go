package announce

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func addrs(text string) (list []netip.Addr) {
	for _, s := range strings.Fields(text) {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func TestAnnouncements(t *testing.T) {
	for _, row := range []struct {
		name   string
		script string // what is done, at which second: "0 add 10.0.0.1 ..", "2 remove ..", "1.5 look"
		want   string // what is said at which second
	}{
		{"an address is announced three times, a second apart",
			"0 add 10.0.0.1", "0:10.0.0.1 1:10.0.0.1 2:10.0.0.1"},
		{"addresses are announced side by side",
			"0 add 10.0.0.1 2001:db8::1; 0.5 add 10.0.0.2",
			"0:10.0.0.1 0:2001:db8::1 0.5:10.0.0.2 1:10.0.0.1 1:2001:db8::1 1.5:10.0.0.2 2:10.0.0.1 2:2001:db8::1 2.5:10.0.0.2"},
		{"one that is added again begins anew",
			"0 add 10.0.0.1; 1.5 add 10.0.0.1", "0:10.0.0.1 1:10.0.0.1 1.5:10.0.0.1 2.5:10.0.0.1 3.5:10.0.0.1"},
		{"one that is removed is not announced any more",
			"0 add 10.0.0.1 10.0.0.2; 0.5 remove 10.0.0.1", "0:10.0.0.1 0:10.0.0.2 1:10.0.0.2 2:10.0.0.2"},
		{"a machine that slept does not catch up in a burst",
			"0 add 10.0.0.1; 0.1 sleep 60", "0:10.0.0.1 60:10.0.0.1 61:10.0.0.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := play(t, row.script); got != row.want {
				t.Errorf("said\n\t%s\nwant\n\t%s", got, row.want)
			}
		})
	}
}

// play runs a script by the times that the Segment itself asks for.
func play(t *testing.T, script string) string {
	t.Helper()
	var said []string
	now := time.Duration(0)
	s := NewSegment(func(a netip.Addr) { said = append(said, fmt.Sprintf("%v:%v", now.Seconds(), a)) })
	until := func(end time.Duration) {
		for {
			wait, more := s.step(now)
			if !more || now+wait > end {
				now = max(now, end)
				return
			}
			now += wait
		}
	}
	for _, line := range strings.Split(script, ";") {
		f := strings.Fields(line)
		at, err := time.ParseDuration(f[0] + "s")
		if err != nil {
			t.Fatal(err)
		}
		until(at)
		switch f[1] {
		case "add":
			s.add(now, addrs(strings.Join(f[2:], " ")))
		case "remove":
			s.Remove(addrs(strings.Join(f[2:], " "))...)
		case "sleep":
			if now, err = time.ParseDuration(f[2] + "s"); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(time.Hour)
	return strings.Join(said, " ")
}

func TestRunAnnouncesWhatIsAddedWhileItWaits(t *testing.T) {
	said := make(chan netip.Addr, 10)
	s := NewSegment(func(a netip.Addr) { said <- a })
	s.Add(addrs("10.0.0.1")...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // until cancel
	<-s.Ready()
	if a := <-said; a != addrs("10.0.0.1")[0] {
		t.Errorf("said %v first", a)
	}
	s.Add(addrs("10.0.0.2")...)
	if a := <-said; a != addrs("10.0.0.2")[0] { // long before 10.0.0.1's second turn
		t.Errorf("said %v second", a)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestReplies(t *testing.T) {
	for _, row := range []struct {
		name, real string
		proto      uint8
		want       string
	}{
		{"TCP by its port, and ICMP", "10.0.0.11:80", 6, "[protocol 6 from 10.0.0.11:80 protocol 1 from 10.0.0.11]"},
		{"TCP over IPv6", "[fd00::11]:80", 6, "[protocol 6 from [fd00::11]:80 protocol 58 from fd00::11]"},
		{"UDP from every port, because fragments have none", "10.0.0.11:53", 17, "[protocol 17 from 10.0.0.11 protocol 1 from 10.0.0.11]"},
		{"a service for all ports", "10.0.0.11:0", 6, "[protocol 6 from 10.0.0.11 protocol 1 from 10.0.0.11]"},
	} {
		if got := fmt.Sprint(Replies(netip.MustParseAddrPort(row.real), row.proto)); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestSets(t *testing.T) {
	have := map[int]bool{1: true, 2: true}
	if got := missing([]int{3, 2, 4, 3}, have); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("missing: %v", got)
	}
	if got := surplus(have, []int{2, 3}); !slices.Equal(got, []int{1}) {
		t.Errorf("surplus: %v", got)
	}
}
