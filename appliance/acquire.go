package appliance

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"weir/appliance/announce"
	"weir/appliance/config"
	"weir/appliance/control"
	"weir/appliance/director"
	"weir/netstack"
	"weir/netstack/device"
	"weir/netstack/packet"
)

// port is what the appliance must know of a port of netstack.
type port struct {
	name string
	link packet.Link
	mac  packet.MAC // zero: none, or not known
	mtu  int
}

// openKernelDevice opens a TUN or TAP of the kernel; it is still down.
func openKernelDevice(p config.Port) (device.Device, error) {
	kind := device.TAP
	if p.Kind == config.PortTUN {
		kind = device.TUN
	}
	return device.Open(device.Config{Name: p.Device, Kind: kind, MTU: p.MTU, MAC: p.MAC, Queues: p.Queues})
}

// acquire takes everything. What it took is in cleanup, whether it fails or not.
func (a *Appliance) acquire(cfg *config.Config) error {
	// Operators first: of two weirs with one configuration the second is told
	// who the first is, and has touched nothing.
	l, err := a.listen()
	if err != nil {
		return err
	}
	devices, err := a.openDevices(cfg)
	if err != nil {
		return err
	}
	if err := a.attachHost(cfg, devices); err != nil {
		return err
	}
	if err := a.joinBridges(cfg); err != nil {
		return err
	}
	for i, d := range devices {
		if err := bringUp(cfg, cfg.Ports[i], d); err != nil {
			return fmt.Errorf("port %s: %w", cfg.Ports[i].Name, err)
		}
	}
	if a.stack, err = netstack.New(a.timed(stackConfig(cfg, devices))); err != nil {
		return err
	}
	a.onClose(a.memory.free) // behind the stack's end: its loops use it
	a.onClose(a.stack.Close)
	a.segment = announce.NewSegment(a.stack.Announce)
	if a.director, err = newDirector(cfg, director.Options{Network: a.stack, MaxFlows: cfg.Limits.Flows, Seed: a.seed(), Memory: a.memory.take}); err != nil {
		return err
	}
	a.stack.SetHook(a.director)
	if err := populate(a.stack, cfg); err != nil {
		return err
	}
	if err := a.steering.Extend(wanted(cfg)); err != nil {
		return err
	}
	a.segment.Add(onSegments(cfg)...)
	a.config.Store(cfg)
	a.setLevel(cfg)
	if l != nil {
		a.server = control.NewServer(l, source{a}, a.options.Version, control.DefaultLimits(), a.log)
	}
	return nil
}

func (a *Appliance) onClose(f func() error) { a.cleanup = append(a.cleanup, f) }

// closing closes a listener that its server may have closed before.
func closing(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (a *Appliance) openDevices(cfg *config.Config) ([]device.Device, error) {
	var devices []device.Device
	for _, p := range cfg.Ports {
		d, err := a.options.OpenDevice(p)
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", p.Name, err)
		}
		a.onClose(d.Close)
		devices = append(devices, d)
		a.ports = append(a.ports, port{name: p.Name, link: d.Link(), mac: d.MAC(), mtu: d.MTU()})
		log := a.log.With("port", p.Name, "device", d.Name(), "kind", p.Kind)
		if d.Link() == packet.LinkEthernet {
			log = log.With("mac", d.MAC())
		}
		log.Info("port opened", "mtu", d.MTU(), "queues", d.Queues(), "offloads", d.Features())
	}
	return devices, nil
}

// populate gives the stack what it answers for, and whom it need not ask for.
func populate(stack *netstack.Stack, cfg *config.Config) error {
	for _, addr := range append(cfg.VIPs(), cfg.PoolAddrs()...) {
		if err := stack.AddVIP(addr); err != nil {
			return err
		}
	}
	for _, n := range cfg.Neighbours {
		if err := stack.SetNeighbour(n.Address, n.MAC); err != nil {
			return err
		}
	}
	return nil
}

