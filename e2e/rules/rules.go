package rules

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Rule is one sentence of the plan of the house.
type Rule struct {
	Name   string
	Reason string
	check  func(*Tree, func(f *File, line int, what string))
}

// Check is what breaks the rule, each as FILE:LINE: what, with the reason.
func (r Rule) Check(t *Tree) []string {
	var broken []string
	r.check(t, func(f *File, line int, what string) {
		broken = append(broken, fmt.Sprintf("%s:%d: %s (%s: %s)", f.Path, line, what, r.Name, r.Reason))
	})
	return broken
}

// Rules are all of them.
var Rules = []Rule{
	{"the director is pure",
		"it decides from a packet and the time it is given: no I/O, no log, no gVisor, so that explain, replay and tests run the same code",
		directorImports},
	{"the director has no clock",
		"time is an argument, so that a 15-minute timeout is tested in a microsecond and the same packets give the same verdicts",
		directorClock},
	{"gVisor stays inside netstack",
		"one room knows the stack's API; the rest can be read, tested and kept when it changes",
		only("gvisor.dev/gvisor", "netstack")},
	{"water stays inside netstack/device",
		"devices come from one door: everything else takes the Device interface, which a wire in memory satisfies too",
		only("github.com/songgao/water", "netstack/device")},
	{"siblings under appliance do not import each other",
		"package appliance joins them; each can be read and tested alone",
		siblings},
	{"netstack knows nothing of load balancing",
		"frames, devices and stacks serve any appliance; a decision belongs to the director",
		layers},
	{"nobody imports e2e but the demonstration its lab",
		"proof from outside must not become a part of what it proves",
		proof},
	{"addresses are net/netip outside netstack",
		"net.IP has two forms of one address and is no map key; only a file that talks to the netlink library may use its types",
		netip},
	{"no package is a drawer",
		"a name like util says nothing about what is in it and attracts everything",
		drawers},
	{"the top level is closed",
		"a newcomer learns the house from seven names",
		topLevel},
	{"a file has 400 lines at most",
		"a file that needs two captions is two files",
		sizes},
	{"a folder of Go has a README.md",
		"one picture, the limits and the decisions stand beside the code",
		readmes},
	{"nothing names a registry or the machine it was written on",
		"the repository must build anywhere, through whatever proxy a machine has",
		places},
}

// module and folder names of the rules.
const (
	director = "appliance/director"
	netlink  = "github.com/vishvananda/netlink"
)

// impure are packages of the standard library that the director must not see;
// what lies below them counts too, but for net/netip.
var impure = []string{"net", "os", "log", "syscall", "io/ioutil", "testing", "plugin", "database", "embed", "runtime/debug"}

// directorImports looks at what the director imports, and at the two rooms that
// it may import: what they see, it sees.
func directorImports(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		if !f.In(director) && f.Dir() != "tunnel" && f.Dir() != "netstack/packet" || f.Test() {
			continue
		}
		for _, i := range f.Imports {
			local := t.local(i.Path)
			switch {
			case local == "netstack/packet" || local == "tunnel" || under(local, director):
			case i.Path == "net/netip":
			case !t.std(i.Path), slices.ContainsFunc(impure, func(p string) bool { return under(i.Path, p) }):
				broken(f, i.Line, "imports "+i.Path)
			}
		}
	}
}

func directorClock(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		if f.Go == nil || !f.In(director) || f.Test() {
			continue
		}
		for _, u := range t.uses(f, "time", "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker") {
			broken(f, u.line, "uses "+u.what)
		}
	}
}

// only makes a check that no file outside folder imports a module.
func only(module, folder string) func(*Tree, func(*File, int, string)) {
	return func(t *Tree, broken func(*File, int, string)) {
		for _, f := range t.Files {
			for _, i := range f.Imports {
				if under(i.Path, module) && !f.In(folder) {
					broken(f, i.Line, "imports "+i.Path)
				}
			}
		}
	}
}

// room is the folder under appliance that a folder belongs to, "" for none.
func room(folder string) string {
	rest, ok := strings.CutPrefix(folder, "appliance/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func siblings(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		for _, i := range f.Imports {
			here, there := room(f.Dir()), room(t.local(i.Path))
			if here != "" && there != "" && here != there {
				broken(f, i.Line, "imports "+i.Path)
			}
			if here != "" && t.local(i.Path) == "appliance" {
				broken(f, i.Line, "imports "+i.Path+", which imports it")
			}
		}
	}
}

