package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"weir/appliance"
	"weir/appliance/control"
)

func newExplain() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "explain PACKET",
		Short: "say where a packet would go, why, and what would be rewritten",
		Long: `explain asks the running weir what it would do with a packet, or with --config the same code about a
configuration that nobody runs. Nothing is sent and nothing changes.

A packet is one argument in quotes:

  tcp 10.1.0.9:4000 > 192.0.2.10:80 S
  udp [2001:db8::1]:53 > [2001:db8::2]:4000 ttl 3 len 100
  icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400 (tcp 10.1.0.9:4000 > 10.2.0.2:80)`,
		Args: takes("PACKET"),
		RunE: func(c *cobra.Command, args []string) error {
			x, err := explain(c, file, args[0])
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				return writeJSON(c.OutOrStdout(), x)
			}
			return writeExplanation(c.OutOrStdout(), x)
		},
	}
	c.Flags().StringVar(&file, "config", "", "explain by this file, without a running weir")
	c.Flags().Bool("json", false, "answer as JSON")
	return c
}

func explain(c *cobra.Command, file, packet string) (control.Explanation, error) {
	if file == "" {
		client, err := clientOf(c)
		if err != nil {
			return control.Explanation{}, err
		}
		return client.Explain(c.Context(), packet)
	}
	cfg, err := parseFile(file, c.InOrStdin())
	if err != nil {
		return control.Explanation{}, err
	}
	return appliance.Explain(cfg, packet)
}

func writeExplanation(w io.Writer, x control.Explanation) error {
	fmt.Fprintf(w, "%s\ncomes in by port %s\n\n", x.Packet, x.Ingress)
	width := 0
	for _, s := range x.Steps {
		width = max(width, len(s.Question))
	}
	for _, s := range x.Steps {
		fmt.Fprintf(w, "  %-*s  %s\n", width, s.Question, s.Answer)
	}
	fmt.Fprintf(w, "\n%s\n", verdictText(x))
	if x.Offline {
		fmt.Fprintln(w, "by the file alone: no running weir was asked, and nobody for a MAC")
	}
	fmt.Fprintln(w)
	return writeHeaders(w, x.Headers, x.Verdict == "emit")
}

func verdictText(x control.Explanation) string {
	switch x.Verdict {
	case "emit":
		by := "port " + x.Egress
		if x.Egress == appliance.TheBridge {
			by = x.Egress
		}
		if x.Real == "" {
			return "emit: it leaves by " + by
		}
		return fmt.Sprintf("emit: it leaves by %s; service %s, real server %s", by, x.Service, x.Real)
	case "pass":
		return "pass: no virtual service is concerned"
	}
	parts := []string{x.Verdict + ": " + x.Reason}
	if x.Answer != "" {
		parts = append(parts, "the sender gets "+x.Answer)
	}
	return strings.Join(parts, "; ")
}

// writeHeaders is the table of fields; what changes has a star.
func writeHeaders(w io.Writer, headers []control.Header, leaves bool) error {
	t := table{head: []string{"HEADER", "BEFORE"}}
	if leaves {
		t.head = append(t.head, "AFTER", "")
	}
	for _, h := range headers {
		row := []string{h.Field, orDash(h.Before)}
		if leaves {
			mark := ""
			if h.Changed {
				mark = "*"
			}
			row = append(row, orDash(h.After), mark)
		}
		t.add(row...)
	}
	return t.write(w)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
