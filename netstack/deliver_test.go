package netstack

import (
	"net/netip"
	"testing"
)

// What a host on the link sees of weir's own addresses and VIPs.
func TestHostConversations(t *testing.T) {
	for _, test := range []struct{ name, script string }{
		{"the port's address answers ARP and ping", `
			in  lan: arp who-has 10.0.0.2 tell 10.0.0.9 mac client>all
			out lan: arp 10.0.0.2 is-at lan mac lan>client
			in  lan: icmp 10.0.0.9 > 10.0.0.2 echo id 7 seq 1 mac client>lan
			out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>client
			out lan: icmp 10.0.0.2 > 10.0.0.9 echo-reply id 7 seq 1 mac lan>client
			count lan`},
		{"a VIP answers ARP and ping, on any port", `
			in  wan: arp who-has 10.0.0.100 tell 192.0.2.9 mac client>all
			out wan: arp 10.0.0.100 is-at wan mac wan>client
			in  wan: icmp 192.0.2.9 > 10.0.0.100 echo id 7 seq 1 mac client>wan
			out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>client
			out wan: icmp 10.0.0.100 > 192.0.2.9 echo-reply id 7 seq 1 mac wan>client
			count wan`},
		{"an IPv6 VIP answers neighbour discovery and ping", `
			in  lan: icmp 2001:db8:a::9 > ff02::1:ff00:100 neighbour-solicit 2001:db8:a::100 link client mac client>33:33:ff:00:01:00
			out lan: icmp 2001:db8:a::100 > 2001:db8:a::9 neighbour-advert 2001:db8:a::100 solicited override link lan mac lan>client
			in  lan: icmp 2001:db8:a::9 > 2001:db8:a::100 echo id 7 seq 1 mac client>lan
			out lan: icmp 2001:db8:a::2 > ff02::1:ff00:9 neighbour-solicit 2001:db8:a::9 link lan mac lan>client
			out lan: icmp 2001:db8:a::100 > 2001:db8:a::9 echo-reply id 7 seq 1 mac lan>client
			count lan`},
		{"the address of the other port is answered to, but not in ARP", `
			in  lan: arp who-has 192.0.2.2 tell 10.0.0.9 mac client>all
			in  lan: arp who-has 10.0.0.2 tell 10.0.0.9 mac client>lan
			out lan: arp 10.0.0.2 is-at lan mac lan>client
			in  lan: icmp 10.0.0.9 > 192.0.2.2 echo id 7 seq 1 mac client>lan
			out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>client
			out lan: icmp 192.0.2.2 > 10.0.0.9 echo-reply id 7 seq 1 mac lan>client
			count lan`},
		{"an address that is being probed for is defended", `
			in  lan: arp who-has 10.0.0.100 tell 0.0.0.0 mac thief>all
			out lan: arp 10.0.0.100 is-at lan mac lan>thief`},
		{"a port of ours that nobody listens on is refused", `
			in  lan: arp who-has 10.0.0.2 tell 10.0.0.9 mac client>all
			out lan: arp 10.0.0.2 is-at lan mac lan>client
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.2:81 S seq 5 mac client>lan
			out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>client
			out lan: tcp 10.0.0.2:81 > 10.0.0.9:4000 RA ack 6 win 0 id * mac lan>client
			count lan`},
		{"a frame for another station yields no RST, and the next frame is read", `
			in  lan: arp who-has 10.0.0.2 tell 10.0.0.9 mac client>all
			out lan: arp 10.0.0.2 is-at lan mac lan>client
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.2:81 S seq 5 mac client>nobody
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.2:81 S seq 5 mac client>lan
			out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>client
			out lan: tcp 10.0.0.2:81 > 10.0.0.9:4000 RA ack 6 win 0 id * mac lan>client
			count lan foreign-mac=1`},
		{"a wrong L4 checksum is not answered", `
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.2:81 S badsum mac client>lan
			count lan`},
		{"what is for nobody here ends with its reason", `
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.77:80 S mac client>lan
			in  lan: tcp 10.0.0.9:4000 > 198.51.100.1:80 S mac client>lan
			in  lan: udp 10.0.0.9:4000 > 224.0.0.251:5353 mac client>01:00:5e:00:00:fb
			count lan not-forwarding=3`},
		{"frames that no station should take", `
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.2:80 S mac lan>lan
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.2:80 S mac client>lan vlan 5
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.2:80 S mac client>all
			in  lan: tcp 10.0.0.2:4000 > 10.0.0.100:80 S mac client>lan
			in  lan: tcp 10.0.0.100:4000 > 10.0.0.2:80 S mac client>lan
			in  lan: tcp 10.0.0.2:80 > 10.0.0.2:80 S mac client>lan
			in  lan: tcp 127.0.0.1:80 > 10.0.0.2:80 S mac client>lan
			in  lan: icmp 10.0.0.9 > 10.0.0.2 type 5 code 1 mac client>lan
			count lan vlan-tagged=1 from-ourselves=1 land=1 martian=2 spoofed-source=2 icmp-redirect=1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			for _, vip := range []string{"10.0.0.100", "2001:db8:a::100"} {
				if err := r.s.AddVIP(netip.MustParseAddr(vip)); err != nil {
					t.Fatal(err)
				}
			}
			r.play(test.script)
		})
	}
}