func layers(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		if !f.In("netstack") {
			continue
		}
		for _, i := range f.Imports {
			local := t.local(i.Path)
			if local != "" && !under(local, "netstack") && local != "tunnel" {
				broken(f, i.Line, "imports "+i.Path)
			}
		}
	}
}

func proof(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		for _, i := range f.Imports {
			local := t.local(i.Path)
			if !under(local, "e2e") || f.In("e2e") || local == "e2e/lab" && f.In("cmd/weir") {
				continue
			}
			broken(f, i.Line, "imports "+i.Path)
		}
	}
}

func netip(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		if f.Go == nil || f.In("netstack") || slices.ContainsFunc(f.Imports, func(i Import) bool { return i.Path == netlink }) {
			continue
		}
		for _, u := range t.uses(f, "net", "IP", "IPNet", "IPMask", "ParseIP", "ParseCIDR", "CIDRMask", "IPv4", "IPv4Mask") {
			broken(f, u.line, "uses "+u.what)
		}
	}
}

var drawerNames = []string{"util", "utils", "common", "types", "models", "model", "helpers", "helper", "pkg", "misc", "shared", "base", "lib"}

func drawers(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		if f.Go == nil {
			continue
		}
		name := strings.TrimSuffix(f.Go.Name.Name, "_test")
		for _, folder := range append(strings.Split(f.Dir(), "/"), name) {
			if slices.Contains(drawerNames, folder) {
				broken(f, 1, "is in "+folder)
				break
			}
		}
	}
}

var top = []string{"cmd", "netstack", "appliance", "tunnel", "e2e", "go.mod", "go.sum", "Makefile", "README.md"}

func topLevel(t *Tree, broken func(*File, int, string)) {
	for _, name := range t.Top {
		if !strings.HasPrefix(name, ".") && !slices.Contains(top, name) {
			broken(&File{Path: name}, 1, "is not a room of the house")
		}
	}
}

// maxLines is for files that people write; a long test is a long table.
const maxLines = 400

func sizes(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		if f.Go == nil || f.Test() {
			continue
		}
		if n := bytes.Count(f.Data, []byte("\n")); n > maxLines {
			broken(f, maxLines+1, fmt.Sprintf("has %d lines", n))
		}
	}
}

func readmes(t *Tree, broken func(*File, int, string)) {
	has, told := map[string]bool{}, map[string]bool{}
	for _, f := range t.Files {
		if path.Base(f.Path) == "README.md" {
			has[f.Dir()] = true
		}
	}
	for _, f := range t.Files {
		if f.Go != nil && !has[f.Dir()] && !told[f.Dir()] {
			told[f.Dir()] = true
			broken(f, 1, f.Dir()+" has no README.md")
		}
	}
}

// registry and machine match what must not be written down. They are put
// together from halves, so that this file does not name any of it.
var (
	registry = regexp.MustCompile(strings.Join([]string{
		`(proxy|sum|index)\.` + `golang\.org`, `goproxy\.` + `(io|cn)`, `registry\.` + `npmjs`, `(files\.)?py` + `pi\.org`, `python` + `hosted\.org`,
		`crates` + `\.io`, `(deb|security|ftp)\.` + `debian\.org`, `(archive|security)\.` + `ubuntu\.com`, `(registry-1\.)?docker` + `\.(io|com)`, `ghcr` + `\.io`,
		`quay` + `\.io`, `gcr` + `\.io`,
	}, "|"))
	machine = regexp.MustCompile(`(^|[^\w.])/(work|root|home)` + `/\w`)
)

func places(t *Tree, broken func(*File, int, string)) {
	for _, f := range t.Files {
		if bytes.IndexByte(f.Data, 0) >= 0 || path.Base(f.Path) == "go.sum" {
			continue // no text; or written by the go command
		}
		number := 0
		for line := range bytes.Lines(f.Data) {
			number++
			for _, pattern := range []*regexp.Regexp{registry, machine} {
				if found := pattern.Find(line); found != nil {
					broken(f, number, fmt.Sprintf("names %q", found))
				}
			}
		}
	}
}
