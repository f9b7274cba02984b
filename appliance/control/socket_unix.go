//go:build unix

package control

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockDir keeps other weirs from taking a socket in dir over until unlock. The
// lock ends with the process that holds it, and leaves no file.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(5 * time.Second); ; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w: another program holds it", dir, err)
		}
		time.Sleep(10 * time.Millisecond) // flock tells nobody when it is free
	}
}

// refused reports that err is what connecting to a dead socket gives.
func refused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
