# Bare make prints the targets. Everything but check, peers and bench needs Go
# alone: no root, no network beyond the modules, no C compiler.

GO          ?= go
FUZZTIME    ?= 20s
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Debian's packages and the program that each is wanted for.
PEERS       := tshark:tshark haproxy:haproxy nginx-light:nginx curl:curl iperf3:iperf3 nftables:nft iproute2:ip

# Scenarios of e2e whose simulated half has all of weir in one process.
SIMULATED   := ^Test(TCP|UDP|Ping|PortUnreachable|Refusals|Bulk|StopAndStart)/./^sim$$

.DEFAULT_GOAL := help
.PHONY: help demo test race check fmt vet staticcheck rules tidy cross peers peers-install bench fuzz build clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## real HTTP requests through a VIP, hop by hop, in a simulated network
	$(GO) run ./cmd/weir demo nat

test: ## every test that needs Go alone; no root, no network
	$(GO) test ./...

race: ## the concurrent packages under the race detector (wants a C compiler)
	CGO_ENABLED=1 $(GO) test -race $$($(GO) list ./netstack/... ./appliance/... ./cmd/weir ./tunnel/... ./e2e/lab/... | grep -v -E '/(packet|packettest|config)$$')
	CGO_ENABLED=1 $(GO) test -race -run '$(SIMULATED)' ./e2e

check: fmt vet staticcheck rules tidy cross race ## gofmt, vet, staticcheck, import rules, go.mod, other systems, races

fmt: ## fail on a file that gofmt would change
	@files=$$(gofmt -l .) && test -z "$$files" || { echo "gofmt -w is due on: $$files"; exit 1; }

vet: ## go vet, with the tests that want peers too
	$(GO) vet ./...
	$(GO) vet -tags=peers ./e2e/...

staticcheck: ## staticcheck, at the version this file names
	$(GO) run $(STATICCHECK) ./...

rules: ## the import rules and the shape of the house
	$(GO) test ./e2e/rules

tidy: ## fail if go.mod or go.sum is not what go mod tidy writes
	$(GO) mod tidy -diff

cross: ## build and vet for macOS and Windows, without cgo
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build ./...
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 $(GO) vet ./...
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 $(GO) build ./...

# Their programs live in sbin, which is not in everybody's path.
peers: export PATH := $(PATH):/usr/sbin:/sbin
peers: peers-install ## the tests against real programs; what is missing is installed, or fails
	WEIR_NO_SKIP=1 WEIR_WHOLE=1 $(GO) test -tags=peers ./e2e/...

# Debian starts haproxy and nginx as services where an init runs.
peers-install: export PATH := $(PATH):/usr/sbin:/sbin
peers-install:
	@missing=; for p in $(PEERS); do command -v $${p#*:} >/dev/null || missing="$$missing $${p%%:*}"; done; \
	test -n "$$missing" || exit 0; \
	command -v apt-get >/dev/null || { echo "missing:$$missing, and no apt-get to install them with" >&2; exit 1; }; \
	as=; test "$$(id -u)" = 0 || as=sudo; \
	$$as apt-get -q update && \
	$$as env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing </dev/null

bench: ## weir beside kernel forwarding, nftables and HAProxy: a table of medians and ratios
	$(GO) run ./e2e/bench

fuzz: ## each fuzz target for FUZZTIME (20s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
			echo "$$file $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null || exit 1; \
		done; \
	done

build: ## the static binary ./weir
	CGO_ENABLED=0 $(GO) build -trimpath -o weir ./cmd/weir

clean: ## remove what build, demo and bench left here
	rm -f weir weir.exe ./*.pcap ./*.pcapng ./*.prof ./*.test ./*.out
