package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"weir/appliance/control"
)

func newVersion() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "say which weir this is",
		Args:  takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			v := version()
			if wantsJSON(c) {
				return writeJSON(c.OutOrStdout(), struct {
					Version  string `json:"version"`
					Go       string `json:"go"`
					Platform string `json:"platform"`
				}{v.Version, v.Go, v.Platform})
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "weir %s (%s %s)\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
	c.Flags().Bool("json", false, "answer as JSON")
	return c
}

// version is what this process says about itself.
func version() control.Version {
	v := control.Version{
		Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, PID: os.Getpid(), Started: time.Now(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v.Version = "devel " + s.Value[:12]
		}
	}
	return v
}
