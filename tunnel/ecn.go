package tunnel

// The ECN field, the low two bits of the ToS or traffic class (RFC 3168 5).
const (
	notECT  = 0
	ect1    = 1
	ect0    = 2
	ce      = 3
	ecnMask = 3
)

// ecnDrop stands in egress where a packet must be dropped: the congestion that
// the path has marked cannot be told to a sender that does not understand it.
const ecnDrop = 0xff

// egress is RFC 6040 4.2: the ECN field that leaves the tunnel, by the one that
// was inside and the one that is outside.
var egress = [4][4]uint8{
	notECT: {notECT: notECT, ect0: notECT, ect1: notECT, ce: ecnDrop},
	ect0:   {notECT: ect0, ect0: ect0, ect1: ect1, ce: ce},
	ect1:   {notECT: ect1, ect0: ect1, ect1: ect1, ce: ce},
	ce:     {notECT: ce, ect0: ce, ect1: ce, ce: ce},
}
