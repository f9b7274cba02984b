package netstack

import (
	"bytes"
	"testing"

	"weir/netstack/packet"
)

// learned makes the stations client (on lan) and real (on wan) known.
const learned = `
	in  lan: arp who-has 10.0.0.2 tell 10.0.0.9 mac client>lan
	out lan: arp 10.0.0.2 is-at lan mac lan>client
	in  wan: arp who-has 192.0.2.2 tell 192.0.2.9 mac real>wan
	out wan: arp 192.0.2.2 is-at wan mac wan>real
	in  lan: udp 10.0.0.9:1 > 192.0.2.9:1 mac client>lan
	out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>real
	out wan: udp 10.0.0.9:1 > 192.0.2.9:1 ttl 63 mac wan>real
	in  wan: arp 192.0.2.9 is-at real mac real>wan
	in  wan: udp 192.0.2.9:1 > 10.0.0.9:1 mac real>wan
	out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>client
	out lan: udp 192.0.2.9:1 > 10.0.0.9:1 ttl 63 mac lan>client
	in  lan: arp 10.0.0.9 is-at client mac client>lan
`

func TestForwarding(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []rigOption
		script  string
	}{
		{"a transit packet loses one TTL and keeps everything else", nil, `
			in  lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 SEC seq 9 tos 0x2 id 77 df ttl 64 mac client>lan
			out wan: tcp 10.0.0.9:4000 > 192.0.2.9:80 SEC seq 9 ttl 63 tos 0x2 id 77 df mac wan>real
			count lan`},
		{"an IPv6 transit packet waits for its neighbour", nil, `
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 mac client>lan
			out wan: icmp 2001:db8:b::2 > ff02::1:ff00:9 neighbour-solicit 2001:db8:b::9 link wan mac wan>33:33:ff:00:00:09
			in  wan: icmp 2001:db8:b::9 > 2001:db8:b::2 neighbour-advert 2001:db8:b::9 solicited override link real mac real>wan
			out wan: udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 ttl 63 mac wan>real
			count lan`},
		{"TTL 1 is answered and never forwarded as 0", nil, `
			in  lan: udp 10.0.0.9:4000 > 192.0.2.9:33434 ttl 1 mac client>lan
			out lan: icmp 10.0.0.2 > 10.0.0.9 time-exceeded tos 0xc0 df (udp 10.0.0.9:4000 > 192.0.2.9:33434 ttl 1) mac lan>client
			in  lan: udp 10.0.0.9:4000 > 192.0.2.9:33434 ttl 0 mac client>lan
			out lan: icmp 10.0.0.2 > 10.0.0.9 time-exceeded tos 0xc0 df (udp 10.0.0.9:4000 > 192.0.2.9:33434 ttl 0) mac lan>client
			in  lan: udp 10.0.0.9:4000 > 192.0.2.9:33434 ttl 2 mac client>lan
			out wan: udp 10.0.0.9:4000 > 192.0.2.9:33434 ttl 1 mac wan>real
			count lan ttl-expired=2`},
		{"a wrong L4 checksum is passed on as it is", nil, `
			in  lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A badsum mac client>lan
			out wan: tcp 10.0.0.9:4000 > 192.0.2.9:80 A ttl 63 badsum mac wan>real
			count lan`},
		{"no route is net unreachable", nil, `
			in  lan: udp 10.0.0.9:4000 > 203.0.113.1:53 mac client>lan
			out lan: icmp 10.0.0.2 > 10.0.0.9 unreachable net tos 0xc0 df (udp 10.0.0.9:4000 > 203.0.113.1:53) mac lan>client
			count lan no-route=1`},
		{"the longest prefix wins", []rigOption{
			routeTo("0.0.0.0/0", "192.0.2.1", ""), routeTo("203.0.113.0/24", "192.0.2.9", "")}, `
			in  lan: udp 10.0.0.9:4000 > 203.0.113.1:53 mac client>lan
			out wan: udp 10.0.0.9:4000 > 203.0.113.1:53 ttl 63 mac wan>real
			in  lan: udp 10.0.0.9:4000 > 203.0.112.1:53 mac client>lan
			out wan: arp who-has 192.0.2.1 tell 192.0.2.2 mac wan>all
			in  wan: arp 192.0.2.1 is-at gw mac gw>wan
			out wan: udp 10.0.0.9:4000 > 203.0.112.1:53 ttl 63 mac wan>gw`},
		{"a neighbour that does not answer is host unreachable", nil, `
			in  lan: udp 10.0.0.9:4000 > 192.0.2.50:53 mac client>lan
			out wan: arp who-has 192.0.2.50 tell 192.0.2.2 mac wan>all
			at  1s
			out wan: arp who-has 192.0.2.50 tell 192.0.2.2 mac wan>all
			at  2s
			out wan: arp who-has 192.0.2.50 tell 192.0.2.2 mac wan>all
			at  3s
			out lan: icmp 10.0.0.2 > 10.0.0.9 unreachable host tos 0xc0 df (udp 10.0.0.9:4000 > 192.0.2.50:53) mac lan>client
			count lan neighbour-failed=1`},
		{"a packet larger than the egress MTU that may not be fragmented is answered", []rigOption{mtu("wan", 1280)}, `
			in  lan: udp 10.0.0.9:4000 > 192.0.2.9:53 df len 1400 mac client>lan
			out lan: icmp 10.0.0.2 > 10.0.0.9 frag-needed mtu 1280 tos 0xc0 df cut 548 (udp 10.0.0.9:4000 > 192.0.2.9:53 df len 1400) mac lan>client
			count lan too-big=1`},
		{"and is fragmented if it may be", []rigOption{mtu("wan", 576)}, `
			in  lan: udp 10.0.0.9:4000 > 192.0.2.9:53 id 5 len 1000 mac client>lan
			out wan: udp 10.0.0.9:4000 > 192.0.2.9:53 ttl 63 id 5 frag 0+ len 544 mac wan>real
			out wan: udp 10.0.0.9 > 192.0.2.9 ttl 63 id 5 frag 552 len 456 mac wan>real
			count lan`},
		{"addresses of one link are not routed to another", []rigOption{routeTo("169.254.0.0/16", "", "wan")}, `
			in  lan: udp 10.0.0.9:4000 > 169.254.1.1:53 mac client>lan
			in  lan: udp [fe80::9]:4000 > [2001:db8:b::9]:53 mac client>lan
			count lan not-forwarding=2`},
		{"out of a TUN and back", []rigOption{tun("lan")}, `
			in  lan: udp 10.0.0.9:4000 > 192.0.2.9:53
			out wan: udp 10.0.0.9:4000 > 192.0.2.9:53 ttl 63 mac wan>real
			in  wan: udp 192.0.2.9:53 > 10.0.0.9:4000 mac real>wan
			out lan: udp 192.0.2.9:53 > 10.0.0.9:4000 ttl 63
			in  lan: udp 10.7.7.7:4000 > 192.0.2.9:53 ttl 1
			out lan: icmp 10.0.0.2 > 10.7.7.7 time-exceeded tos 0xc0 df (udp 10.7.7.7:4000 > 192.0.2.9:53 ttl 1)
			count lan ttl-expired=1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, append(test.options, forwarding)...)
			if r.ports["lan"].link == packet.LinkEthernet {
				r.play(learned)
			} else {
				r.play(`
					in  lan: udp 10.0.0.9:1 > 192.0.2.9:1
					out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>all
					in  wan: arp 192.0.2.9 is-at real mac real>wan
					out wan: udp 10.0.0.9:1 > 192.0.2.9:1 ttl 63 mac wan>real`)
			}
			r.play(test.script)
		})
	}
}

// gVisor's forwarding overwrote bytes of fragments, mended checksums and sent
// TTL 0. Ours must change nothing but the MACs, the TTL and the IP checksum.
func TestForwardingChangesNothingElse(t *testing.T) {
	r := newRig(t, forwarding)
	r.play(learned)
	for _, line := range []string{
		"lan: udp 10.0.0.9:4000 > 192.0.2.9:53 id 5 frag 0+ len 1000 mac client>lan",
		"lan: udp 10.0.0.9 > 192.0.2.9 id 5 frag 1008+ len 800 mac client>lan",
		"lan: udp 10.0.0.9 > 192.0.2.9 id 5 frag 1808 len 123 mac client>lan",
		"lan: tcp 10.0.0.9:4000 > 192.0.2.9:80 PA badsum len 99 mac client>lan",
		"lan: ip 10.0.0.9 > 192.0.2.9 proto 47 len 300 mac client>lan",
	} {
		t.Run(line, func(t *testing.T) {
			var p packet.Packet
			in := r.load(&p, line)
			before := bytes.Clone(p.Bytes())
			w := r.s.worker()
			defer r.s.retire(w)
			w.ingress(r.now, in, &p)
			sent := r.ports["wan"].sent
			r.ports["wan"].sent = nil
			if len(sent) != 1 {
				t.Fatalf("%d frames went out, want 1", len(sent))
			}
			after := sent[0].frame
			if after[14+8] != before[14+8]-1 {
				t.Errorf("TTL went from %d to %d", before[14+8], after[14+8])
			}
			for _, frame := range [][]byte{before, after} {
				clear(frame[:12])           // MACs
				clear(frame[14+8 : 14+9])   // TTL
				clear(frame[14+10 : 14+12]) // IP checksum; Parse in load above has verified it
			}
			if !bytes.Equal(before, after) {
				t.Errorf("changed more than it should:\n%x\n%x", before, after)
			}
		})
	}
}
