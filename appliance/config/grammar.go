package config

// grammar is every mapping of the file and the keys it may have. reference.yaml
// shows each of them, and a test holds the two together.
var grammar = map[string][]string{
	"": {"topology", "ports", "routes", "neighbours", "pool", "services", "control", "host", "limits", "timeouts", "log"},

	"ports[]":      {"name", "tap", "tun", "bridge", "addresses", "mtu", "mac", "queues"},
	"routes[]":     {"to", "via", "port"},
	"neighbours[]": {"address", "mac"},

	"services[]":          {"name", "vip", "protocol", "method", "scheduler", "affinity", "check", "cookie", "tunnel", "reals"},
	"services[].affinity": {"by", "prefix", "timeout"},
	"services[].check":    {"tcp", "http", "interval", "timeout", "rise", "fall"},
	"services[].cookie": {"name", "mode", "indirect", "nocache", "postonly", "preserve", "httponly", "secure",
		"domain", "maxidle", "maxlife", "dynamic"},
	"services[].tunnel":  {"type", "port", "ttl", "fragment"},
	"services[].reals[]": {"name", "address", "weight"},

	"control": {"socket", "http"},
	"host":    {"manage"},
	"limits":  {"flows", "pool_ports"},
	"timeouts": {"established", "syn-sent", "syn-recv", "fin-wait", "time-wait", "close", "close-wait", "last-ack",
		"udp", "icmp"},
	"log": {"level", "format"},
}
