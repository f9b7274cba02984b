package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weir/e2e/lab"
)

// dirEnv carries the directory of the outer process's work, the built weir
// among it, to the inner process: that one has no network to fetch modules by.
const dirEnv = "WEIR_BENCH_DIR"

// options are the command line.
type options struct {
	rounds     int
	seconds    float64
	only       string
	directors  string
	weir       string
	congestion string
	verbose    bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == generatorArg {
		os.Exit(generatorMain(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "`rounds` to run; each measures every director once")
	flag.Float64Var(&o.seconds, "seconds", 1.5, "`seconds` that one measurement lasts, warm-up not counted")
	flag.StringVar(&o.only, "only", "", "comma-separated `measures` to run: "+strings.Join(measureKeys(), ", "))
	flag.StringVar(&o.directors, "directors", "", "comma-separated `directors` to measure: "+strings.Join(directorKeys(), ", "))
	flag.StringVar(&o.weir, "weir", "", "`path` of a weir binary; without it cmd/weir is built")
	flag.StringVar(&o.congestion, "congestion", "", "TCP congestion `control` of all namespaces; without it the machine's own")
	flag.BoolVar(&o.verbose, "v", false, "print every sample to standard error")
	flag.Parse()
	if err := o.check(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	exit, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		exit = 1
	}
	os.Exit(exit)
}

func (o options) check() error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flag.Arg(0))
	}
	if o.rounds < 1 || o.seconds < 0.1 || o.seconds > 60 {
		return fmt.Errorf("-rounds must be 1 or more and -seconds between 0.1 and 60")
	}
	if _, err := pick(o.only, measureKeys()); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	_, err := pick(o.directors, directorKeys())
	if err != nil {
		return fmt.Errorf("-directors: %w", err)
	}
	return nil
}

// pick reads a comma-separated list of known keys; an empty one picks all.
func pick(list string, known []string) (map[string]bool, error) {
	picked := map[string]bool{}
	for _, k := range known {
		picked[k] = list == ""
	}
	if list == "" {
		return picked, nil
	}
	for k := range strings.SplitSeq(list, ",") {
		if _, ok := picked[k]; !ok {
			return nil, fmt.Errorf("there is no %q; choose from %s", k, strings.Join(known, ", "))
		}
		picked[k] = true
	}
	return picked, nil
}

// run is the outer process and, called again, the inner one.
func run(o options) (exit int, err error) {
	if os.Getenv(dirEnv) == "" {
		dir, err := os.MkdirTemp("", "weir-bench-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		os.Setenv(dirEnv, dir)
		if err := provideWeir(o, dir); err != nil {
			return 1, err
		}
	}
	exit, done, err := lab.Enter()
	if done {
		return exit, nil
	}
	if err == nil {
		err = lab.Available()
	}
	if err != nil {
		return 1, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	return 0, measureAll(ctx, o, os.Getenv(dirEnv))
}

// Where the outer process leaves the weir binary, or the line that says why
// there is none.
func weirBinary(dir string) string { return filepath.Join(dir, "weir") }
func weirFault(dir string) string  { return filepath.Join(dir, "weir.fault") }

// provideWeir puts a weir binary into dir, or the reason why there is none: the
// peers can be measured without it.
func provideWeir(o options, dir string) error {
	if o.weir != "" {
		path, err := filepath.Abs(o.weir)
		if err != nil {
			return err
		}
		return os.Symlink(path, weirBinary(dir))
	}
	if picked, _ := pick(o.directors, directorKeys()); !picked["weir"] {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	// The package path, not a folder: any folder of the module will do as ours.
	build := exec.CommandContext(ctx, "go", "build", "-o", weirBinary(dir), "weir/cmd/weir")
	out, err := build.CombinedOutput()
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		out = []byte("go: not found in PATH")
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return os.WriteFile(weirFault(dir), []byte("go build weir/cmd/weir: "+lines[len(lines)-1]), 0o600)
}
