package netstack

import "testing"

// learned6 makes the IPv6 stations client (on lan) and real (on wan) known.
const learned6 = `
	in  lan: icmp 2001:db8:a::9 > 2001:db8:a::2 neighbour-solicit 2001:db8:a::2 link client mac client>lan
	out lan: icmp 2001:db8:a::2 > 2001:db8:a::9 neighbour-advert 2001:db8:a::2 solicited override link lan mac lan>client
	in  lan: udp [2001:db8:a::9]:1 > [2001:db8:b::9]:1 mac client>lan
	out wan: icmp 2001:db8:b::2 > ff02::1:ff00:9 neighbour-solicit 2001:db8:b::9 link wan mac wan>33:33:ff:00:00:09
	in  wan: icmp 2001:db8:b::9 > 2001:db8:b::2 neighbour-advert 2001:db8:b::9 solicited override link real mac real>wan
	out wan: udp [2001:db8:a::9]:1 > [2001:db8:b::9]:1 ttl 63 mac wan>real
	in  wan: udp [2001:db8:b::9]:1 > [2001:db8:a::9]:1 mac real>wan
	out lan: icmp 2001:db8:a::2 > ff02::1:ff00:9 neighbour-solicit 2001:db8:a::9 link lan mac lan>client
	out lan: udp [2001:db8:b::9]:1 > [2001:db8:a::9]:1 ttl 63 mac lan>client
	in  lan: icmp 2001:db8:a::9 > 2001:db8:a::2 neighbour-advert 2001:db8:a::9 solicited override link client mac client>lan
`

