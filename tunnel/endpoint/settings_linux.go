package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
)

const proc = "/proc/sys/net"

// deviceSettings are those of the TUN. What comes out of it is for this host
// alone: a VIP that is missing must not be routed on, back to a director.
var deviceSettings = []struct{ version, name, value string }{
	{"ipv4", "forwarding", "0"},
	{"ipv4", "accept_redirects", "0"},
	{"ipv4", "send_redirects", "0"},
	{"ipv4", "accept_local", "0"},  // a packet from an address of the host is forged
	{"ipv6", "addr_gen_mode", "1"}, // no address of the kernel's own, and so no chatter
	{"ipv6", "disable_ipv6", "0"},
	{"ipv6", "forwarding", "0"},
	{"ipv6", "accept_ra", "0"},
	{"ipv6", "accept_redirects", "0"},
}

// setting is a file below /proc/sys/net that was written. It stays open: its
// name means another namespace on another thread.
type setting struct {
	file *os.File
	was  []byte
}

// configure writes the TUN's settings.
func (k *kernel) configure() error {
	name := k.link.Attrs().Name
	for _, d := range deviceSettings {
		err := k.set(path.Join(proc, d.version, "conf", name, d.name), d.value)
		if err != nil && !(d.version == "ipv6" && errors.Is(err, fs.ErrNotExist)) { // a kernel without IPv6
			return fmt.Errorf("host: %w%s", err, hint(err))
		}
	}
	k.loose = strict()
	filter := "0"
	if k.loose {
		filter = "2"
	}
	if err := k.set(path.Join(proc, "ipv4/conf", name, "rp_filter"), filter); err != nil {
		return fmt.Errorf("host: %w%s", err, hint(err))
	}
	return nil
}

// strict reports whether the host filters by reverse path on all interfaces.
// Clients are not reached by the TUN, so a strict filter takes all of them for
// forged; the larger value of the interface and of "all" counts, so that here
// the loose one is the least there is.
func strict() bool {
	b, err := os.ReadFile(path.Join(proc, "ipv4/conf/all/rp_filter"))
	return err == nil && string(bytes.TrimSpace(b)) != "0"
}

func (k *kernel) set(name, value string) error {
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
	k.settings = append(k.settings, setting{f, was})
	return nil
}

// restore puts the TUN's settings back, which matters for one that an
// administrator has made.
func (k *kernel) restore() {
	for i := len(k.settings) - 1; i >= 0; i-- {
		_, _ = k.settings[i].file.WriteAt(k.settings[i].was, 0)
		k.settings[i].file.Close()
	}
	k.settings = nil
}

// What ARP must be told on a real server (arp_ignore and arp_announce of
// ip-sysctl): answer only for addresses of the interface that was asked, and
// ask with an address of the interface that asks.
const (
	ignoreForeign = 1
	announceBest  = 2
)

func (k *kernel) openARP() (err error) {
	if k.ignore, err = os.OpenFile(path.Join(proc, "ipv4/conf/all/arp_ignore"), os.O_RDWR, 0); err != nil {
		return fmt.Errorf("host: %w%s", err, hint(err))
	}
	if k.announce, err = os.OpenFile(path.Join(proc, "ipv4/conf/all/arp_announce"), os.O_RDWR, 0); err != nil {
		k.ignore.Close()
		k.ignore = nil
		return fmt.Errorf("host: %w%s", err, hint(err))
	}
	return nil
}

// holdARP raises both settings where they are lower. What was there before is
// marked first; of several Endpoints each marks what was before all of them, so
// that the last one that goes can put it back.
func (k *kernel) holdARP() error {
	ignore, announce, err := k.readARP()
	if err != nil {
		return err
	}
	marks, err := k.marks()
	if err != nil {
		return err
	}
	mine, other := k.find(marks, arpMark)
	switch {
	case mine != nil: // left by a kill -9
	case other != nil:
		err = k.addMark(mark{k.table, arpMark, other.value})
	case ignore >= ignoreForeign && announce >= announceBest:
		return nil // an administrator's
	default:
		err = k.addMark(mark{k.table, arpMark, before(ignore, announce)})
	}
	if err != nil {
		return err
	}
	return errors.Join(put(k.ignore, max(ignore, ignoreForeign)), put(k.announce, max(announce, announceBest)))
}

// releaseARP puts back what was there before, unless another Endpoint needs it
// or somebody has set something else since.
func (k *kernel) releaseARP(marks []mark) error {
	mine, other := k.find(marks, arpMark)
	if other == nil {
		ignore, announce, err := k.readARP()
		if err != nil {
			return err
		}
		wasIgnore, wasAnnounce := unpack(mine.value)
		if ignore == ignoreForeign && wasIgnore < ignore {
			err = put(k.ignore, wasIgnore)
		}
		if announce == announceBest && wasAnnounce < announce {
			err = errors.Join(err, put(k.announce, wasAnnounce))
		}
		if err != nil {
			return err
		}
	}
	return k.dropMark(*mine)
}

// before is two settings as a route's metric, which must not be 0: IPv6 would
// make another number of that, and so it means nothing here either.
func before(ignore, announce int) int { return 1 + ignore<<4 + announce }

func unpack(value int) (ignore, announce int) { return (value - 1) >> 4, (value - 1) & 15 }

func (k *kernel) readARP() (ignore, announce int, err error) {
	for file, value := range map[*os.File]*int{k.ignore: &ignore, k.announce: &announce} {
		b := make([]byte, 16)
		n, readErr := file.ReadAt(b, 0)
		if n == 0 {
			return 0, 0, fmt.Errorf("host: %w", readErr)
		}
		if *value, err = strconv.Atoi(string(bytes.TrimSpace(b[:n]))); err != nil {
			return 0, 0, fmt.Errorf("host: %s: %w", file.Name(), err)
		}
	}
	return ignore, announce, nil
}

func put(f *os.File, value int) error {
	if _, err := f.WriteAt([]byte(strconv.Itoa(value)), 0); err != nil {
		return fmt.Errorf("host: %w%s", err, hint(err))
	}
	return nil
}
