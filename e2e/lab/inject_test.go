package lab_test

import (
	"bytes"
	"testing"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// What is injected arrives as it was written, however wrong it is, and the
// node's own stack goes on beside it.
func TestInjectedFramesArriveAsTheyAre(t *testing.T) {
	labtest.Run(t, lab.HostTopology(2, 1), func(t *testing.T, w lab.World) {
		to, from := []byte{0x02, 0, 0, 1, 0, 0x01}, []byte{0x02, 0, 0, 1, 0, 0x12}
		seen, err := w.Capture("host", lab.ClientSegment)
		if err != nil {
			t.Fatal(err)
		}
		out, err := w.Inject("client2", lab.ClientSegment)
		if err != nil {
			t.Fatal(err)
		}
		for _, rest := range [][]byte{
			{0x12, 0x34, 'n', 'o', ' ', 'p', 'r', 'o', 't', 'o', 'c', 'o', 'l'},
			{0x08, 0x00, 0x4f},
			append([]byte{0x08, 0x00}, bytes.Repeat([]byte{0xff}, 1500)...),
		} {
			frame := bytes.Join([][]byte{to, from, rest}, nil)
			if _, err := out.Write(frame); err != nil {
				t.Fatal(err)
			}
			if _, err := seen.Await(bounded(t), func(f lab.Frame) bool { return !f.Out && bytes.Equal(f.Data, frame) }); err != nil {
				t.Errorf("%x...: %v", frame[:min(len(frame), 20)], err)
			}
		}
		if _, err := w.Host("client2").Ping(bounded(t), w.Host("real1").Addr4()); err != nil {
			t.Errorf("client2's own stack: %v", err)
		}
		if _, err := out.Write(to); err == nil {
			t.Error("six bytes were injected as a frame")
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
		if _, err := out.Write(bytes.Repeat(to, 10)); err == nil {
			t.Error("a frame was injected after Close")
		}
		if _, err := w.Inject("client2", lab.ServerSegment); err == nil {
			t.Error("client2 injects on a segment that it is not on")
		}
	})
}
