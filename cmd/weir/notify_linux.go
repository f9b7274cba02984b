package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// States of the service manager's protocol, sd_notify(3).
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

// notifyReloading also says when: systemd tells by it which reload it is.
func notifyReloading() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // this clock is always there
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}

// notify tells the service manager that started weir, if one did.
func notify(state string) error {
	at := os.Getenv("NOTIFY_SOCKET")
	if at == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", at) // "@..." is an abstract name to package net too
	if err == nil {
		_, err = conn.Write([]byte(state))
		conn.Close()
	}
	if err != nil {
		return fmt.Errorf("tell the service manager %q at %s: %w", state, at, err)
	}
	return nil
}
