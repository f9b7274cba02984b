//go:build !linux

package netstack

// preferred is for the loops that read kernel devices, which are Linux's.
func preferred() bool { return false }
