package director

import (
	"strings"
	"testing"

	"weir/netstack/packet"
)

// Each row is a conversation: > is the client, < the real server.
func TestTCPStates(t *testing.T) {
	for _, c := range []struct {
		what, said string
		want       State
	}{
		{"a handshake", ">S <SA >A", Established},
		{"a SYN repeated is still half-open", ">S >S >S", SynSent},
		{"data before the handshake is over does not establish", ">S >A", SynSent},
		{"the server answered, the client did not", ">S <SA", SynRecv},
		{"the client closes first", ">S <SA >A >FA", CloseWait},
		{"the client half-closes and downloads on", ">S <SA >A >FA <A <A >A", CloseWait},
		{"both closed, the client first", ">S <SA >A >FA <FA", LastAck},
		{"an orderly end begun by the client", ">S <SA >A >FA <FA >A", TimeWait},
		{"the server closes first", ">S <SA >A <FA", FinWait},
		{"an orderly end begun by the server", ">S <SA >A <FA >FA", TimeWait},
		{"a refused connection", ">S <RA", Closed},
		{"a reset in the middle", ">S <SA >A >R", Closed},
	} {
		s := SynSent
		for _, w := range strings.Fields(c.said) {
			dir := request
			if w[0] == '<' {
				dir = reply
			}
			s = s.follow(dir, flagsOf(w[1:]))
		}
		if s != c.want {
			t.Errorf("%s (%s): %v, want %v", c.what, c.said, s, c.want)
		}
	}
}

func flagsOf(s string) (f uint8) {
	for _, c := range s {
		f |= map[rune]uint8{'S': packet.SYN, 'A': packet.ACK, 'F': packet.FIN, 'R': packet.RST, 'P': packet.PSH}[c]
	}
	return f
}
