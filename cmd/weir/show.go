package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weir/appliance/control"
)

func newShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "show what a running weir has and does",
		Args:  subcommand,
		RunE:  subcommandMissing,
	}
	c.PersistentFlags().Bool("json", false, "answer as JSON")
	c.AddCommand(
		newShowOf("services", "the virtual services and what went through them", (*control.Client).Services, writeServices),
		newShowOf("reals", "the real servers of all services", (*control.Client).Reals, writeReals),
		newShowOf("neighbours", "the stations that weir knows", (*control.Client).Neighbours, writeNeighbours),
		newShowOf("counters", "what was counted since the start; drops by reason", (*control.Client).Counters, writeCounters),
		newShowOf("plan", "what would change if weir read its file again now", (*control.Client).Pending, writePlan),
		newShowFlows(),
	)
	return c
}

// newShowOf is the command that asks for one thing and writes it.
func newShowOf[T any](name, short string, ask func(*control.Client, context.Context) (T, error), write func(io.Writer, T) error) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			answer, err := ask(client, c.Context())
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				return writeJSON(c.OutOrStdout(), answer)
			}
			return write(c.OutOrStdout(), answer)
		},
	}
}

func wantsJSON(c *cobra.Command) bool {
	yes, _ := c.Flags().GetBool("json")
	return yes
}

// end is an address and port; port 0 is all of them.
func end(a netip.AddrPort) string {
	if a.Port() != 0 {
		return a.String()
	}
	return strings.TrimSuffix(a.String(), "0") + "*"
}

func writeServices(w io.Writer, services []control.Service) error {
	t := table{head: []string{"SERVICE", "PROTOCOL", "VIP", "METHOD", "SCHEDULER", ">REALS", ">ACTIVE", ">INACTIVE", ">CREATED", ">REQUESTS", ">REPLIES"}}
	for _, s := range services {
		var active, inactive int64
		var created uint64
		var sum control.Traffic
		for _, r := range s.Reals {
			active, inactive, created = active+r.Active, inactive+r.Inactive, created+r.Created
			sum = sum.Add(r.Traffic)
		}
		t.add(s.Name, s.Protocol, end(s.VIP), s.Method, s.Scheduler, number(len(s.Reals)), number(active), number(inactive), number(created),
			size(sum.RequestBytes), size(sum.ReplyBytes))
	}
	return t.write(w)
}

func writeReals(w io.Writer, reals []control.Real) error {
	t := table{head: []string{"SERVICE", "REAL", "ADDRESS", ">WEIGHT", ">ACTIVE", ">INACTIVE", ">CREATED",
		">PACKETS IN", ">BYTES IN", ">PACKETS OUT", ">BYTES OUT"}}
	for _, r := range reals {
		t.add(r.Service, r.Name, end(r.Address), number(r.Weight), number(r.Active), number(r.Inactive), number(r.Created),
			number(r.Traffic.RequestPackets), size(r.Traffic.RequestBytes), number(r.Traffic.ReplyPackets), size(r.Traffic.ReplyBytes))
	}
	return t.write(w)
}

func writeNeighbours(w io.Writer, neighbours []control.Neighbour) error {
	t := table{head: []string{"PORT", "ADDRESS", "MAC", "STATE", ">AGE"}}
	for _, n := range neighbours {
		mac, state := n.MAC, n.State
		if mac == "" {
			mac = "-"
		}
		if n.Contested {
			state += ", contested"
		}
		t.add(n.Port, n.Address.String(), mac, state, span(n.Age))
	}
	return t.write(w)
}

func writePlan(w io.Writer, p control.Plan) error {
	_, err := fmt.Fprintln(w, p)
	return err
}

// writeCounters leaves out reasons for which nothing was dropped.
func writeCounters(w io.Writer, c control.Counters) error {
	ports := table{head: []string{"PORT", ">FRAMES IN", ">BYTES IN", ">FRAMES OUT", ">BYTES OUT"}}
	drops := table{head: []string{"PORT", "DROPPED FOR", ">FRAMES"}}
	for _, p := range c.Ports {
		ports.add(p.Name, number(p.RxFrames), size(p.RxBytes), number(p.TxFrames), size(p.TxBytes))
		for _, reason := range slices.Sorted(maps.Keys(p.Drops)) {
			if n := p.Drops[reason]; n > 0 {
				drops.add(p.Name, reason, number(n))
			}
		}
	}
	rest := table{head: []string{"COUNTER", ">VALUE"}}
	for _, row := range []struct {
		name  string
		value uint64
	}{
		{"flows", uint64(c.Flows.Live)}, {"flows at most", uint64(c.Flows.Limit)}, {"flows created", c.Flows.Created},
		{"flows expired", c.Flows.Expired}, {"flows evicted", c.Flows.Evicted}, {"flows replaced", c.Flows.Replaced},
		{"frames held", uint64(c.Held.Frames)}, {"bytes held", uint64(c.Held.Bytes)}, {"fragmented datagrams", uint64(c.Held.Datagrams)},
	} {
		rest.add(row.name, number(row.value))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Stack)) {
		rest.add(strings.ReplaceAll(name, "_", " "), number(c.Stack[name]))
	}
	for i, t := range []table{ports, drops, rest} {
		if len(t.rows) == 0 {
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}
