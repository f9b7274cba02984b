package announce

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const proc = "/proc/sys/net"

// deviceSettings are what weir's own device needs, and nobody else's is given.
// Packets come out of a TUN with the addresses of clients who live elsewhere,
// which a reverse path filter takes for forged; and nothing on this link ever
// advertises a route.
var deviceSettings = []struct{ version, name, value string }{
	{"ipv4", "rp_filter", "0"},
	{"ipv4", "forwarding", "1"},
	{"ipv4", "accept_redirects", "0"},
	{"ipv4", "send_redirects", "0"},
	{"ipv6", "addr_gen_mode", "1"}, // no address of the kernel's own: nobody would answer to it
	{"ipv6", "disable_ipv6", "0"},
	{"ipv6", "forwarding", "1"},
	{"ipv6", "accept_ra", "0"},
	{"ipv6", "accept_redirects", "0"},
}

// setting is a file below /proc/sys/net that weir has written. The file stays
// open: its name means another namespace on another thread.
type setting struct {
	file *os.File
	was  []byte
}

// configure writes the device's settings.
func (s *steering) configure() error {
	for _, d := range deviceSettings {
		err := s.set(path.Join(proc, d.version, "conf", s.device, d.name), d.value)
		if err != nil && !(d.version == "ipv6" && errors.Is(err, fs.ErrNotExist)) { // a kernel without IPv6
			return fmt.Errorf("host: %w%s", err, hint(err))
		}
	}
	return nil
}

func (s *steering) set(name, value string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	was := make([]byte, 64)
	n, err := f.ReadAt(was, 0)
	if n == 0 {
		f.Close()
		return err
	}
	if was = was[:n]; string(bytes.TrimSpace(was)) == value {
		return f.Close()
	}
	if _, err := f.WriteAt([]byte(value), 0); err != nil {
		f.Close()
		return err
	}
	s.settings = append(s.settings, setting{f, was})
	return nil
}

// restore puts the device's settings back. One that is gone with its device
// needs nothing.
func (s *steering) restore() {
	for i := len(s.settings) - 1; i >= 0; i-- {
		_, _ = s.settings[i].file.WriteAt(s.settings[i].was, 0)
		s.settings[i].file.Close()
	}
	s.settings = nil
}

// globals are settings of the host as a whole that weir needs and does not
// touch. Each is reported once.
type globals struct{ forward4, forward6, strict bool }

func readGlobals() globals {
	is := func(name, value string) bool {
		b, err := os.ReadFile(path.Join(proc, name))
		return err == nil && string(bytes.TrimSpace(b)) == value
	}
	return globals{
		forward4: is("ipv4/ip_forward", "1"),
		forward6: is("ipv6/conf/all/forwarding", "1"),
		strict:   is("ipv4/conf/all/rp_filter", "1"),
	}
}

// examine looks for what would keep traffic for new addresses away: an error
// where nothing could work, one log line with what to do where it depends.
func (s *steering) examine(to []netip.Addr, from []Source) error {
	addrs, err := list(func() ([]netlink.Addr, error) { return s.nl.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return fmt.Errorf("host: list addresses: %w", err)
	}
	own := map[netip.Addr]bool{}
	var nets []netip.Prefix
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		own[ip.Unmap()] = true
		if a.LinkIndex != s.link.Attrs().Index {
			nets = append(nets, netip.PrefixFrom(ip.Unmap(), bits))
		}
	}
	for _, a := range to {
		if own[a] {
			return fmt.Errorf("host: %s is an address of this host, which would answer itself: remove it from its interface", a)
		}
		for _, n := range nets {
			if n.Contains(a) && !n.IsSingleIP() {
				s.log.Warn("the stations of a network next to this host will look for the address there: have the host answer for it with `ip neigh add proxy ADDRESS dev INTERFACE`",
					"address", a, "network", n.Masked())
			}
		}
	}
	seen := map[netip.Addr]bool{}
	for _, src := range from {
		if own[src.Addr] && !seen[src.Addr] {
			seen[src.Addr] = true
			s.log.Warn("a real server on this host itself answers its clients past weir: move it to another host or namespace", "address", src.Addr)
		}
	}
	s.warn(to)
	return nil
}

func (s *steering) warn(to []netip.Addr) {
	for _, a := range to {
		switch {
		case a.Is6() && !s.global.forward6:
			s.global.forward6 = true
			s.log.Warn("this host forwards no IPv6, weir's packets included: `sysctl -w net.ipv6.conf.all.forwarding=1`")
		case a.Is4() && !s.global.forward4:
			s.global.forward4 = true
			s.log.Warn("this host forwards no IPv4, weir's packets included: `sysctl -w net.ipv4.ip_forward=1`")
		}
		if a.Is4() && s.global.strict {
			s.global.strict = false
			s.log.Warn("this host's reverse path filter drops what comes out of weir's device: `sysctl -w net.ipv4.conf.all.rp_filter=2`, or 0", "device", s.device)
		}
	}
}
