//go:build !linux

package main

// States of the service manager's protocol, which is Linux's.
const (
	notifyReady    = ""
	notifyStopping = ""
)

func notifyReloading() string { return "" }

// notify does nothing: there is no such service manager here.
func notify(string) error { return nil }
