package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"weir/appliance/config"
	"weir/tunnel"
	"weir/tunnel/endpoint"
)

// decapFlags are what stands on the command line.
type decapFlags struct {
	vips, directors, types []string
	noSetup, setup, json   bool
	config                 endpoint.Config
}

func newDecap() *cobra.Command {
	var f decapFlags
	c := &cobra.Command{
		Use:   "decap --vip ADDR [--vip ADDR]...",
		Short: "be the real server's end of a tunnel, where its kernel has none",
		Long: `decap takes packets out of the tunnels of weir (ipip, gre, gue, vxlan) and gives them to this host's kernel, until
SIGTERM or SIGINT ends it. It prints one line with "ready" when it does. At the end, and after SIGUSR1, it prints what
was delivered and what was dropped, by reason. Replies leave by the kernel's own routes, straight to the client.

Packets are taken from directors only: of --director, else of the networks that this host's interfaces are in. Unless
told --no-setup it puts the VIPs on lo, has this host answer no ARP for them (arp_ignore, arp_announce), and takes that
back at the end, or after a kill -9 at its next start.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.read(); err != nil {
				return usageError(err)
			}
			signal.Ignore(syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			ask := make(chan os.Signal, 1)
			if len(askSignals) > 0 {
				signal.Notify(ask, askSignals...)
				defer signal.Stop(ask)
			}
			return f.run(ctx, c.OutOrStdout(), c.ErrOrStderr(), ask)
		},
	}
	flags := c.Flags()
	flags.StringSliceVar(&f.vips, "vip", nil, "virtual IP that clients talk to; at least one")
	flags.StringSliceVar(&f.directors, "director", nil, "address or prefix that tunnel packets may come from (default the networks of this host's interfaces)")
	flags.StringSliceVar(&f.types, "type", nil, "formats to take: ipip, gre, gue, vxlan (default all)")
	flags.StringVar(&f.config.Device, "device", endpoint.DefaultDevice, "name of the TUN")
	flags.IntVar(&f.config.MTU, "mtu", 0, "MTU of the TUN (default 1500)")
	flags.Uint16Var(&f.config.GUEPort, "gue-port", tunnel.PortGUE, "UDP port of gue")
	flags.Uint16Var(&f.config.VXLANPort, "vxlan-port", tunnel.PortVXLAN, "UDP port of vxlan")
	flags.Uint32Var(&f.config.VNI, "vni", 0, "network of vxlan")
	flags.BoolVar(&f.setup, "setup", true, "set up this host, and take it back")
	flags.BoolVar(&f.noSetup, "no-setup", false, "leave this host alone")
	flags.BoolVar(&f.json, "json", false, "print the counters as JSON")
	return c
}

// read makes a Config of words.
func (f *decapFlags) read() error {
	if len(f.vips) == 0 {
		return errors.New("decap needs the virtual IP that it takes packets for: `weir decap --vip ADDR`")
	}
	for _, word := range f.vips {
		a, err := netip.ParseAddr(word)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("--vip %q: it is not an IP address", word)
		}
		f.config.VIPs = append(f.config.VIPs, a)
	}
	for _, word := range f.directors {
		p, err := netip.ParsePrefix(word)
		if a, notPrefix := netip.ParseAddr(word); notPrefix == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("--director %q: it is neither an IP address nor a prefix", word)
		}
		f.config.Directors = append(f.config.Directors, p)
	}
	for _, word := range f.types {
		t, err := tunnel.ParseType(word)
		if err != nil {
			return fmt.Errorf("--type: %w", err)
		}
		f.config.Types = append(f.config.Types, t)
	}
	f.config.NoSetup = f.noSetup || !f.setup
	return nil
}

// run decapsulates until ctx ends.
func (f *decapFlags) run(ctx context.Context, stdout, stderr io.Writer, ask <-chan os.Signal) (err error) {
	log, flush := logger(stderr, config.LogText, slog.LevelInfo)
	defer flush()
	f.config.Log = log
	e, err := endpoint.Open(f.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }() // until ctx ends, or the device is gone
	ready := e.Ready()
	for {
		select {
		case <-ready:
			ready = nil
			fmt.Fprintln(stdout, decapLine(f.config, e))
		case <-ask:
			f.print(stdout, e.Counters())
		case err := <-ended:
			f.print(stdout, e.Counters())
			return err
		}
	}
}

// decapLine is the line that scripts wait for.
func decapLine(c endpoint.Config, e *endpoint.Endpoint) string {
	var from []string
	for _, p := range e.Directors() {
		from = append(from, p.String())
	}
	return fmt.Sprintf("weir: ready: tunnel packets for %s, from %s, into tun %s (pid %d)",
		count(len(c.VIPs), "VIP", "VIPs"), strings.Join(from, ", "), c.Device, os.Getpid())
}

func (f *decapFlags) print(w io.Writer, c endpoint.Counters) {
	if !f.json {
		fmt.Fprint(w, c)
		return
	}
	_ = json.NewEncoder(w).Encode(c) // whoever reads it may have gone
}
