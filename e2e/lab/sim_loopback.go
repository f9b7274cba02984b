package lab

import (
	"net/netip"
	"slices"

	"weir/netstack/device"
	"weir/netstack/packet"
	"weir/tunnel"
)

// backDoor is the interface of a simulated host that has addresses which it
// must not answer for: what Linux does with arp_ignore and arp_announce, and a
// tunnel device, is done in front of the host's stack.
type backDoor struct {
	device.Device
	silent []netip.Addr
	decap  *tunnel.Decap // nil: no tunnels
}

func newBackDoor(d device.Device, n *Node) (device.Device, error) {
	if len(n.Loopback) == 0 {
		return d, nil
	}
	b := &backDoor{Device: d, silent: n.Loopback}
	if len(n.Decap) == 0 {
		return b, nil
	}
	var err error
	b.decap, err = tunnel.NewDecap(tunnel.DecapConfig{
		Directors: n.Decap, VIPs: n.Loopback, Own: []netip.Addr{n.Addr4(), n.Addr6()},
	})
	return b, err
}

// Read passes on what is not about a silent address.
func (b *backDoor) Read(queue int, p *packet.Packet) error {
	for {
		if err := b.Device.Read(queue, p); err != nil {
			return err
		}
		if p.Parse(packet.LinkEthernet) != packet.OK {
			return nil // the stack counts it
		}
		if b.about(p) {
			continue
		}
		src := p.SrcMAC()
		if b.decap != nil && p.Version != 0 && p.DstMAC() == b.MAC() && b.decap.Pop(p) == packet.OK {
			p.SetHop(&packet.Hop{Link: packet.LinkEthernet, Src: src, Dst: b.MAC()})
		}
		return nil
	}
}

// Write keeps to itself what would tell others of a silent address.
func (b *backDoor) Write(p *packet.Packet) error {
	if b.about(p) {
		return nil
	}
	return b.Device.Write(p)
}

// about reports whether a parsed frame asks for a silent address, or says who
// has it.
func (b *backDoor) about(p *packet.Packet) bool {
	if a, ok := p.ARP(); ok {
		return slices.Contains(b.silent, a.Sender) || slices.Contains(b.silent, a.Target)
	}
	n, ok := p.NDP()
	return ok && slices.Contains(b.silent, n.Target)
}
