package netstack

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// hookFuncs is a Hook of functions; nil ones pass, have nothing and do nothing.
type hookFuncs struct {
	ingress func(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict
	next    func(now time.Duration, p *packet.Packet) (packet.PortID, packet.Verdict, bool)
	tick    func(now time.Duration)
}

func (h *hookFuncs) Ingress(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict {
	if h.ingress == nil {
		return packet.Verdict{}
	}
	return h.ingress(now, in, p)
}

func (h *hookFuncs) Next(now time.Duration, p *packet.Packet) (packet.PortID, packet.Verdict, bool) {
	if h.next == nil {
		return 0, packet.Verdict{}, false
	}
	return h.next(now, p)
}

func (h *hookFuncs) Tick(now time.Duration) {
	if h.tick != nil {
		h.tick(now)
	}
}

func emitBy(port packet.PortID) packet.Verdict {
	v := packet.Verdict{Action: packet.Emit}
	v.Port = port
	return v
}

// toReal is the hook of a load balancer of one real server: it sends
// everything for 10.0.0.100 out of wan to the station real, untranslated, and
// errors about it out of lan to the client.
func toReal(r *rig) *hookFuncs {
	lan, wan, vip := r.port("lan"), r.port("wan"), mustAddr("10.0.0.100")
	return &hookFuncs{ingress: func(_ time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict {
		switch {
		case in == lan.id && p.Dst() == vip:
			hop := wan.hop(stations["real"])
			p.SetHop(&hop)
			return emitBy(wan.id)
		case in == wan.id && p.IsICMPError():
			hop := lan.hop(stations["client"])
			p.SetHop(&hop)
			return emitBy(lan.id)
		}
		return packet.Verdict{}
	}}
}

func TestHookVerdicts(t *testing.T) {
	const syn = "tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>lan"
	t.Run("emit goes out as the hook left it", func(t *testing.T) {
		r := newRig(t)
		r.s.SetHook(toReal(r))
		r.play(`
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S ttl 1 mac client>lan
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S ttl 1 mac wan>real
			count lan`)
	})
	t.Run("drop is counted once and answered if owed", func(t *testing.T) {
		r := newRig(t)
		v := packet.Verdict{Action: packet.Drop, Reason: packet.NoService, Answer: packet.AnswerPortUnreachable}
		r.s.SetHook(&hookFuncs{ingress: func(time.Duration, packet.PortID, *packet.Packet) packet.Verdict { return v }})
		if err := r.s.SetNeighbour(mustAddr("10.0.0.9"), stations["client"]); err != nil {
			t.Fatal(err)
		}
		if err := r.s.AddVIP(mustAddr("10.0.0.100")); err != nil {
			t.Fatal(err)
		}
		r.play(`
			in  lan: udp 10.0.0.9:4000 > 10.0.0.100:53 mac client>lan
			out lan: icmp 10.0.0.100 > 10.0.0.9 unreachable port tos 0xc0 df (udp 10.0.0.9:4000 > 10.0.0.100:53) mac lan>client
			in  lan: icmp 10.0.0.9 > 10.0.0.100 unreachable port (udp 10.0.0.100:53 > 10.0.0.9:4000) mac client>lan
			count lan no-service=2`)
	})
	t.Run("held frames come back through Next, after any frame and at ticks", func(t *testing.T) {
		r := newRig(t)
		var held [][]byte
		ready := false
		hook := toReal(r)
		emit := hook.ingress
		hook.ingress = func(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict {
			if p.Proto == packet.TCP {
				held = append(held, bytes.Clone(p.Bytes()))
				return packet.Verdict{Action: packet.Hold, Reason: packet.NeighbourWait}
			}
			return packet.Verdict{}
		}
		hook.next = func(now time.Duration, p *packet.Packet) (packet.PortID, packet.Verdict, bool) {
			if !ready || len(held) == 0 {
				return 0, packet.Verdict{}, false
			}
			p.Load(held[0])
			held = held[1:]
			p.Parse(packet.LinkEthernet)
			return 0, emit(now, 0, p), true
		}
		r.s.SetHook(hook)
		r.play("in lan: " + syn + "\nin lan: " + syn)
		ready = true
		r.play(`
			in  lan: arp 10.0.0.9 is-at client mac client>lan
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac wan>real
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac wan>real`)
		ready = false
		r.play("in lan: " + syn)
		ready = true
		r.play(`
			at  100ms
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac wan>real
			count lan`)
	})
	t.Run("the error about an emitted packet that is too big goes through the hook", func(t *testing.T) {
		r := newRig(t, mtu("wan", 600))
		r.s.SetHook(toReal(r))
		r.play(`
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A df len 1000 mac client>lan
			out lan: icmp 192.0.2.2 > 10.0.0.9 frag-needed mtu 600 tos 0xc0 df cut 548 (tcp 10.0.0.9:4000 > 10.0.0.100:80 A df len 1000) mac lan>client
			in  lan: udp 10.0.0.9:4000 > 10.0.0.100:80 id 9 len 1000 mac client>lan
			out wan: udp 10.0.0.9:4000 > 10.0.0.100:80 id 9 frag 0+ len 568 mac wan>real
			out wan: udp 10.0.0.9 > 10.0.0.100 id 9 frag 576 len 432 mac wan>real
			count lan too-big=1`)
	})
	t.Run("a super-packet whose segments fit is not too big, one whose segments do not is", func(t *testing.T) {
		r := newRig(t)
		r.s.SetHook(toReal(r))
		r.play(`
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A df len 9000 gso 1448 partial mac client>lan
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A df gso 1448 len 9000 mac wan>real
			count lan`)
		r = newRig(t, mtu("wan", 1400))
		r.s.SetHook(toReal(r))
		r.play(`
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A df len 9000 gso 1448 partial mac client>lan
			out lan: icmp 192.0.2.2 > 10.0.0.9 frag-needed mtu 1400 tos 0xc0 df cut 548 (tcp 10.0.0.9:4000 > 10.0.0.100:80 A df len 9000) mac lan>client
			count lan too-big=1`)
	})
	t.Run("a frame with the wrong link header is a fault of the hook's", func(t *testing.T) {
		r := newRig(t, tun("wan"))
		r.s.SetHook(&hookFuncs{ingress: func(time.Duration, packet.PortID, *packet.Packet) packet.Verdict {
			return emitBy(1)
		}})
		r.play("in lan: " + syn + "\ncount lan rewrite-failed=1")
	})
}

func TestDeviceErrorsAreDrops(t *testing.T) {
	for _, test := range []struct {
		fail error
		want string
	}{
		{fmt.Errorf("device wan0: %w", device.ErrFull), "device-full=1"},
		{fmt.Errorf("device wan0: %w", device.ErrAgain), "device-full=1"},
		{fmt.Errorf("device wan0: input/output error"), "device-error=1"},
		{fmt.Errorf("device wan0: %w", device.ErrRemoved), "device-error=1"},
	} {
		r := newRig(t)
		r.s.SetHook(toReal(r))
		r.ports["wan"].fail = test.fail
		r.play(`
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>lan
			count wan ` + test.want + `
			count lan`)
	}
}

// tapFunc is a Tap of a function.
type tapFunc func(point Point, port packet.PortID, p *packet.Packet, r packet.Reason)

func (f tapFunc) Frame(_ time.Duration, point Point, port packet.PortID, p *packet.Packet, r packet.Reason) {
	f(point, port, p, r)
}

func TestTapSeesEveryFrame(t *testing.T) {
	r := newRig(t)
	r.s.SetHook(toReal(r))
	var seen []string
	r.s.SetTap(tapFunc(func(point Point, port packet.PortID, p *packet.Packet, reason packet.Reason) {
		seen = append(seen, fmt.Sprintf("%s %d %s %d bytes", point, port, reason, len(p.Bytes())))
	}))
	const script = `
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>lan
		out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac wan>real
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>nobody`
	r.play(script)
	want := []string{"rx 0 ok 54 bytes", "tx 1 ok 54 bytes", "rx 0 ok 54 bytes", "drop 0 foreign-mac 54 bytes"}
	if !slices.Equal(seen, want) {
		t.Errorf("the tap saw %q, want %q", seen, want)
	}
	r.s.SetTap(nil)
	r.play(script)
	if len(seen) != len(want) {
		t.Error("the tap was shown frames after it was removed")
	}
	c := r.s.Counters()
	if lan := c.Ports[0]; lan.Name != "lan" || lan.RxFrames != 4 || lan.RxBytes != 4*54 || lan.TxFrames != 0 {
		t.Errorf("lan counted %+v", lan)
	}
	if wan := c.Ports[1]; wan.TxFrames != 2 || wan.TxBytes != 2*54 || wan.RxFrames != 0 {
		t.Errorf("wan counted %+v", wan)
	}
	if n := c.Dropped(packet.ForeignMAC); n != 2 {
		t.Errorf("%d foreign frames counted, want 2", n)
	}
}

// void is a device that takes everything.
type void struct{ *recorder }

func (void) Write(*packet.Packet) error { return nil }

// The fast path, from the parse to the device, allocates nothing.
func TestEmitAllocatesNothing(t *testing.T) {
	for _, tapped := range []bool{false, true} {
		r := newRig(t)
		r.s.SetHook(toReal(r))
		for _, p := range r.s.ports {
			p.dev = void{p.dev.(*recorder)}
		}
		if tapped {
			r.s.SetTap(tapFunc(func(Point, packet.PortID, *packet.Packet, packet.Reason) {}))
		}
		w := &worker{s: r.s}
		var p packet.Packet
		in := r.load(&p, "lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A len 1000 mac client>lan")
		frame := bytes.Clone(p.Bytes())
		w.frame.Load(frame)
		allocs := testing.AllocsPerRun(1000, func() {
			w.frame.Load(frame)
			w.ingress(r.now, in, &w.frame)
			w.drain(r.now)
		})
		if allocs != 0 {
			t.Errorf("tapped %v: %v allocations a packet, want 0", tapped, allocs)
		}
	}
}

func BenchmarkEmit(b *testing.B) {
	t := &testing.T{}
	r := newRig(t)
	r.s.SetHook(toReal(r))
	for _, p := range r.s.ports {
		p.dev = void{p.dev.(*recorder)}
	}
	w := &worker{s: r.s}
	var p packet.Packet
	in := r.load(&p, "lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A mac client>lan")
	frame := bytes.Clone(p.Bytes())
	w.frame.Load(frame)
	b.ReportAllocs()
	for b.Loop() {
		w.frame.Load(frame)
		w.ingress(r.now, in, &w.frame)
		w.drain(r.now)
	}
}
