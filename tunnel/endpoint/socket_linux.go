package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"weir/netstack/packet"
	"weir/tunnel"
)

// receiveBuffer is what the kernel may hold for a socket, in bytes: some 50 ms
// at 1 Gbit/s, doubled by the kernel for its own accounts.
const receiveBuffer = 4 << 20

// socket is where tunnel packets of one protocol and one IP version come in.
// The kernel has put their fragments together and verified what is outside.
type socket struct {
	fd     int
	family int // unix.AF_INET or AF_INET6
	format tunnel.Type
	proto  uint8
	port   uint16 // of UDP
	// lost is what the kernel has dropped so far for want of room.
	lost uint32
}

// whole reports whether the socket hands over the outer IP header as well.
func (s *socket) whole() bool { return s.family == unix.AF_INET && s.proto != packet.UDP }

func (s *socket) String() string {
	v := "IPv4"
	if s.family == unix.AF_INET6 {
		v = "IPv6"
	}
	if s.proto == packet.UDP {
		return fmt.Sprintf("%s socket, UDP port %d over %s", s.format, s.port, v)
	}
	return fmt.Sprintf("%s socket, protocol %d over %s", s.format, s.proto, v)
}

// openSockets opens what c's formats come in by, over both IP versions where
// the host has both.
func openSockets(c *Config) (list []*socket, err error) {
	defer func() {
		if err != nil {
			closeSockets(list)
		}
	}()
	for _, t := range c.Types {
		protos, port := []uint8{packet.UDP}, uint16(0)
		switch t {
		case tunnel.IPIP:
			protos = []uint8{packet.IPIP, packet.IPv6}
		case tunnel.GRE:
			protos = []uint8{packet.GRE}
		case tunnel.GUE:
			port = c.GUEPort
		case tunnel.VXLAN:
			port = c.VXLANPort
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			for _, proto := range protos {
				s := &socket{family: family, format: t, proto: proto, port: port}
				err := s.open()
				if errors.Is(err, unix.EAFNOSUPPORT) && family == unix.AF_INET6 {
					continue // a host without IPv6
				}
				if err != nil {
					return list, fmt.Errorf("%s: %w%s", s, err, s.hint(err))
				}
				list = append(list, s)
			}
		}
	}
	return list, nil
}

func (s *socket) hint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return ": run as root, with CAP_NET_RAW, or inside `unshare -Urn`"
	case errors.Is(err, unix.EADDRINUSE):
		return ": another program or a tunnel device of the kernel has it: remove that, or name the formats you need with --type"
	}
	return ""
}

func closeSockets(list []*socket) {
	for _, s := range list {
		unix.Close(s.fd)
	}
}

// open makes the socket in the namespace of the calling thread.
func (s *socket) open() (err error) {
	kind, proto := unix.SOCK_RAW, int(s.proto)
	if s.proto == packet.UDP {
		kind = unix.SOCK_DGRAM
	}
	s.fd, err = unix.Socket(s.family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		unix.Close(s.fd)
		return err
	}
	return nil
}

// option is a socket option that is a switch.
type option struct{ level, name int }

func (s *socket) configure() error {
	// Beyond net.core.rmem_max only an administrator may go; a smaller buffer
	// is no reason to do nothing.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	on := []option{{unix.SOL_SOCKET, unix.SO_RXQ_OVFL}}
	switch {
	case s.family == unix.AF_INET6:
		on = append(on, option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO}, option{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS})
		if s.proto == packet.UDP {
			on = append(on, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}, option{unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX})
		}
	case s.proto == packet.UDP:
		on = append(on, option{unix.IPPROTO_IP, unix.IP_PKTINFO}, option{unix.IPPROTO_IP, unix.IP_RECVTOS})
	}
	for _, o := range on {
		if err := unix.SetsockoptInt(s.fd, o.level, o.name, 1); err != nil {
			return fmt.Errorf("set option %d/%d: %w", o.level, o.name, err)
		}
	}
	if s.proto != packet.UDP {
		return nil
	}
	if s.family == unix.AF_INET6 {
		return unix.Bind(s.fd, &unix.SockaddrInet6{Port: int(s.port)})
	}
	return unix.Bind(s.fd, &unix.SockaddrInet4{Port: int(s.port)})
}

// describe reads the socket address and the control messages that came with a
// packet: false if the kernel has not told where it was sent to.
func (s *socket) describe(o *outer, name []byte, control []byte) bool {
	*o = outer{proto: s.proto, dport: s.port}
	switch {
	case s.whole():
	case s.family == unix.AF_INET && len(name) >= 8:
		o.sport, o.src = binary.BigEndian.Uint16(name[2:]), addr4(name[4:8])
	case s.family == unix.AF_INET6 && len(name) >= 24:
		o.sport, o.src = binary.BigEndian.Uint16(name[2:]), packet.Addr(name[8:24])
	default:
		return false
	}
	told := s.whole()
	for len(control) >= unix.CmsgLen(0) {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return false
		}
		control = rest
		switch (option{int(h.Level), int(h.Type)}) {
		case option{unix.SOL_SOCKET, unix.SO_RXQ_OVFL}:
			s.lost = binary.NativeEndian.Uint32(data)
		case option{unix.IPPROTO_IP, unix.IP_PKTINFO}: // struct in_pktinfo: interface, local address, destination
			o.dst, told = addr4(data[8:12]), true
		case option{unix.IPPROTO_IP, unix.IP_TOS}:
			o.tos = data[0]
		case option{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}:
			o.dst, told = packet.Addr(data[:16]), true
		case option{unix.IPPROTO_IPV6, unix.IPV6_TCLASS}:
			o.tos = uint8(binary.NativeEndian.Uint32(data))
		}
	}
	return told
}

func addr4(b []byte) packet.Addr {
	return packet.Addr{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}
}
