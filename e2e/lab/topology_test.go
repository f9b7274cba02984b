package lab_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/appliance/config"
	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

func TestCheckNamesEveryFaultOfATopology(t *testing.T) {
	topology := lab.Topology{
		Name:     "faulty",
		Segments: []lab.Segment{{Name: "lan"}, {Name: "lan"}, {Name: "much-too-long"}},
		Nodes: []lab.Node{
			{Name: "a", Interfaces: []lab.Interface{{Segment: "lan"}, {Segment: "lan"}, {Segment: "wan"}}},
			{Name: "a"},
		},
		Weir: lab.Attachment{Node: "b", Ports: []lab.Port{{Name: "tap", Device: "", Segment: "dmz"}}},
	}
	err := topology.Check()
	if err == nil {
		t.Fatal("the topology was accepted")
	}
	for _, want := range []string{
		"two segments are named lan",
		"segment much-too-long: its name is longer than 12 characters",
		"two nodes are named a",
		"node a: two interfaces on segment lan",
		`node a: there is no segment "wan"`,
		`port tap: device name "" is not 1 to 15 characters long`,
		`port tap: there is no segment "dmz"`,
		`weir's place: there is no node "b"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say: %s\n%v", want, err)
		}
	}
}

func TestReadyTopologiesNumberEverythingAlike(t *testing.T) {
	for _, topology := range []lab.Topology{
		lab.HostTopology(80, 80), lab.RoutedTopology(80, 80), lab.BridgedTopology(80, 80), lab.OneArmTopology(80, 80),
	} {
		if err := topology.Check(); err != nil {
			t.Error(err)
		}
		seen := map[string]string{}
		for _, n := range topology.Nodes {
			for _, i := range n.Interfaces {
				for _, a := range append([]string{i.MAC.String()}, fmt.Sprint(i.Addresses[0].Addr()), fmt.Sprint(i.Addresses[1].Addr())) {
					if other := seen[a]; other != "" {
						t.Errorf("%s: %s and %s both have %s", topology.Name, n.Name, other, a)
					}
					seen[a] = n.Name
				}
			}
		}
		n := topology.Node("real80")
		if got := fmt.Sprint(n.Addr4(), n.Addr6(), n.Interfaces[0].MAC); got != "10.2.0.90 fd00:2::90 02:00:00:02:00:90" {
			t.Errorf("%s: real80 is %s", topology.Name, got)
		}
	}
}

// What a place says of itself is the beginning of a configuration that weir
// accepts, in either world.
func TestPlacesDescribeThemselvesInWeirsWords(t *testing.T) {
	const services = "services:\n  - {name: web, vip: \"[2001:db8::10]:80\", method: fullnat, reals: [\"[fd00:2::11]:80\"]}\n"
	for _, topology := range []lab.Topology{
		lab.HostTopology(1, 1), lab.RoutedTopology(1, 1), lab.BridgedTopology(1, 1), lab.OneArmTopology(1, 1),
	} {
		t.Run(topology.Name, func(t *testing.T) {
			labtest.Run(t, topology, func(t *testing.T, w lab.World) {
				c, err := config.Parse("lab.yaml", []byte(w.Weir().Config()+services))
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Topology.String(); got != topology.Name {
					t.Errorf("topology %s, want %s", got, topology.Name)
				}
				if c.Host.Manage && w.Name() == "sim" && topology.Weir.Node != "" {
					t.Error("in a simulation weir would change the machine it runs on")
				}
				for i, want := range topology.Weir.Ports {
					if got := c.Ports[i]; got.Device != want.Device || got.MAC != want.MAC || !slices.Equal(got.Addresses, want.Addresses) {
						t.Errorf("port %d is %+v, want %+v", i, got, want)
					}
				}
				if got := c.PoolAddrs(); !slices.Equal(got, topology.Weir.Pool) {
					t.Errorf("pool %v, want %v", got, topology.Weir.Pool)
				}
			})
		})
	}
}
