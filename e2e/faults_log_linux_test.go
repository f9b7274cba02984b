package e2e_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"weir/e2e/lab"
)

// A log that nobody reads any more, its pipe full or its reader gone, costs
// lines of the log and nothing else.
func TestLogThatNobodyReads(t *testing.T) {
	for _, row := range []struct {
		rule string
		gone bool
	}{{"a full pipe", false}, {"a reader that is gone", true}} {
		t.Run(row.rule, func(t *testing.T) {
			oneKernel(t, topologies[0], func(t *testing.T, w lab.World) {
				serve(t, w)
				reader, writer, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer reader.Close()
				defer writer.Close()
				if row.gone {
					reader.Close()
				} else {
					fill(t, writer)
				}
				good := w.Weir().Config() + services(w)
				p := startProgram(t, w, good, func(cmd *exec.Cmd) { cmd.Stderr = writer })
				talks := converseAll(t, w)
				write(t, p.file, twoFaults)
				p.signal(t, syscall.SIGHUP) // it has something to say
				write(t, p.file+".more", good+families[0].service(w, "tcp", 81, 8080))
				p.says(t, "apply", p.file+".more")
				converse(t, w, families[0].at(81))
				echoAll(t, talks, "while nobody reads the log")
				carries(t, w, "while nobody reads the log")
				p.end(t)
			})
		})
	}
}

// fill writes to a pipe until it takes no more.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	fd := int(pipe.Fd()) // in blocking mode, as weir will find it
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	var err error
	for b := make([]byte, 4096); err == nil; {
		_, err = unix.Write(fd, b)
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}
