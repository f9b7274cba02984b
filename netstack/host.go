package netstack

import (
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gvisor "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// newHost builds the gVisor stack: one NIC a port, no forwarding, never
// promiscuous, never spoofing. The stack is returned with an error too, to be
// destroyed.
func newHost(ports []*port, routes *routeTable) (*gvisor.Stack, error) {
	host := gvisor.New(gvisor.Options{
		// Addresses are configured and VIPs move between appliances: duplicate
		// address detection would leave both tentative for a second. Router
		// advertisements are not listened to.
		NetworkProtocols: []gvisor.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol,
			ipv6.NewProtocolWithOptions(ipv6.Options{
				DADConfigs: gvisor.DADConfigurations{DupAddrDetectTransmits: 0},
				NDPConfigs: ipv6.NDPConfigurations{HandleRAs: ipv6.HandlingRAsDisabled},
			})},
		TransportProtocols: []gvisor.TransportProtocolFactory{
			tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		// What one of our sockets sends to another never leaves the stack.
		HandleLocal: true,
	})
	sack, recovery := tcpip.TCPSACKEnabled(true), tcpip.TCPRACKLossDetection
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &recovery} {
		if err := host.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return host, fmt.Errorf("netstack: set %T: %w", option, translate(err))
		}
	}
	for _, p := range ports {
		if err := addNIC(host, p); err != nil {
			return host, err
		}
	}
	host.SetRouteTable(hostRoutes(ports, routes))
	return host, nil
}

func addNIC(host *gvisor.Stack, p *port) error {
	if err := host.CreateNICWithOptions(p.nicID(), &p.nic, gvisor.NICOptions{Name: p.name}); err != nil {
		return fmt.Errorf("netstack: port %s: create NIC: %w", p.name, translate(err))
	}
	for _, a := range p.addresses {
		if err := host.AddProtocolAddress(p.nicID(), protocolAddress(a), gvisor.AddressProperties{}); err != nil {
			return fmt.Errorf("netstack: port %s: add address %s: %w", p.name, a, translate(err))
		}
	}
	return nil
}

// addVIP gives p's NIC the address alone, without a network: whoever asks for
// it on p's link is answered, and nothing is sent from it unasked.
func addVIP(host *gvisor.Stack, p *port, addr netip.Addr) error {
	a := protocolAddress(netip.PrefixFrom(addr, addr.BitLen()))
	err := host.AddProtocolAddress(p.nicID(), a, gvisor.AddressProperties{PEB: gvisor.NeverPrimaryEndpoint})
	if err != nil {
		return fmt.Errorf("netstack: VIP %s: add it to port %s: %w", addr, p.name, translate(err))
	}
	return nil
}

func removeVIP(host *gvisor.Stack, p *port, addr netip.Addr) error {
	if err := host.RemoveAddress(p.nicID(), address(addr)); err != nil {
		return fmt.Errorf("netstack: VIP %s: remove it from port %s: %w", addr, p.name, translate(err))
	}
	return nil
}

// hostRoutes is weir's route table as gVisor needs it: to choose a NIC and so a
// source address. At its end each NIC has a route to everything, for what must
// be sent from an address of a NIC by which weir would not send it: replies
// from one port's address that leave by another. Where a packet really goes,
// weir decides when it comes out.
func hostRoutes(ports []*port, routes *routeTable) []tcpip.Route {
	var table []tcpip.Route
	for _, r := range routes.rows() {
		table = append(table, tcpip.Route{Destination: subnet(r.prefix), NIC: ports[r.port].nicID()})
	}
	for _, p := range ports {
		table = append(table,
			tcpip.Route{Destination: header.IPv4EmptySubnet, NIC: p.nicID()},
			tcpip.Route{Destination: header.IPv6EmptySubnet, NIC: p.nicID()})
	}
	return table
}

func address(a netip.Addr) tcpip.Address {
	if a.Is4() {
		return tcpip.AddrFrom4(a.As4())
	}
	return tcpip.AddrFrom16(a.As16())
}

func subnet(p netip.Prefix) tcpip.Subnet {
	p = p.Masked()
	return tcpip.AddressWithPrefix{Address: address(p.Addr()), PrefixLen: p.Bits()}.Subnet()
}

func protocolAddress(p netip.Prefix) tcpip.ProtocolAddress {
	return tcpip.ProtocolAddress{
		Protocol:          protocolOf(p.Addr()),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(p.Addr()), PrefixLen: p.Bits()},
	}
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}
