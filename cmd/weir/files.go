package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"weir/appliance"
	"weir/appliance/config"
	"weir/appliance/control"
)

// readFile reads a configuration file, or stdin for "-"; nil where standard
// input cannot be meant, because it would be read again. It is bounded: the
// name may be that of a device.
func readFile(name string, stdin io.Reader) ([]byte, error) {
	switch {
	case name == "-" && stdin == nil:
		return nil, usageError(errors.New("standard input can only be read once: name a file"))
	case name == "-":
		return readAll(name, stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		if e := new(fs.PathError); errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	return readAll(name, f)
}

func readAll(name string, r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, control.MaxApply+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > control.MaxApply {
		return nil, fmt.Errorf("%s is larger than %d bytes: it is no configuration", name, control.MaxApply)
	}
	return text, nil
}

// parseFile reads and parses a configuration; the error may be control.Faults.
func parseFile(name string, stdin io.Reader) (*config.Config, error) {
	text, err := readFile(name, stdin)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse(name, text)
	if faults := (config.Faults)(nil); errors.As(err, &faults) {
		return nil, appliance.Faults(faults)
	}
	return cfg, err
}
