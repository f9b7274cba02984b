//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "bench: it needs Linux network namespaces, and this is %s\n", runtime.GOOS)
	os.Exit(1)
}
