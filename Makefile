# Freshet's commands. Go alone is enough for dev, build and test; what else a test wants (Node.js,
# Chromium, curl) it says aloud when it does without.

# What the binary says it is; a tree without git history may set it: make build VERSION=1.2.3
VERSION := $(or $(VERSION),$(shell git describe --tags --always --dirty 2>/dev/null),devel)
TOOL    := go tool -modfile=tools.mod
# How long each fuzz target runs, and the options of freshet dev: make dev ARGS=https://api.example.com/prices
FUZZTIME ?= 10s
ARGS     ?=

.PHONY: help dev build docs test check lint vuln fuzz bench bench-diff bench-fanout bench-webhooks clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

dev: build ## run the main job: live topics of a built-in demo API, or of ARGS=URL
	bin/freshet dev $(ARGS)

build: ## build bin/freshet, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/freshet ./cmd/freshet

docs: build ## make docs/sources.md and docs/errors.md from what the program knows
	bin/freshet sources --markdown > docs/sources.md
	bin/freshet errors --markdown > docs/errors.md

# The tests write why they skipped to .skipped, since go test keeps quiet about a package that passes.
test: ## run every test with the race detector; FRESHET_TEST_ALL=1 turns a skip into a failure
	@rm -f .skipped
	FRESHET_SKIPPED='$(CURDIR)/.skipped' go test -race -shuffle=on -timeout 15m ./...
	@if test -s .skipped; then echo; echo 'Skipped on this machine:'; sort -u .skipped; fi

check: lint vuln ## formatting, vet, linters, known vulnerabilities

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if test -n "$$unformatted"; then echo "gofmt these: $$unformatted"; exit 1; fi
	go vet ./...
	go fix -diff ./...
	$(TOOL) golangci-lint run --allow-parallel-runners ./...

# Exit code 3 says that a known vulnerability is reachable. Anything else is most likely no way to
# the database, which must not stop work offline.
vuln:
	@$(TOOL) govulncheck ./... || { code=$$?; test $$code -ne 3 || exit 1; echo 'govulncheck: NOT checked, see the reason above'; }

# A target that is stopped by the clock in the middle of minimising an input fails with "context deadline
# exceeded" and no input: that is no finding, and it is told from one.
fuzz: ## run each fuzz target for FUZZTIME
	@for file in $$(git ls-files '*_test.go' | xargs grep -l '^func Fuzz'); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "fuzz $$target in $$(dirname $$file)"; \
			out=$$(cd $$(dirname $$file) && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x . 2>&1) && { echo "$$out" | tail -n 2; continue; }; \
			echo "$$out"; \
			case "$$out" in \
				*'Failing input'*|*panic*|*'DATA RACE'*) exit 1 ;; \
				*'context deadline exceeded'*) echo "stopped by the clock, nothing found" ;; \
				*) exit 1 ;; \
			esac; \
		done; \
	done

bench: ## run the benchmarks beside the code
	go test -run '^$$' -bench . -benchmem ./...

bench-diff: ## compare the change engine with other libraries
	cd bench && go run ./diff

bench-fanout: ## measure the fan-out beside other servers; needs a quiet Linux machine with two processors
	cd bench && go run ./fanout $(ARGS)

bench-webhooks: ## measure deliveries to 750 endpoints; needs a quiet Linux machine with two processors
	cd bench && go run ./webhooks $(ARGS)

clean: ## remove what was built
	rm -rf bin .skipped
