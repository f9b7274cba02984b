//go:build !linux

package lab

import (
	"errors"
	"runtime"
)

var errNotLinux = errors.New("kernel world: it is made of Linux network namespaces, and this is " + runtime.GOOS + "; use the simulation")

// Enter always fails: only Linux has kernel worlds.
func Enter() (exit int, done bool, err error) { return 0, false, errNotLinux }

// Available says why this process cannot build kernel worlds, in one line.
func Available() error { return errNotLinux }

// NewKernel always fails: only Linux has kernel worlds.
func NewKernel(Topology) (World, error) { return nil, errNotLinux }
