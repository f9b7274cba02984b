package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"weir/e2e/lab"
)

// demo is one demonstration: a topology to stand in, and a method.
type demo struct {
	name     string
	topology func() lab.Topology
	method   string
	vip      netip.Addr
	about    string // its line in the help
}

// demos are the demonstrations, in the order of `weir demo all`.
var demos = []demo{
	{"nat", func() lab.Topology { return lab.HostTopology(1, 3) }, "nat", lab.VIP4,
		"weir behind a TUN of a forwarding host (topology host)"},
	{"routed", func() lab.Topology { return lab.RoutedTopology(1, 3) }, "nat", lab.VIP4,
		"weir as the router between clients and real servers, with two TAPs (topology routed)"},
	{"bridged", func() lab.Topology { return lab.BridgedTopology(1, 3) }, "nat", lab.NearVIP4,
		"weir in the wire between them, all in one subnet (topology bridged)"},
	{"one-arm", func() lab.Topology { return lab.OneArmTopology(1, 3) }, "fullnat", lab.NearVIP4,
		"weir on the one segment of all, with addresses of its own towards real servers (method fullnat)"},
	{"dsr", func() lab.Topology { return lab.DirectReturn(lab.OneArmTopology(1, 3)) }, "dsr", lab.NearVIP4,
		"only MACs change, and real servers answer clients past weir (method dsr)"},
	{"tunnel", func() lab.Topology { return lab.Decapsulating(lab.OneArmTopology(1, 3)) }, "tunnel", lab.NearVIP4,
		"requests travel inside IP packets of weir's, answers past it (method tunnel)"},
}

func demoNames(between string) string {
	var names []string
	for _, d := range demos {
		names = append(names, d.name)
	}
	return strings.Join(append(names, "all"), between)
}

// chosen are the demonstrations that a name stands for.
func chosen(name string) []demo {
	if name == "all" {
		return demos
	}
	i := slices.IndexFunc(demos, func(d demo) bool { return d.name == name })
	if i < 0 {
		return nil
	}
	return demos[i : i+1]
}

func demoHelp() string {
	var b strings.Builder
	for _, d := range demos {
		fmt.Fprintf(&b, "  %-8s %s\n", d.name, d.about)
	}
	b.WriteString("  all      one after the other, and a table that compares them")
	return b.String()
}

// demoLimit bounds a demonstration: something that hangs is a fault to show.
const demoLimit = 30 * time.Second

func newDemo() *cobra.Command {
	var world, file string
	c := &cobra.Command{
		Use:   "demo [" + demoNames("|") + "]",
		Short: "show what weir does to a packet: real HTTP requests through a VIP, hop by hop",
		Long: `demo sends real HTTP requests from a client through a VIP to three real servers, shows which server
answered, and follows one request and its answer hop by hop: MACs, addresses, ports, TTL; what weir
changed is set off. It needs no root and no set-up.

` + demoHelp(),
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "nat"
			if len(args) > 0 {
				name = args[0]
			}
			list := chosen(name)
			if list == nil {
				return usageError(fmt.Errorf("there is no demonstration %q in this version; choose one of %s", name, demoNames(", ")))
			}
			if len(list) > 1 && file != "" {
				return usageError(fmt.Errorf("-w writes one demonstration: choose one of %s", demoNames(", ")))
			}
			build, err := worldBuilder(world)
			if err != nil {
				return err
			}
			var done []*demonstration
			for i, x := range list {
				if i > 0 {
					fmt.Fprint(cmd.OutOrStdout(), "\n\n")
				}
				d := &demonstration{demo: x, topology: x.topology(), build: build, file: file, out: cmd.OutOrStdout(), colour: wantsColour(cmd.OutOrStdout())}
				if err := d.runWithin(cmd.Context(), demoLimit); err != nil {
					return err
				}
				done = append(done, d)
			}
			if len(done) > 1 {
				writeComparison(cmd.OutOrStdout(), done)
			}
			return nil
		},
	}
	c.Flags().StringVar(&world, "world", "sim", "who plays the hosts: sim (inside this process) or kernel (Linux namespaces)")
	c.Flags().StringVarP(&file, "write", "w", "", "write everything that was seen to this pcapng file")
	return c
}

// worldBuilder is how the world of that name is built. For the kernel world it
// runs this program again in a namespace of its own, and ends with that one.
func worldBuilder(world string) (func(lab.Topology) (lab.World, error), error) {
	switch world {
	case "sim":
		return lab.NewSim, nil
	case "kernel":
		exit, done, err := lab.Enter()
		if done {
			os.Exit(exit)
		}
		if err == nil {
			err = lab.Available()
		}
		if err != nil {
			return nil, fmt.Errorf("demo: %w; or leave out --world: the simulated one needs nothing", err)
		}
		return lab.NewKernel, nil
	}
	return nil, usageError(fmt.Errorf("there is no world %q; choose sim or kernel", world))
}

// wantsColour: a terminal, and nobody who asked for none (NO_COLOR).
func wantsColour(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}

// picture draws the demonstration's network.
func picture(d *demonstration) string {
	t := &d.topology
	client, reals := t.Node("client1"), []string{}
	for _, n := range t.Nodes {
		if strings.HasPrefix(n.Name, "real") {
			reals = append(reals, fmt.Sprintf("%s %s", n.Name, n.Addr4()))
		}
	}
	middle, below := "weir", ""
	indent := strings.Repeat(" ", len("  client1 ")+len(client.Addr4().String())+len(" ──── "))
	switch {
	case t.Weir.Node != "":
		middle = t.Weir.Node
		below = fmt.Sprintf("%s │ TUN %s\n%s weir", indent, t.Weir.Ports[0].Device, indent)
	case len(t.Weir.Ports) == 1:
		middle = "segment"
		below = fmt.Sprintf("%s │ TAP %s\n%s weir %s", indent, t.Weir.Ports[0].Device, indent, t.Weir.Ports[0].Addresses[0].Addr())
	default:
		below = fmt.Sprintf("%s TAPs %s, %s", indent, t.Weir.Ports[0].Device, t.Weir.Ports[1].Device)
	}
	return fmt.Sprintf("  client1 %s ──── %s ──── %s\n%s: virtual service %s:80, scheduler rr, method %s\n",
		client.Addr4(), middle, strings.Join(reals, ", "), below, d.vip, d.method)
}
