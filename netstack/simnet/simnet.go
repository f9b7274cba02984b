// Package simnet builds whole networks inside one process: segments, hosts and
// routers, with the same device wires, host stack and forwarding that weir runs
// on. It needs no root and no particular system.
//
// Everything runs at the machine's speed and clock. What is deterministic is
// what does not depend on scheduling: addresses, MACs, which frames a seed
// loses.
package simnet

import (
	"hash/fnv"

	"weir/netstack/packet"
)

// MAC is the address of the station called name: locally administered, and the
// same in every run, so that captures can be compared.
func MAC(name string) packet.MAC {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	n := h.Sum64()
	return packet.MAC{0x02, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), byte(n >> 32)}
}
