package config

import _ "embed"

// Reference is the documentation of every key, itself a valid configuration.
//
//go:embed reference.yaml
var Reference []byte
