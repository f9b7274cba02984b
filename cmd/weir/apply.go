package main

import (
	"github.com/spf13/cobra"
)

func newApply() *cobra.Command {
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "make a configuration file the one that a running weir works by",
		Long: `apply hands a configuration file ("-" is standard input) to the running weir, which carries it out whole or
not at all, and says what has changed. Open connections stay. SIGHUP brings back the file that weir was
started with; "weir check FILE --against SOCKET" says beforehand what would change.`,
		Args: takes("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readFile(args[0], c.InOrStdin())
			if err != nil {
				return err
			}
			client, err := clientOf(c)
			if err != nil {
				return err
			}
			plan, err := client.Apply(c.Context(), args[0], text)
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				return writeJSON(c.OutOrStdout(), plan)
			}
			return writePlan(c.OutOrStdout(), plan)
		},
	}
	c.Flags().Bool("json", false, "answer as JSON")
	return c
}
