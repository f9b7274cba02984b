//go:build unix

package main

import (
	"os"
	"syscall"
)

// askSignals make decap print its counters.
var askSignals = []os.Signal{syscall.SIGUSR1}
