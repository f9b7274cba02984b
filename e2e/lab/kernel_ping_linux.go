package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Ping uses a raw socket, not the kernel's ping socket: that one belongs to a
// group range which a user namespace with a single group cannot express.
func (h *kernelHost) Ping(ctx context.Context, dst netip.Addr) (time.Duration, error) {
	p := ping4
	if dst.Is6() {
		p = ping6
	}
	conn, err := h.listenPacket(p.network, "")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	expire := func() { conn.SetDeadline(time.Unix(1, 0)) }
	defer context.AfterFunc(ctx, expire)()
	defer context.AfterFunc(h.world.alive, expire)()
	rtt, err := p.ping(conn, dst)
	switch {
	case err == nil:
		return rtt, nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case h.world.alive.Err() != nil:
		err = errClosed
	}
	return 0, fmt.Errorf("on %s: ping %s: %w", h.node.Name, dst, err)
}

// pinger is what differs between the IP versions.
type pinger struct {
	network        string
	proto          int
	request, reply icmp.Type
	echo           byte // request, as in the packet
	header         int  // least length of the IP header in a quote
	says           map[icmp.Type]string
}

var ping4 = pinger{
	network: "ip4:icmp", proto: 1, request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply, echo: 8, header: 20,
	says: map[icmp.Type]string{
		ipv4.ICMPTypeDestinationUnreachable: destinationUnreachable,
		ipv4.ICMPTypeTimeExceeded:           timeExceeded,
	},
}

var ping6 = pinger{
	network: "ip6:ipv6-icmp", proto: 58, request: ipv6.ICMPTypeEchoRequest, reply: ipv6.ICMPTypeEchoReply, echo: 128, header: 40,
	says: map[icmp.Type]string{
		ipv6.ICMPTypeDestinationUnreachable: destinationUnreachable,
		ipv6.ICMPTypeTimeExceeded:           timeExceeded,
		ipv6.ICMPTypePacketTooBig:           tooBig,
	},
}

// lastID keeps two pings of this process from taking each other's replies.
var lastID atomic.Uint32

// ping sends one request and reads until its reply is there.
func (p pinger) ping(conn net.PacketConn, dst netip.Addr) (time.Duration, error) {
	id := int(lastID.Add(1) & 0xffff)
	request := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: id, Seq: 1, Data: []byte("weir lab echo request")}}
	bytes, err := request.Marshal(nil) // the kernel fills in ICMPv6's checksum
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	if _, err := conn.WriteTo(bytes, &net.IPAddr{IP: dst.AsSlice()}); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for {
		n, addr, err := conn.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		from, _ := netip.AddrFromSlice(addr.(*net.IPAddr).IP)
		got, err := icmp.ParseMessage(p.proto, buf[:n])
		if err != nil {
			continue
		}
		if echo, ok := got.Body.(*icmp.Echo); ok && got.Type == p.reply && echo.ID == id && from.Unmap() == dst {
			return time.Since(sent), nil
		}
		if says := p.says[got.Type]; says != "" && p.quoted(buf[:n]) == id {
			return 0, unreachable(from.Unmap(), says)
		}
	}
}

// quoted is the identifier of the echo request that an ICMP error is about, or
// -1: eight bytes of the error, the request's IP header, then type, code and
// checksum.
func (p pinger) quoted(b []byte) int {
	b = b[8:]
	header := p.header
	if p.proto == 1 && len(b) > 0 {
		header = int(b[0]&0xf) * 4
	}
	if len(b) < header+8 || b[header] != p.echo {
		return -1
	}
	return int(binary.BigEndian.Uint16(b[header+4:]))
}
