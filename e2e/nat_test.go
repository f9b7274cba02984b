package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/e2e/lab"
)

// A TCP connection to the VIP ends at a real server, which sees the client's
// own address; the client sees nothing but the VIP; real servers take turns.
func TestTCPThroughTheVIP(t *testing.T) {
	everywhere(t, func(t *testing.T, w lab.World) {
		startWeir(t, w, services(w))
		for _, f := range families {
			t.Run(f.name, func(t *testing.T) {
				serveTCP(t, w, f, 8080, func(name string, c net.Conn) {
					line, _ := bufio.NewReader(c).ReadString('\n')
					fmt.Fprintf(c, "%s %s %s", name, c.RemoteAddr(), line)
				})
				count := map[string]int{}
				for i := range 8 {
					c := dial(t, w, "tcp", f.at(80))
					if c.RemoteAddr().String() != f.at(80) {
						t.Errorf("the client is connected to %v, want the VIP %s", c.RemoteAddr(), f.at(80))
					}
					who, rest, _ := strings.Cut(ask(t, c, fmt.Sprintf("hello %d\n", i)), " ")
					if want := fmt.Sprintf("%s hello %d\n", c.LocalAddr(), i); rest != want {
						t.Errorf("%s answered %q, want %q", who, rest, want)
					}
					count[who]++
				}
				if count["real1"] != 4 || count["real2"] != 4 {
					t.Errorf("8 connections went %v, want 4 to each", count)
				}
			})
		}
	})
}

// UDP datagrams, small and of 8 KB in fragments, come back from the VIP.
func TestUDPThroughTheVIP(t *testing.T) {
	everywhere(t, func(t *testing.T, w lab.World) {
		startWeir(t, w, services(w))
		for _, f := range families {
			t.Run(f.name, func(t *testing.T) {
				echoUDP(t, w, f, 5353)
				for _, size := range []int{1, 512, 8192} {
					c := dial(t, w, "udp", f.at(53))
					sent := make([]byte, size)
					rand.NewChaCha8([32]byte{byte(size)}).Read(sent)
					if _, err := c.Write(sent); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, 65535)
					n, err := c.Read(got)
					if err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
					if !bytes.Equal(got[:n], sent) {
						t.Errorf("%d bytes came back as %d others", size, n)
					}
				}
			})
		}
	})
}

// The VIP answers ping, as the weir's own stack.
func TestPingTheVIP(t *testing.T) {
	everywhere(t, func(t *testing.T, w lab.World) {
		startWeir(t, w, services(w))
		for _, f := range families {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if _, err := w.Host("client1").Ping(ctx, f.vip); err != nil {
				t.Errorf("ping %v: %v", f.vip, err)
			}
		}
	})
}

// A real server that refuses a datagram says so by an ICMP error; it reaches
// the client translated, or the client's socket would not know it.
func TestPortUnreachableOfARealServerReachesTheClient(t *testing.T) {
	everywhere(t, func(t *testing.T, w lab.World) {
		startWeir(t, w, services(w)) // and nobody serves UDP
		for _, f := range families {
			c := dial(t, w, "udp", f.at(53))
			if _, err := c.Write([]byte("anybody?")); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 100)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: read %d bytes and %v, want connection refused", f.name, n, err)
			}
		}
	})
}

// What nobody serves is refused at once, not at the client's timeout, and the
// refusal is not an RST of weir's own stack.
func TestRefusals(t *testing.T) {
	everywhere(t, func(t *testing.T, w lab.World) {
		text := services(w)
		for _, f := range families {
			text += fmt.Sprintf("  - {name: none%s, vip: \"%s\", method: nat, reals: []}\n", f.name, f.at(81))
		}
		startWeir(t, w, text)
		seen, err := w.Capture("client1", lab.ClientSegment)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, row := range []struct {
				rule string
				port uint16
			}{
				{"a port of the VIP without a service", 99},
				{"a service without real servers", 81},
				{"a real server that refuses", 80},
			} {
				began := time.Now()
				c, err := tryDial(t, w, "tcp", f.at(row.port))
				if err == nil {
					c.Close()
				}
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s, %s: %v after %v, want connection refused", f.name, row.rule, err, time.Since(began))
				}
			}
		}
		if err := seen.Stop(); err != nil {
			t.Fatal(err)
		}
		for _, p := range parsed(t, seen.Frames()) {
			if isReset(p) && p.SrcPort != 80 {
				t.Errorf("weir's own stack answered RST: %v", p)
			}
		}
	})
}

// stream is n bytes that look random and are always the same.
func stream(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), n) }

func digest(r io.Reader) (sum [sha256.Size]byte) {
	h := sha256.New()
	io.Copy(h, r)
	copy(sum[:], h.Sum(nil))
	return sum
}

// A second weir can start where one has ended, and a third.
func TestStopAndStartAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, w lab.World) {
		f := families[0]
		serveTCP(t, w, f, 8080, func(name string, c net.Conn) { io.WriteString(c, name) })
		for range 3 {
			_, stop := runWeir(t, w, services(w))
			c := dial(t, w, "tcp", f.at(80))
			if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "real") {
				t.Fatalf("answer %q, %v", answer, err)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
