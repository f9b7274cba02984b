package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"weir/appliance"
	"weir/appliance/config"
	"weir/appliance/control"
)

func newRun() *cobra.Command {
	return &cobra.Command{
		Use:   "run FILE",
		Short: "balance load by a configuration file, in the foreground",
		Long: `run works by a configuration file until SIGTERM or SIGINT ends it. It prints one line with "ready" once every
VIP can carry traffic; its log goes to standard error. SIGHUP makes it read the file again; faults are logged
and nothing changes. It tells a service manager (NOTIFY_SOCKET) when it is ready, reloads and stops.`,
		Args: takes("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGPIPE) // a log's reader may go; traffic stays
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			socket, err := c.Flags().GetString("socket")
			if err != nil {
				return err
			}
			r := runner{file: args[0], socket: socket, stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(), reload: reload}
			return r.run(ctx)
		},
	}
}

// runner is one run of `weir run`.
type runner struct {
	file           string
	socket         string // "": what the configuration says, or the default
	stdout, stderr io.Writer
	reload         <-chan os.Signal
	options        appliance.Options // what else there is to say; usually nothing

	log *slog.Logger
}

// run works until ctx ends.
func (r *runner) run(ctx context.Context) error {
	cfg, err := parseFile(r.file, nil)
	if err != nil {
		return err
	}
	var level slog.LevelVar
	level.Set(cfg.Log.Level)
	log, flush := logger(r.stderr, cfg.Log.Format, &level)
	defer flush()
	r.log = log

	o := r.options
	o.Log, o.Level, o.Version, o.Reread = log, &level, version(), r.reread
	if o.Socket, err = r.socketOf(cfg); err != nil {
		return err
	}
	a, err := appliance.New(cfg, o)
	if err != nil {
		return err
	}
	return r.attend(ctx, a, cfg)
}

func (r *runner) socketOf(cfg *config.Config) (string, error) {
	for _, path := range []string{r.socket, cfg.Control.Socket, control.DefaultSocket()} {
		if path != "" {
			return path, nil
		}
	}
	return "", errors.New("there is no default control socket without root and XDG_RUNTIME_DIR: name one with --socket or control.socket")
}

func (r *runner) reread() (string, []byte, error) {
	text, err := readFile(r.file, nil)
	return r.file, text, err
}

// attend runs a, says what is to be said, and reloads when asked to.
func (r *runner) attend(ctx context.Context, a *appliance.Appliance, cfg *config.Config) error {
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }() // until ctx ends
	ready, stopping := a.Ready(), ctx.Done()
	var reload <-chan os.Signal // SIGHUP waits until there is something to reload
	for {
		select {
		case <-ready:
			ready, reload = nil, r.reload
			fmt.Fprintln(r.stdout, readyLine(cfg))
			r.tell(notifyReady)
		case <-stopping:
			stopping = nil
			r.log.Info("stopping")
			r.tell(notifyStopping)
		case <-reload:
			r.tell(notifyReloading())
			r.apply(a)
			r.tell(notifyReady)
		case err := <-ended:
			return err
		}
	}
}

// readyLine is the line that scripts wait for.
func readyLine(cfg *config.Config) string {
	devices := map[config.PortKind][]string{}
	for _, p := range cfg.Ports {
		devices[p.Kind] = append(devices[p.Kind], p.Device)
	}
	var on []string
	for _, kind := range []config.PortKind{config.PortTUN, config.PortTAP} {
		if names := devices[kind]; len(names) > 0 {
			on = append(on, kind.String()+" "+strings.Join(names, ", "))
		}
	}
	return fmt.Sprintf("weir: ready: %s on %s (pid %d)", count(len(cfg.Services), "virtual service", "virtual services"), strings.Join(on, ", "), os.Getpid())
}

// apply reads the file again. A file that is bad is reported whole and changes
// nothing.
func (r *runner) apply(a *appliance.Appliance) {
	name, text, err := r.reread()
	if err == nil {
		var plan control.Plan
		if plan, err = a.ApplyText(name, text); err == nil {
			r.log.Info("configuration read again", "file", name, "changes", len(plan.Changes))
			return
		}
	}
	var faults control.Faults
	if !errors.As(err, &faults) {
		r.log.Error("configuration not applied, the old one stays", "file", name, "error", err)
		return
	}
	for _, f := range faults {
		r.log.Error("configuration not applied, the old one stays", "fault", f.String())
	}
}

func (r *runner) tell(state string) {
	if err := notify(state); err != nil {
		r.log.Warn("the service manager was not told", "error", err)
	}
}
