//go:build !linux

// Package pages gives the director memory in large pages, where there are any.
package pages

// Huge returns zeroed memory.
func Huge(bytes int) []byte { return make([]byte, bytes) }
