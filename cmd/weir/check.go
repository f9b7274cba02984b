package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"weir/appliance"
	"weir/appliance/config"
	"weir/appliance/control"
)

func newCheck() *cobra.Command {
	var against string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "find every fault of a configuration file",
		Long: `check reads a configuration file ("-" is standard input) and lists every fault as FILE:LINE:COL: message, or
says ok. With --against it also says what would change, compared with another file or with what a running weir
has in force, named by its control socket.`,
		Args: takes("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := check(c, args[0], against)
			if err != nil {
				return err
			}
			if err := v.write(c.OutOrStdout(), wantsJSON(c)); err != nil {
				return err
			}
			if !v.OK {
				return errNo
			}
			return nil
		},
	}
	c.Flags().StringVar(&against, "against", "", "`OLD_FILE|SOCKET` to compare with")
	c.Flags().Bool("json", false, "answer as JSON")
	return c
}

// checked is the answer of check.
type checked struct {
	File     string         `json:"file"`
	OK       bool           `json:"ok"`
	Services int            `json:"services"`
	Reals    int            `json:"reals"`
	Faults   control.Faults `json:"faults"`
	Plan     *control.Plan  `json:"plan,omitempty"` // with --against
}

func check(c *cobra.Command, file, against string) (checked, error) {
	v := checked{File: file, Faults: control.Faults{}}
	cfg, err := parseFile(file, c.InOrStdin())
	if errors.As(err, &v.Faults) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.OK, v.Services, v.Reals = true, len(cfg.Services), reals(cfg)
	if against == "" {
		return v, nil
	}
	plan, err := compare(c.Context(), cfg, file, against)
	v.Plan = &plan
	return v, err
}

func reals(cfg *config.Config) (n int) {
	for _, s := range cfg.Services {
		n += len(s.Reals)
	}
	return n
}

// compare says what cfg, read from file, changes against an old file, or
// against the weir that listens at a socket.
func compare(ctx context.Context, cfg *config.Config, file, against string) (control.Plan, error) {
	if info, err := os.Stat(against); err == nil && info.Mode().Type() == os.ModeSocket {
		text, err := readFile(file, nil)
		if err != nil {
			return control.Plan{}, err
		}
		return control.NewClient(against).Plan(ctx, file, text)
	}
	old, err := parseFile(against, nil)
	if err != nil {
		return control.Plan{}, err
	}
	return appliance.Plan(old, cfg), nil
}

func (v checked) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(w, v)
	}
	if !v.OK {
		_, err := fmt.Fprintln(w, v.Faults)
		return err
	}
	_, err := fmt.Fprintf(w, "%s: ok: %s, %s\n", v.File, count(v.Services, "virtual service", "virtual services"), count(v.Reals, "real server", "real servers"))
	if v.Plan != nil && err == nil {
		err = writePlan(w, *v.Plan)
	}
	return err
}