// What a router owes the senders of transit packets, in IPv6.
func TestTransit6(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []rigOption
		script  string
	}{
		{"a hop limit of 1 is answered", nil, `
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 ttl 1 mac client>lan
			out lan: icmp 2001:db8:a::2 > 2001:db8:a::9 time-exceeded (udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 ttl 1) mac lan>client
			count lan ttl-expired=1`},
		{"the longest prefix wins", []rigOption{
			routeTo("::/0", "2001:db8:b::1", ""), routeTo("2001:db8:c::/48", "2001:db8:b::9", "")}, `
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:c::1]:53 mac client>lan
			out wan: udp [2001:db8:a::9]:4000 > [2001:db8:c::1]:53 ttl 63 mac wan>real
			count lan`},
		{"no route is answered", nil, `
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:c::1]:53 mac client>lan
			out lan: icmp 2001:db8:a::2 > 2001:db8:a::9 unreachable net (udp [2001:db8:a::9]:4000 > [2001:db8:c::1]:53) mac lan>client
			count lan no-route=1`},
		{"a neighbour that does not answer is answered for", nil, `
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:b::50]:53 mac client>lan
			out wan: icmp 2001:db8:b::2 > ff02::1:ff00:50 neighbour-solicit 2001:db8:b::50 link wan mac wan>33:33:ff:00:00:50
			at  1s
			out wan: icmp 2001:db8:b::2 > ff02::1:ff00:50 neighbour-solicit 2001:db8:b::50 link wan mac wan>33:33:ff:00:00:50
			at  2s
			out wan: icmp 2001:db8:b::2 > ff02::1:ff00:50 neighbour-solicit 2001:db8:b::50 link wan mac wan>33:33:ff:00:00:50
			at  3s
			out lan: icmp 2001:db8:a::2 > 2001:db8:a::9 unreachable host (udp [2001:db8:a::9]:4000 > [2001:db8:b::50]:53) mac lan>client
			count lan neighbour-failed=1`},
		{"a packet that is too big is answered, and never fragmented", []rigOption{mtu("wan", 1300)}, `
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 len 1253 mac client>lan
			out lan: icmp 2001:db8:a::2 > 2001:db8:a::9 too-big mtu 1300 cut 1232 (udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 len 1253) mac lan>client
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 len 1252 mac client>lan
			out wan: udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 ttl 63 len 1252 mac wan>real
			count lan too-big=1`},
		{"a super-packet too, if its segments are", []rigOption{mtu("wan", 1300)}, `
			in  lan: tcp [2001:db8:a::9]:4000 > [2001:db8:b::9]:80 A len 6000 gso 1240 mac client>lan
			out wan: tcp [2001:db8:a::9]:4000 > [2001:db8:b::9]:80 A ttl 63 gso 1240 len 6000 mac wan>real
			in  lan: tcp [2001:db8:a::9]:4000 > [2001:db8:b::9]:80 A len 6000 gso 1241 mac client>lan
			out lan: icmp 2001:db8:a::2 > 2001:db8:a::9 too-big mtu 1300 cut 1232 (tcp [2001:db8:a::9]:4000 > [2001:db8:b::9]:80 A len 6000) mac lan>client
			count lan too-big=1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, append(test.options, forwarding)...)
			r.play(learned6)
			r.play(test.script)
		})
	}
}

// Super-packets, and what is owed nobody.
func TestTransit(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []rigOption
		script  string
	}{
		{"a super-packet whose segments fit is routed whole", []rigOption{mtu("wan", 1280)}, `
			in  lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A df len 6000 gso 1240 mac client>lan
			out wan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A ttl 63 df gso 1240 len 6000 mac wan>real
			count lan`},
		{"one whose segments do not is answered", []rigOption{mtu("wan", 1280)}, `
			in  lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A df len 6000 gso 1241 mac client>lan
			out lan: icmp 10.0.0.2 > 10.0.0.9 frag-needed mtu 1280 tos 0xc0 df cut 548 (tcp 10.0.0.9:4000 > 192.0.2.9:80 A df len 6000) mac lan>client
			count lan too-big=1`},
		{"or is segmented, and its segments fragmented, where that is allowed", []rigOption{mtu("wan", 576)}, `
			in  lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 PA seq 1 id 5 len 1000 gso 600 mac client>lan
			out wan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A seq 1 ttl 63 id 5 frag 0+ len 532 mac wan>real
			out wan: tcp 10.0.0.9 > 192.0.2.9 ttl 63 id 5 frag 552 len 68 mac wan>real
			out wan: tcp 10.0.0.9:4000 > 192.0.2.9:80 PA seq 601 ttl 63 id 6 len 400 mac wan>real
			count lan`},
		{"datagrams of a super-packet likewise", []rigOption{mtu("wan", 576)}, `
			in  lan: udp 10.0.0.9:4000 > 192.0.2.9:53 id 5 len 1000 gso 600 mac client>lan
			out wan: udp 10.0.0.9:4000 > 192.0.2.9:53 ttl 63 id 5 frag 0+ len 544 mac wan>real
			out wan: udp 10.0.0.9 > 192.0.2.9 ttl 63 id 5 frag 552 len 56 mac wan>real
			out wan: udp 10.0.0.9:4000 > 192.0.2.9:53 ttl 63 id 6 len 400 mac wan>real
			count lan`},
		{"a partial checksum is passed on as one", nil, `
			in  lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A len 100 partial mac client>lan
			out wan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A ttl 63 partial len 100 mac wan>real
			count lan`},
		{"a super-packet whose TTL ends is answered once", nil, `
			in  lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A df ttl 1 len 6000 gso 1240 mac client>lan
			out lan: icmp 10.0.0.2 > 10.0.0.9 time-exceeded tos 0xc0 df cut 548 (tcp 10.0.0.9:4000 > 192.0.2.9:80 A ttl 1 df len 6000) mac lan>client
			count lan ttl-expired=1`},
		{"later fragments and errors are owed no error", nil, `
			in  lan: udp 10.0.0.9 > 192.0.2.9 id 5 frag 1008 len 100 ttl 1 mac client>lan
			in  lan: icmp 10.0.0.9 > 192.0.2.9 unreachable port ttl 1 (udp 192.0.2.9:53 > 10.0.0.9:4000) mac client>lan
			count lan ttl-expired=2`},
		{"groups are not routed", nil, `
			in  lan: udp 10.0.0.9:4000 > 239.1.2.3:53 mac client>01:00:5e:01:02:03
			in  lan: udp 10.0.0.9:4000 > 192.0.2.255:53 mac client>lan
			count lan not-forwarding=2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, append(test.options, forwarding)...)
			r.play(learned)
			r.play(test.script)
		})
	}
}
