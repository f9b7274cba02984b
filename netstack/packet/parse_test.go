package packet

import (
	"encoding/hex"
	"testing"
)

// syn4 is a TCP SYN with options from 10.1.0.9:4000 to 192.0.2.10:80.
const syn4 = "4500003c1c46400040060000" + "0a010009c000020a" +
	"0fa00050" + "00000001" + "00000000" + "a002ffff" + "00000000" +
	"020405b40402080a0000000100000000" + "01030307"

func raw(t testing.TB, s string) *Packet {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	p := new(Packet)
	p.Load(b)
	h := p.Bytes()
	h[10], h[11] = 0, 0
	c := ^fold(sum(h[:20], 0))
	h[10], h[11] = byte(c>>8), byte(c)
	return p
}

func BenchmarkParseTCP4Raw(b *testing.B) {
	p := raw(b, syn4)
	b.ReportAllocs()
	for b.Loop() {
		if r := p.Parse(LinkRaw); r != OK {
			b.Fatal(r)
		}
	}
}
func BenchmarkParseTCP4Ethernet(b *testing.B) {
	p := raw(b, "0123456789ab0123456789ac0800"+syn4)
	h := p.Bytes()[14:]
	h[10], h[11] = 0, 0
	c := ^fold(sum(h[:20], 0))
	h[10], h[11] = byte(c>>8), byte(c)
	b.ReportAllocs()
	for b.Loop() {
		if r := p.Parse(LinkEthernet); r != OK {
			b.Fatal(r)
		}
	}
}
func BenchmarkRewriteDst(b *testing.B) {
	p := raw(b, syn4)
	p.Parse(LinkRaw)
	x, y := Addr{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Addr{10: 0xff, 11: 0xff, 12: 192, 15: 10}
	d := DeltaOf(&x, &y, 80, 8080)
	for b.Loop() {
		p.RewriteDst(&y, 8080, d)
	}
}
func BenchmarkKey(b *testing.B) {
	p := raw(b, syn4)
	p.Parse(LinkRaw)
	var k FlowKey
	for b.Loop() {
		p.Key(&k)
	}
}
