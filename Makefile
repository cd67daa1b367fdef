# Everything a developer of kiln types. `make` alone shows the list.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET := x86_64-unknown-linux-gnu
KILN := target/$(TARGET)/release/kiln
# Version of Kubernetes that `make components` fills a folder for.
KUBERNETES ?= 1.20.2
export KILN_CACHE ?= $(HOME)/.cache/kiln
# ksvalidator lives in a virtual environment of the cache where the system has no package for it.
export PATH := $(KILN_CACHE)/venv/bin:$(PATH)
# What `make lab` runs.
SCENARIO ?= quick
SCRIPTS = $(shell git ls-files '*.sh' .ci/run)

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the packages that tests and demo need (root or sudo; about 2 minutes the first time)
	@tests/setup.sh

build: ## Build the static release binary (about 3 minutes the first time)
	@cargo build --release --locked
	@tests/static.sh $(KILN)

check: ## Format, lint, shellcheck: everything that needs no run
	@cargo fmt --all -- --check
	@cargo clippy --all-targets --all-features --locked -- -D warnings
	@shellcheck $(SCRIPTS)
	@echo "check: clean"

components: build ## Fill ./components for Kubernetes 1.20.2, or ./components-1.37.2 with KUBERNETES=1.37.2 (10 to 40 minutes the first time)
	@KUBERNETES=$(KUBERNETES) KILN=$(KILN) tests/components/make.sh

standin: ## Make the stand-in vendor media, in all layouts (about 1 minute the first time)
	@for layout in el7 el9 el10; do tests/standin/make.sh $$layout >/dev/null; done

standin-installer: ## Make the stand-in media that install something (about 5 minutes the first time)
	@for layout in el7 el9 el10; do tests/standin/make.sh $$layout --installer >/dev/null; done

demo: setup build ## Build the example cluster's master ISO and boot it in QEMU (about 15 minutes the first time)
	@tests/demo/run.sh $(KILN)

test: setup ## Set up, then run all checks and tests (about 40 minutes the first time)
	@tests/run.sh

test-all: test ## All of `test`, and what takes too long for it: huge media, flags of real binaries, longer fuzzing
	@tests/run-heavy.sh $(KILN)

boot-tests: build standin standin-installer ## Boot every layout, firmware and drive in QEMU; install machines there
	@cargo test --release --locked --features boot-tests --test boot -- --test-threads=2 --nocapture
	@cargo test --release --locked --features boot-tests --test install -- --test-threads=1 --nocapture
	@cargo test --release --locked --features boot-tests --test pxe_boot -- --test-threads=1 --nocapture

lab: setup build components standin ## Run a whole cluster as machines of this one, with faults (root; SCENARIO=…, docs/lab.md)
	@cd tests && PYTHONDONTWRITEBYTECODE=1 python3 -m lab --kiln ../$(KILN) --kubernetes $(KUBERNETES) $(SCENARIO)

fuzz: ## Coverage-guided fuzzing of every reader of foreign bytes, a minute each (needs cargo-fuzz)
	@tests/fuzz/run.sh 60

bench: build ## Measure against cp and xorriso in the same run, print ratios (about 10 minutes)
	@python3 tests/bench/iso.py $(KILN)
	@[ ! -d components-1.37.2 ] || python3 tests/bench/fetched.py $(KILN)
	@python3 tests/bench/disk.py $(KILN)

docs: build ## Write what is generated: man pages, completions, schema, sample file
	@$(KILN) docs docs/generated

bless: ## Rewrite golden files; the run that does it fails on purpose, look at the diff
	@KILN_BLESS=1 cargo test --locked || true
	@git --no-pager diff --stat -- tests/golden docs/generated

clean: ## Remove what was built here; the cache stays
	@cargo clean && rm -rf out

.PHONY: help setup build check components standin standin-installer demo test test-all boot-tests lab fuzz bench docs bless clean
