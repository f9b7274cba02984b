package e2e_test

import (
	"io"
	"net"
	"testing"

	"weir/e2e/lab"
	"weir/netstack/device"
)

// faultyPlace is a place whose devices lose and disturb what weir sends, in
// both directions: every packet of a connection leaves by one of them.
type faultyPlace struct {
	lab.Place
	faults device.Faults
}

func (p faultyPlace) Open(c device.Config) (device.Device, error) {
	d, err := p.Place.Open(c)
	if err != nil {
		return nil, err
	}
	faulty := device.WithFaults(d, p.faults)
	if link, ok := d.(device.UpDowner); ok {
		return kernelDevice{faulty, link}, nil
	}
	return faulty, nil
}

// kernelDevice is a device with faults whose link weir can still set up.
type kernelDevice struct {
	device.Device
	link device.UpDowner
}

func (d kernelDevice) Up() error   { return d.link.Up() }
func (d kernelDevice) Down() error { return d.link.Down() }

// faultyWorld is a world with a faulty place for weir.
type faultyWorld struct {
	lab.World
	faults device.Faults
}

func (w faultyWorld) Weir() lab.Place { return faultyPlace{w.World.Weir(), w.faults} }

// Whatever weir's links do to packets, a download through the VIP ends with the
// bytes that were sent.
func TestDownloadOverBadLinks(t *testing.T) {
	for _, row := range []struct {
		rule   string
		faults device.Faults
		sim    int64 // bytes in the simulation, whose TCP takes disorder for loss
	}{
		{"1 % lost, 1 % twice, 0.2 % with a wrong bit", device.Faults{Seed: 1, Loss: 0.01, Duplicate: 0.01, Corrupt: 0.002}, 5 << 20},
		{"and 10 % out of order", device.Faults{Seed: 6, Loss: 0.01, Duplicate: 0.01, Corrupt: 0.002, Reorder: 0.1}, 256 << 10},
	} {
		t.Run(row.rule, func(t *testing.T) {
			everywhere(t, func(t *testing.T, w lab.World) {
				size := int64(5 << 20)
				if w.Name() == "sim" {
					size = row.sim
				}
				startWeir(t, faultyWorld{w, row.faults}, services(w))
				for _, f := range families {
					serveTCP(t, w, f, 8080, func(_ string, c net.Conn) { io.Copy(c, stream(size)) })
					c := dial(t, w, "tcp", f.at(80))
					if digest(c) != digest(stream(size)) {
						t.Errorf("%s: the download arrived as other bytes", f.name)
					}
				}
			})
		})
	}
}
