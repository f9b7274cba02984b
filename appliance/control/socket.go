package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// askWithin is how long a process that holds a socket may take to say who it is.
const askWithin = time.Second

// maxPath is what every system allows for the path of a socket, in bytes:
// 104 with a zero on the BSDs, 108 on Linux.
const maxPath = 103

// DefaultSocket is the path of the socket where nobody gives one; "" where
// there is no place for it.
func DefaultSocket() string {
	if os.Geteuid() == 0 {
		return "/run/weir/weir.sock"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "weir.sock")
	}
	return ""
}

// Listen opens the socket at path, for its owner alone (mode 0600). A socket
// that nobody listens on any more is replaced; one that a live process holds is
// refused with that process's id. The file goes when the listener is closed.
func Listen(path string) (net.Listener, error) {
	if path == "" {
		return nil, errors.New("control socket: there is no default place without root and XDG_RUNTIME_DIR: name one with --socket or control.socket")
	}
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: choose another place with --socket", err)
	}
	// Two that start at once must not both find the same dead socket.
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := vacant(path); err != nil {
		return nil, err
	}
	return bind(path)
}

// vacant says whether path is free, or taken by a socket that nobody serves.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("the file exists and is no socket: remove it or choose another with --socket")
	}
	conn, err := net.DialTimeout("unix", path, askWithin)
	if err != nil {
		if refused(err) {
			return nil
		}
		return fmt.Errorf("see who holds it: %w", err)
	}
	conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	v, err := NewClient(path).Version(ctx)
	if err != nil {
		return errors.New("a process that does not answer listens there: stop it or choose another with --socket")
	}
	return fmt.Errorf("weir runs there already (pid %d): stop it or choose another with --socket", v.PID)
}

// bind makes the socket under a name nobody knows, closes it to others, and
// only then gives it its own name: there is no moment in which others may
// connect, and none in which a dead socket is gone and the new one not there.
func bind(path string) (net.Listener, error) {
	private, err := os.MkdirTemp(filepath.Dir(path), ".w")
	if err != nil {
		return nil, fmt.Errorf("%w: choose another place with --socket", err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	if len(made) > maxPath || len(path) > maxPath {
		return nil, fmt.Errorf("the path is too long for a socket: choose one of %d bytes at most with --socket", maxPath-len(made)+len(path))
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would unlink the first name
	s := &socket{UnixListener: l, path: path}
	if err := s.place(made); err != nil {
		l.Close()
		return nil, err
	}
	return s, nil
}

// socket is a listener that removes its file, if it still is its own.
type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo
	once sync.Once
	err  error
}

func (s *socket) place(made string) (err error) {
	if err := os.Chmod(made, 0o600); err != nil {
		return err
	}
	if s.file, err = os.Lstat(made); err != nil {
		return err
	}
	return os.Rename(made, s.path)
}

// Close ends the listener and removes the file.
func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
			s.err = os.Remove(s.path)
		}
		s.err = errors.Join(s.UnixListener.Close(), s.err)
	})
	return s.err
}
