//go:build !unix

package main

import "os"

// askSignals is empty where there is no signal to ask by.
var askSignals []os.Signal
