package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir/appliance/control"
)

func newShowFlows() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "flows",
		Short: "the connections and UDP conversations that weir knows",
		Args:  takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return usageError(fmt.Errorf("--limit %d: give 0 for all flows, or how many", limit))
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			list := listFlows
			if wantsJSON(c) {
				list = listFlowsJSON
			}
			out := bufio.NewWriter(c.OutOrStdout())
			err = list(out, func(yield func(control.Flow) bool) (int64, error) { return client.Flows(c.Context(), limit, yield) })
			if err != nil {
				return err
			}
			return out.Flush()
		},
	}
	c.Flags().IntVar(&limit, "limit", control.DefaultFlows, "how many flows to show at most; 0 for all")
	return c
}

// flowsOf calls yield for each flow and returns how many there are.
type flowsOf func(yield func(control.Flow) bool) (live int64, err error)

// page is how many flows are aligned with each other: a listing of a million
// begins at once and needs no memory.
const page = 1000

func listFlows(w io.Writer, flows flowsOf) error {
	shown := 0
	var t table
	var failed error
	live, err := flows(func(f control.Flow) bool {
		if shown%page == 0 {
			failed = t.flush(w)
			t = table{head: []string{"PROTOCOL", "CLIENT", "VIP", "REAL SERVER", "SERVICE", "REAL", "STATE", ">IDLE", ">LEFT"}}
		}
		shown++
		t.add(f.Protocol, f.Client.String(), f.VIP.String(), f.Address.String(), f.Service, f.Real, f.State, span(f.Idle), span(f.Left))
		return failed == nil
	})
	for _, err := range []error{err, failed, t.flush(w)} {
		if err != nil {
			return err
		}
	}
	switch more := live - int64(shown); {
	case shown == 0:
		fmt.Fprintln(w, "no flows")
	case more > 0:
		fmt.Fprintf(w, "%s more: --limit 0 shows all\n", number(more))
	}
	return nil
}

// flush writes a table that has rows.
func (t *table) flush(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	return t.write(w)
}

// listFlowsJSON writes {"flows": [...], "live": n}, a flow a line.
func listFlowsJSON(w io.Writer, flows flowsOf) error {
	between := "{\"flows\": [\n  "
	var failed error
	live, err := flows(func(f control.Flow) bool {
		var line []byte
		if line, failed = json.Marshal(f); failed != nil {
			return false
		}
		_, failed = fmt.Fprintf(w, "%s%s", between, line)
		between = ",\n  "
		return failed == nil
	})
	if err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if between[0] == '{' { // none was written
		_, err = fmt.Fprintf(w, "{\"flows\": [], \"live\": %d}\n", live)
		return err
	}
	_, err = fmt.Fprintf(w, "\n], \"live\": %d}\n", live)
	return err
}
