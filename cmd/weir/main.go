// Command weir is a userspace load balancer: `weir help` lists what it does.
//
// main.go wires; each subcommand has its own file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"weir/appliance"
	"weir/appliance/control"
)

// Exit codes, part of the contract with scripts.
const (
	exitDone  = 0
	exitNo    = 1 // the answer is no, or the input is bad
	exitUsage = 2 // wrong usage
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is one call of weir and its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return execute(ctx, root, stderr)
}

// execute runs a tree of commands. Nobody is shown a stack trace.
func execute(ctx context.Context, root *cobra.Command, stderr io.Writer) (exit int) {
	defer func() {
		if fault := recover(); fault != nil {
			fmt.Fprintln(stderr, "weir: "+appliance.Panicked(fault))
			exit = exitNo
		}
	}()
	begun := false // what fails before the command's own code is wrong usage
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	err := root.ExecuteContext(ctx)
	if err != nil && !begun {
		err = usageError(err)
	}
	return report(stderr, err)
}

// newRoot is the tree of commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "a userspace load balancer",
		Long: `weir is a load balancer in userspace: a TUN or TAP device feeds it, virtual IPs live in it, and it
rewrites what goes through them towards real servers and back.

Exit codes: 0 done, 1 the answer is no or the input is bad, 2 wrong usage.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommand,
		RunE:          subcommandMissing,
	}
	root.PersistentFlags().String("socket", "", "control socket of a running weir (default /run/weir/weir.sock, or $XDG_RUNTIME_DIR/weir.sock without root)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(fmt.Errorf("%w: see `%s --help`", err, c.CommandPath()))
	})
	root.AddCommand(newRun(), newCheck(), newShow(), newExplain(), newApply(), newDemo(), newDecap(), newVersion())
	root.SetHelpCommand(newHelp())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args, c.RunE = subcommand, subcommandMissing
		}
	}
	return root
}

// subcommand accepts no argument: what stands where a subcommand should is
// unknown, or cobra had found it.
func subcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("see `%s --help`", c.CommandPath())
	c.SuggestionsMinimumDistance = 2
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %s: %s", args[0], c.CommandPath(), hint)
}

func subcommandMissing(c *cobra.Command, _ []string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usageError(fmt.Errorf("`%s` needs one of the commands %s: see `%s --help`", c.CommandPath(), strings.Join(names, ", "), c.CommandPath()))
}

// takes accepts exactly the arguments with these names.
func takes(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing: `%s`", names[len(args)], c.UseLine())
		case len(args) > len(names):
			return fmt.Errorf("%q is one argument too many: `%s`", args[len(names)], c.UseLine())
		}
		return nil
	}
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "say what a command does",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || about == nil || len(rest) > 0 {
				return usageError(fmt.Errorf("there is no command %q: `weir help` lists them", strings.Join(args, " ")))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// usage is an error that is the caller's.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// usageError marks err as wrong usage: exit code 2.
func usageError(err error) error { return usage{err} }

// errNo ends a command whose answer is no and already said.
var errNo = errors.New("no")

// report prints what is to be said about err, and returns the exit code.
func report(stderr io.Writer, err error) int {
	var faults control.Faults
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNo):
		return exitNo
	case errors.As(err, &faults):
		fmt.Fprintln(stderr, faults)
		return exitNo
	}
	fmt.Fprintln(stderr, "weir: "+inOneLine(err.Error()))
	if errors.As(err, new(usage)) {
		return exitUsage
	}
	return exitNo
}

// inOneLine is s without line breaks: errors are one line.
func inOneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// socketOf is the control socket that a command is about.
func socketOf(c *cobra.Command) (string, error) {
	if path, _ := c.Flags().GetString("socket"); path != "" {
		return path, nil
	}
	if path := control.DefaultSocket(); path != "" {
		return path, nil
	}
	return "", usageError(errors.New("there is no default socket without root and XDG_RUNTIME_DIR: name one with --socket"))
}

// clientOf asks the weir that a command is about.
func clientOf(c *cobra.Command) (*control.Client, error) {
	path, err := socketOf(c)
	if err != nil {
		return nil, err
	}
	return control.NewClient(path), nil
}
