package netstack

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gvisor "gvisor.dev/gvisor/pkg/tcpip/stack"

	"weir/netstack/packet"
)

// nic is a port as gVisor sees it: a link that needs no resolution. gVisor
// hands over bare IP packets, and where they go on which link is decided by
// weir's own routes and neighbours, so that there is one table of each. Only
// ARP replies and neighbour advertisements come with their destination.
//
// It claims no offload: gVisor computes every checksum it sends and verifies
// every one it gets.
type nic struct {
	port  *port
	stack *Stack
	up    atomic.Pointer[gvisor.NetworkDispatcher]
}

var _ gvisor.LinkEndpoint = (*nic)(nil)

// Attach is given nil when the NIC is removed. There is no reader to stop
// here: the receive loops belong to Run, and have ended before Close removes
// the NICs. gVisor waits for a link's readers before it closes the link, so
// that readers ended by Close would be waited for for ever.
func (n *nic) Attach(d gvisor.NetworkDispatcher) {
	if d == nil {
		n.up.Store(nil)
		return
	}
	n.up.Store(&d)
}

func (n *nic) IsAttached() bool                              { return n.up.Load() != nil }
func (n *nic) Wait()                                         {}
func (n *nic) Close()                                        {}
func (n *nic) SetOnCloseAction(func())                       {}
func (n *nic) MTU() uint32                                   { return uint32(n.port.mtu) }
func (n *nic) SetMTU(uint32)                                 {}
func (n *nic) MaxHeaderLength() uint16                       { return 0 }
func (n *nic) LinkAddress() tcpip.LinkAddress                { return tcpip.LinkAddress(n.port.mac[:]) }
func (n *nic) SetLinkAddress(tcpip.LinkAddress)              {}
func (n *nic) AddHeader(*gvisor.PacketBuffer)                {}
func (n *nic) ParseHeader(*gvisor.PacketBuffer) bool         { return true }
func (n *nic) Capabilities() gvisor.LinkEndpointCapabilities { return 0 }

// ARPHardwareType tells gVisor whether there are MACs.
func (n *nic) ARPHardwareType() header.ARPHardwareType {
	if n.port.link == packet.LinkEthernet {
		return header.ARPHardwareEther
	}
	return header.ARPHardwareNone
}

// WritePackets is called by gVisor with locks of its sockets held: nothing
// under it may call into gVisor again.
func (n *nic) WritePackets(list gvisor.PacketBufferList) (int, tcpip.Error) {
	now := n.stack.clock()
	w := n.stack.worker()
	defer n.stack.retire(w)
	for _, pb := range list.AsSlice() {
		p := &w.frame
		unpack(p, pb)
		to := packet.MAC{}
		copy(to[:], pb.EgressRoute.RemoteLinkAddress)
		if pb.NetworkProtocolNumber == header.ARPProtocolNumber {
			n.sendARP(now, p, to)
			continue
		}
		w.fromHost(now, n.port, p, to)
	}
	return list.Len(), nil
}

// unpack copies gVisor's packet into p behind the headroom.
func unpack(p *packet.Packet, pb *gvisor.PacketBuffer) {
	size := pb.Size()
	if len(p.Store) < packet.Headroom+size {
		p.Store = make([]byte, packet.Headroom+max(size, 2048))
	}
	at := packet.Headroom
	views, skip := pb.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		at += copy(p.Store[at:], b[skip:])
		skip = 0
	}
	p.Start, p.End, p.Offload = packet.Headroom, at, packet.Offload{}
}

// sendARP puts an Ethernet header before the ARP message in p and sends it.
func (n *nic) sendARP(now time.Duration, p *packet.Packet, to packet.MAC) {
	p.Start -= header.EthernetMinimumSize
	b := p.Bytes()
	copy(b, to[:])
	copy(b[6:], n.port.mac[:])
	binary.BigEndian.PutUint16(b[12:], packet.EtherARP)
	if p.Parse(packet.LinkEthernet) == packet.OK {
		n.stack.transmit(now, n.port, p)
	}
}

// inject gives gVisor an IP packet or, with proto ARP, an ARP message. The
// caller must not be under WritePackets.
func (n *nic) inject(proto tcpip.NetworkProtocolNumber, kind tcpip.PacketType, b []byte) {
	up := n.up.Load()
	if up == nil {
		return
	}
	pb := gvisor.NewPacketBuffer(gvisor.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	defer pb.DecRef()
	pb.NetworkProtocolNumber = proto
	pb.PktType = kind
	(*up).DeliverNetworkPacket(proto, pb)
}