// joinBridges puts the TAPs that want it into bridges of the host's.
func (a *Appliance) joinBridges(cfg *config.Config) error {
	for _, p := range cfg.Ports {
		if p.Bridge == "" {
			continue
		}
		leave, err := a.options.Host.Join(p.Device, p.Bridge)
		if err != nil {
			return fmt.Errorf("port %s: %w", p.Name, err)
		}
		a.onClose(leave)
	}
	return nil
}

func (a *Appliance) attachHost(cfg *config.Config, devices []device.Device) (err error) {
	host := announce.None
	if cfg.Topology == config.TopologyHost && cfg.Host.Manage {
		host = a.options.Host
	}
	if a.steering, err = host.Attach(devices[0].Name()); err != nil {
		return err
	}
	a.onClose(a.release)
	return nil
}

// bringUp sets a kernel device's link up. One that is up already is left
// alone: without CAP_NET_ADMIN even that would be refused. The TUN of a host
// that takes care of itself is the host's business.
func bringUp(cfg *config.Config, p config.Port, d device.Device) error {
	link, ok := d.(device.UpDowner)
	if !ok || p.Kind == config.PortTUN && cfg.Topology == config.TopologyHost && !cfg.Host.Manage {
		return nil
	}
	if i, err := net.InterfaceByName(d.Name()); err == nil && i.Flags&net.FlagUp != 0 {
		return nil
	}
	return link.Up()
}

// timed has a stack go by the appliance's clock, and log where it does.
func (a *Appliance) timed(c netstack.Config) netstack.Config {
	c.Log, c.Clock = a.log, a.clock
	return c
}

func stackConfig(cfg *config.Config, devices []device.Device) netstack.Config {
	c := netstack.Config{
		Forward: cfg.Topology == config.TopologyHost || cfg.Topology == config.TopologyRouted,
		Bridge:  cfg.Topology == config.TopologyBridged,
	}
	for i, p := range cfg.Ports {
		_, kernels := devices[i].(device.UpDowner)
		c.Ports = append(c.Ports, netstack.PortConfig{
			Name: p.Name, Device: devices[i], Addresses: p.Addresses, SharedThread: !kernels,
		})
	}
	for _, r := range cfg.Routes {
		c.Routes = append(c.Routes, netstack.Route{To: r.To, Via: r.Via, Port: r.Port})
	}
	return c
}

func (a *Appliance) seed() uint64 {
	if a.options.Seed != 0 {
		return a.options.Seed
	}
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return binary.NativeEndian.Uint64(b[:])
}

// listen is where operators will ask, nil for nowhere.
func (a *Appliance) listen() (l net.Listener, err error) {
	l = a.options.Listener
	if l == nil {
		if a.options.Socket == "" {
			return nil, nil
		}
		if l, err = control.Listen(a.options.Socket); err != nil {
			return nil, err
		}
	}
	a.onClose(closing(l))
	return l, nil
}

// wanted is what a host's kernel must send into the TUN.
func wanted(cfg *config.Config) announce.Want {
	w := announce.Want{To: append(cfg.VIPs(), cfg.PoolAddrs()...)}
	for _, p := range cfg.Ports {
		for _, a := range p.Addresses {
			w.To = append(w.To, a.Addr())
		}
	}
	for _, s := range cfg.Services {
		if s.Method != config.MethodNAT {
			continue
		}
		for _, r := range s.Reals {
			w.From = append(w.From, announce.Replies(r.Address, uint8(s.Protocol))...)
		}
	}
	return w
}

// onSegments are the VIPs and pool addresses that lie in the subnet of a TAP:
// stations there ask for their MACs, and remember.
func onSegments(cfg *config.Config) []netip.Addr {
	var list []netip.Addr
	for _, a := range append(cfg.VIPs(), cfg.PoolAddrs()...) {
		if onSegment(cfg, a) {
			list = append(list, a)
		}
	}
	return list
}

func onSegment(cfg *config.Config, addr netip.Addr) bool {
	for _, p := range cfg.Ports {
		for _, a := range p.Addresses {
			if p.Kind == config.PortTAP && a.Contains(addr) {
				return true
			}
		}
	}
	return false
}
