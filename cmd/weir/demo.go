package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"weir/e2e/lab"
)

// demos are the demonstrations by name: each is a topology to stand in.
var demos = map[string]func() lab.Topology{
	"nat":    func() lab.Topology { return lab.HostTopology(1, 3) },
	"routed": func() lab.Topology { return lab.RoutedTopology(1, 3) },
}

const demoNames = "nat, routed"

// demoLimit bounds a demonstration: something that hangs is a fault to show.
const demoLimit = 30 * time.Second

func newDemo() *cobra.Command {
	var world, file string
	c := &cobra.Command{
		Use:   "demo [nat|routed]",
		Short: "show what weir does to a packet: real HTTP requests through a VIP, hop by hop",
		Long: `demo sends real HTTP requests from a client through a VIP to three real servers, shows which server
answered, and follows one request and its answer hop by hop: MACs, addresses, ports, TTL; what weir
changed is set off. It needs no root and no set-up.

  nat      weir behind a TUN of a forwarding host (topology host)
  routed   weir as the router between clients and real servers, with two TAPs (topology routed)`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "nat"
			if len(args) > 0 {
				name = args[0]
			}
			topology, ok := demos[name]
			if !ok {
				return usageError(fmt.Errorf("there is no demonstration %q in this version; choose one of %s", name, demoNames))
			}
			build, err := worldBuilder(world)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), demoLimit)
			defer cancel()
			d := demonstration{name: name, topology: topology(), build: build, file: file, out: cmd.OutOrStdout(), colour: wantsColour(cmd.OutOrStdout())}
			return d.run(ctx)
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
func picture(t *lab.Topology) string {
	client, reals := t.Node("client1"), []string{}
	for _, n := range t.Nodes {
		if strings.HasPrefix(n.Name, "real") {
			reals = append(reals, fmt.Sprintf("%s %s", n.Name, n.Addr4()))
		}
	}
	middle, below := "weir", ""
	indent := strings.Repeat(" ", len("  client1 ")+len(client.Addr4().String())+len(" ──── "))
	if t.Weir.Node != "" {
		middle = t.Weir.Node
		below = fmt.Sprintf("%s │ TUN %s\n%s weir", indent, t.Weir.Ports[0].Device, indent)
	} else {
		below = fmt.Sprintf("%s TAPs %s, %s", indent, t.Weir.Ports[0].Device, t.Weir.Ports[1].Device)
	}
	return fmt.Sprintf("  client1 %s ──── %s ──── %s\n%s: virtual service %s:80, scheduler rr, method nat\n",
		client.Addr4(), middle, strings.Join(reals, ", "), below, lab.VIP4)
}
