package netstack

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"weir/netstack/packet"
)

// What gVisor must be, whatever its defaults become: each of these, set
// otherwise, has done damage (README, Decisions).
func TestHostIsBuiltAsItMustBe(t *testing.T) {
	r := newRig(t, forwarding)
	for id, nic := range r.s.host.NICInfo() {
		if nic.Flags.Promiscuous {
			t.Errorf("NIC %s is promiscuous", nic.Name)
		}
		for _, proto := range []tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber, header.IPv6ProtocolNumber} {
			if on, err := r.s.host.NICForwarding(id, proto); err != nil || on {
				t.Errorf("NIC %s forwards protocol %#x: %v, %v", nic.Name, proto, on, err)
			}
		}
	}
	var congestion tcpip.CongestionControlOption
	var sack tcpip.TCPSACKEnabled
	var recovery tcpip.TCPRecovery
	for _, option := range []tcpip.GettableTransportProtocolOption{&congestion, &sack, &recovery} {
		if err := r.s.host.TransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			t.Fatal(err)
		}
	}
	if congestion != "cubic" || !bool(sack) || recovery&tcpip.TCPRACKLossDetection == 0 {
		t.Errorf("TCP uses %q, SACK %v, recovery %v", congestion, sack, recovery)
	}
}

// seedFrames are frames of each kind that a port reads.
func seedFrames(t testing.TB) (frames [][]byte) {
	for _, line := range []string{
		"tcp 10.0.0.9:4000 > 10.0.0.2:80 S mac client>lan",
		"tcp 10.0.0.9:4000 > 192.0.2.9:80 PA len 100 mac client>lan",
		"udp 10.0.0.9:4000 > 192.0.2.9:53 id 5 frag 0+ len 64 mac client>lan",
		"udp 10.0.0.9 > 10.0.0.2 id 5 frag 64 len 64 mac client>lan",
		"udp [2001:db8:a::9]:4000 > [2001:db8:b::9]:53 mac client>lan",
		"icmp 10.0.0.9 > 10.0.0.2 echo id 7 seq 1 mac client>lan",
		"icmp 10.0.0.9 > 192.0.2.9 unreachable port (udp 192.0.2.9:53 > 10.0.0.9:4000) mac client>lan",
		"icmp 2001:db8:a::9 > 2001:db8:a::2 neighbour-solicit 2001:db8:a::2 link client mac client>lan",
		"icmp 2001:db8:a::9 > 2001:db8:a::2 neighbour-advert 2001:db8:a::9 solicited link client mac client>lan",
	} {
		var p packet.Packet
		if err := packet.Build(&p, unnamed(line)); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, bytes.Clone(p.Bytes()))
	}
	var arp packet.Packet
	packet.BuildARP(&arp, &packet.ARP{Op: packet.ARPRequest, SenderMAC: stations["client"],
		Sender: mustAddr("10.0.0.9"), Target: mustAddr("10.0.0.2")}, packet.Broadcast)
	return append(frames, bytes.Clone(arp.Bytes()))
}

// A hundred thousand frames with a few bytes turned over or cut off leave the
// stack as it was: it answers the next ping.
func TestMutatedFramesDoNoHarm(t *testing.T) {
	r := newRig(t, forwarding)
	seeds, random := seedFrames(t), rand.New(rand.NewPCG(1, 2))
	w := r.s.worker()
	for i := range 100_000 {
		frame := bytes.Clone(seeds[i%len(seeds)])
		for range 1 + random.IntN(4) {
			frame[random.IntN(len(frame))] ^= 1 << random.IntN(8)
		}
		if random.IntN(4) == 0 {
			frame = frame[:random.IntN(len(frame))]
		}
		w.frame.Load(frame)
		w.ingress(r.now, r.port("lan"), &w.frame)
		if i%1000 == 0 {
			r.now += tickEvery
			r.s.tick(w, r.now)
		}
	}
	if err := r.s.SetNeighbour(mustAddr("10.0.0.9"), stations["client"]); err != nil {
		t.Fatal(err)
	}
	r.collect()
	r.out = nil
	r.play(`
		in  lan: icmp 10.0.0.9 > 10.0.0.2 echo id 9 seq 9 mac client>lan
		out lan: icmp 10.0.0.2 > 10.0.0.9 echo-reply id 9 seq 9 mac lan>client`)
	if n := len(r.s.resolver.table.entries); n > maxNeighbours {
		t.Errorf("%d neighbours", n)
	}
}

// FuzzIngress throws any bytes at a router and at a host; nothing may panic,
// and what is forwarded is no longer than what came.
func FuzzIngress(f *testing.F) {
	for _, frame := range seedFrames(f) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > 2000 {
			return
		}
		r := newRig(t, forwarding)
		for _, known := range []struct {
			addr string
			mac  packet.MAC
		}{{"10.0.0.9", stations["client"]}, {"192.0.2.9", stations["real"]}, {"2001:db8:b::9", stations["real"]}} {
			if err := r.s.SetNeighbour(mustAddr(known.addr), known.mac); err != nil {
				t.Fatal(err)
			}
		}
		w := r.s.worker()
		w.frame.Load(frame)
		w.ingress(r.now, r.port("lan"), &w.frame)
		w.drain(r.now)
		r.s.tick(w, tickEvery)
		for _, sent := range r.ports["wan"].sent {
			if len(sent.frame) > max(len(frame), 100) {
				t.Errorf("%d bytes came, %d went", len(frame), len(sent.frame))
			}
		}
	})
}
