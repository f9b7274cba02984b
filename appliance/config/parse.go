package config

// Parse reads a configuration. The error, where there is one, is of type
// Faults: everything wrong with the file at once. name is the file's name in
// the faults' text, nothing more; no file is opened.
//
// Any bytes give a Config or Faults in time and memory that grow with their
// number, and never a panic.
func Parse(name string, data []byte) (*Config, error) {
	return parseWith(name, data, notBuilt)
}

// parseWith is Parse for a version that does not build what missing says.
func parseWith(name string, data []byte, missing map[gap]bool) (*Config, error) {
	d := &decoder{faultLog: faultLog{file: name}, missing: missing}
	text := clean(&d.faultLog, data)
	if err := d.err(); err != nil {
		return nil, err
	}
	body := tree(&d.faultLog, goccy, text)
	if err := d.err(); err != nil {
		return nil, err
	}
	t := first(body)
	f := readFile(cursor{place{line: t.Position.Line, col: t.Position.Column}, d, body})
	check(d, &f)
	if err := d.err(); err != nil {
		return nil, err
	}
	return build(&f), nil
}
