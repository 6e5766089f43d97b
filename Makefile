# The commands of everyday work. Each one installs what it needs.
CARGO ?= cargo
.DEFAULT_GOAL := help
.PHONY: help run test bench bench-quick bench-forward soak lint
# Of `make soak`.
MINUTES ?= 30

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

run: ## start data plane and control plane on this machine, print page, TURN urls and a credential
	@$(CARGO) build --release --quiet -p forebay-dataplane -p forebay-controlplane
	@$(CARGO) run --release --quiet -p xtask -- run

test: ## everything: format, lints, structure, unit, property, fuzz corpus, simulator, real clients, browser
	./scripts/install-test-parts
	$(MAKE) --no-print-directory lint
	$(CARGO) build --workspace --bins --tests
	$(CARGO) test --workspace

lint: ## format, clippy and structure
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(CARGO) xtask tidy

bench: ## micro benchmarks, then the interleaved run against a bare forwarder and coturn, 25 minutes (as root)
	./scripts/install-test-parts
	$(CARGO) build --release --bins
	$(CARGO) bench -p forebay-benches
	$(CARGO) run --release -p forebay-benches --bin forebay-bench -- relay

bench-quick: ## the rows that decide, about six minutes (as root)
	./scripts/install-test-parts
	$(CARGO) build --release --bins
	$(CARGO) run --release -p forebay-benches --bin forebay-bench -- relay --quick

bench-forward: ## rooms against plain copies and Janus, about six minutes (as root)
	./scripts/install-test-parts janus:janus perf:linux-perf
	$(CARGO) build --release --bins
	$(CARGO) run --release -p forebay-benches --bin forebay-bench -- forward

soak: ## half an hour of churn on loopback: nothing may grow, leak or be logged as error (MINUTES=2 for a short one)
	$(CARGO) build --release --bins
	$(CARGO) run --release -p forebay-benches --bin forebay-bench -- soak --minutes $(MINUTES)
