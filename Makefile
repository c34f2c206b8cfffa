# The only place where commands are written down. `make help` lists them.
#
# Needs a Rust toolchain, Python 3.10 or later and make; everything else is installed into .venv,
# tests/js/node_modules and, for Node.js where it is missing, the system (Debian packages).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find rust fraiseql_subs -name '*.rs' -o -name '*.toml' -o -name '*.py') Cargo.toml Cargo.lock pyproject.toml
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport PYTHONPATH

.PHONY: help demo test test-rust test-python fuzz-graphql lint types check bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(VENV)/.release ## serve examples/orders.py with events flowing
	$(BIN)/python examples/orders.py

test: test-rust test-python ## build and run every test

test-rust: ## Rust unit, property and integration tests
	cargo test --workspace --locked

test-python: $(VENV)/.debug tests/js/node_modules/.installed ## Python tests, with real clients
	$(BIN)/python -m pytest

FUZZ_EXAMPLES ?= 50000

fuzz-graphql: $(VENV)/.debug ## random schemas, documents and values against graphql-core; FUZZ_EXAMPLES=50000
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest tests/differential/test_generated.py

lint: $(VENV)/.tools ## formatting and lints, Rust and Python
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.debug ## static types: the package, and the stubs against the compiled module
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest fraiseql_subs._core --ignore-disjoint-bases

check: lint types test ## everything the gate runs

bench: $(VENV)/.release ## measure; see docs/performance.md
	$(BIN)/python -m pip install --quiet --group test
	$(BIN)/python load_tests/micro.py
	$(BIN)/python load_tests/documents.py
	$(BIN)/python load_tests/fanout.py

clean: ## remove what was built
	rm -rf $(VENV) target tests/js/node_modules

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.tools: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2'
	$(BIN)/python -m pip install --quiet --group test --group lint
	touch $@

# The two builds share one place in the package, so each forgets the other.
$(VENV)/.debug: $(VENV)/.tools $(SOURCES)
	$(BIN)/maturin develop --quiet --locked
	rm -f $(VENV)/.release && touch $@

$(VENV)/.release: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2'
	$(BIN)/maturin develop --quiet --locked --release
	rm -f $(VENV)/.debug && touch $@

tests/js/node_modules/.installed: tests/js/package.json tests/js/package-lock.json
	command -v npm >/dev/null || (apt-get update -qq && apt-get install -qq -y --no-install-recommends nodejs npm)
	cd tests/js && npm ci --silent --no-audit --no-fund
	touch $@
