//go:build !unix

package control

// lockDir does nothing: on this system weir serves no traffic, only its
// demonstration.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

// refused takes any failure to connect for a dead socket.
func refused(error) bool { return true }
