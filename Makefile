# The only place where commands are written down. `make help` lists them.
#
# Needs a Rust toolchain, Python 3.10 or later and make; everything else is installed into .venv,
# node_modules of tests/js and graphiql and, for Node.js, Chromium, nginx, HAProxy, curl, Redis and PostgreSQL where they
# are missing, the system (Debian packages, by sudo if needed; it is said before).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PAGE := fraiseql_subs/graphiql/index.html
SOURCES := $(shell find rust fraiseql_subs -name '*.rs' -o -name '*.lua' -o -name '*.sql' -o -name '*.toml' -o -name '*.py') Cargo.toml Cargo.lock pyproject.toml
PACKAGES := sh tools/system_packages.sh
# The environment that is active where make was called.
ACTIVE := $(VIRTUAL_ENV)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport PYTHONPATH

# Of each supported version the first interpreter that runs.
PYTHONS = $(shell for version in 3.10 3.11 3.12 3.13; do \
	for python in python$$version $$HOME/.pyenv/versions/$$version.*/bin/python; do \
	$$python -c '' 2>/dev/null && echo $$python && break; done; done)

.PHONY: help install wheel sdist test-wheel check-wheel try-wheel test-sdist licenses setup fmt test-one deny attack faults demo .built .page graphiql test test-rust test-python test-pythons lint types docs check bench bench-redis bench-engines bench-hops bench-tracing bench-compression dashboard-picture bench-documents bench-drain compare compare-ci fuzz fuzz-graphql clean .chromium .node .proxies .faketime .libpython .redis .postgres .promtool .strace .systemd image image-steps

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(VENV)/.debug ## once, to work on the code: tools and a debug build

fmt: $(VENV)/.tools ## format Rust and Python
	cargo fmt
	$(BIN)/ruff format .

graphiql: $(PAGE) ## make the page for browsers, which the wheel carries

demo: $(VENV)/.demo-tools .built .page ## serve examples/orders.py with events flowing; the first time builds for some minutes
	@$(BIN)/python examples/orders.py

install: $(if $(ACTIVE),,$(BIN)/python) ## install a wheel into the active environment, or else into .venv; WHEEL=..., by default the newest here
	@test -n '$(WHEEL)' || { echo 'No wheel is here: make install WHEEL=path, or first make wheel' >&2; exit 1; }
	@echo 'Installing $(WHEEL) into $(or $(ACTIVE),$(VENV))'
	@$(INTO) -m pip install --quiet --force-reinstall --no-deps '$(WHEEL)'
	@$(INTO) -m pip install --quiet '$(WHEEL)[cli]'
	@echo 'Next: $(dir $(INTO))fraiseql-subs --help, and docs/tutorials/first-subscription.md'

wheel: $(PAGE) $(VENV)/.packaging ## build the wheel of this machine into dist; TARGET=aarch64-unknown-linux-gnu crosses, PYTHON_TAG=3.14t builds for that alone
	$(WITH_TOOLS) MATURIN_PEP517_ARGS='$(WHEEL_ARGS)' $(BIN)/python -m build --wheel --no-isolation
	$(BIN)/python -m twine check --strict "$$($(NEWEST_OF_DIST))"

sdist: $(PAGE) $(VENV)/.packaging ## build the source distribution into dist
	$(WITH_TOOLS) $(BIN)/python -m build --sdist --no-isolation
	$(BIN)/python -m twine check --strict dist/fraiseql_subs-*.tar.gz

test-wheel: check-wheel try-wheel ## what a user has of the newest wheel in dist: both of the next two

check-wheel: | $(BIN)/python ## the content of the newest wheel in dist, also of one for another platform
	$(BIN)/python tools/check_wheel.py "$$($(NEWEST_OF_DIST))"

try-wheel: | $(BIN)/python ## the tutorial with the newest wheel in dist, in a new environment
	$(BIN)/python tools/try_wheel.py "$$($(NEWEST_OF_DIST))"

test-sdist: sdist ## build a wheel of the source distribution alone, and test it; takes as long as make wheel
	rm -rf target/sdist && mkdir -p target/sdist
	tar -xzf dist/fraiseql_subs-*.tar.gz -C target/sdist --strip-components 1
	$(BIN)/python -m pip wheel --no-deps --wheel-dir target/sdist/dist target/sdist
	$(BIN)/python tools/check_wheel.py --any-build target/sdist/dist/*.whl
	$(BIN)/python tools/try_wheel.py target/sdist/dist/*.whl

licenses: graphiql/node_modules/.installed | $(BIN)/python ## write THIRD-PARTY-LICENSES.txt, after a change of Cargo.lock or of the packages of graphiql
	$(BIN)/python tools/third_party.py

test: test-rust test-python ## build and run every test

test-rust: .libpython .redis .postgres ## Rust unit, property and integration tests
	@$(BIN)/python -c '$(HAS_LIBRARY)' || export PYO3_PYTHON=/usr/bin/python3; set -x; cargo test --workspace --locked

FOR_TESTS := $(VENV)/.debug tests/js/node_modules/.installed docs_build/node_modules/.installed $(PAGE) \
	.chromium .proxies .faketime .redis .postgres .promtool .systemd

test-python: $(FOR_TESTS) ## Python tests, with real clients
	$(BIN)/python -m pytest -n 2

test-pythons: $(FOR_TESTS) ## Python tests on every other version that is installed
	set -e; for python in $(PYTHONS); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); venv=.venvs/$$version; \
		test $$version != "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" || continue; \
		test -e $$venv/.tools || { $$python -m venv $$venv; \
			$$venv/bin/python -m pip install --quiet --upgrade pip; \
			$$venv/bin/python -m pip install --quiet --group test --group lint; \
			echo '$(CURDIR)' >$$($$venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/fraiseql_subs.pth; \
			touch $$venv/.tools; }; \
		$$venv/bin/python -m pytest -n 2; \
	done

T ?= tests/unit
test-one: $(VENV)/.debug ## some Python tests; T="tests -k drain", by default tests/unit
	$(BIN)/python -m pytest $(T)

attack: $(VENV)/.debug ## clients that mean harm: what they may take, and who is served beside them; ATTACK_CLIENTS=10000
	$(BIN)/python -m pytest -m attack

faults: $(VENV)/.debug .redis ## all that breaks between nodes and their engine, with many clients; FAULT_CLIENTS=200 on each node
	FAULTS=1 $(BIN)/python -m pytest -m faults

FUZZ_EXAMPLES ?= 50000

fuzz-graphql: $(VENV)/.debug ## random schemas, documents and values against graphql-core; FUZZ_EXAMPLES=50000
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest tests/differential/test_generated.py

lint: $(VENV)/.tools ## formatting and lints, Rust and Python
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.debug ## static types: the package, the examples, what is in deploy and tools, and the stubs against the compiled module
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/mypy deploy
	$(BIN)/mypy tools
	$(BIN)/python -m mypy.stubtest fraiseql_subs._core --ignore-disjoint-bases

# The crates are documented from what `make lint` has compiled; without that it takes minutes.
WITH_CRATES ?= 1
docs: $(VENV)/.docs docs_build/node_modules/.installed ## the documentation site, in target/site; WITH_CRATES= without the Rust crates
	NO_MKDOCS_2_WARNING=1 WITH_CRATES=$(WITH_CRATES) $(BIN)/python -m mkdocs build
	$(if $(WITH_CRATES),RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' \
		cargo doc --workspace --no-deps --document-private-items --locked && cp -R target/doc target/site/rust)
	$(BIN)/python -m docs_build.check target/site
	@echo 'Open target/site/index.html'

check: lint types test test-pythons docs ## everything the gate runs

bench: $(VENV)/.release ## measure; see docs/performance.md
	cargo bench --package security --locked
	cargo bench --package graphql --locked
	$(BIN)/python -m pip install --quiet --group test
	$(BIN)/python load_tests/micro.py
	$(BIN)/python -m pip install --quiet orjson==3.13.0
	$(BIN)/python load_tests/json_text.py
	$(BIN)/python load_tests/documents.py
	$(BIN)/python load_tests/endurance.py

bench-redis: $(VENV)/.release .redis ## what events over Redis cost; see docs/performance.md
	$(BIN)/python -m pip install --quiet --group test
	$(BIN)/python -m load_tests.redis

bench-engines: $(VENV)/.release .redis .postgres ## what events over each engine cost; see docs/performance.md
	$(BIN)/python -m pip install --quiet --group test
	$(BIN)/python -m load_tests.engines

PEERS := load_tests/compare/peers
LOAD := target/release/fraiseql-subs-load

bench-hops: $(VENV)/.release $(LOAD) $(PEERS)/target/release/floor .strace ## system calls for one event to one client; see docs/performance.md
	$(BIN)/python -m pip install --quiet --group compare
	$(BIN)/python -m load_tests.hops

bench-tracing: $(VENV)/.release ## what OpenTelemetry costs a server; PAGE=1 writes docs/performance.md
	$(BIN)/python -m pip install --quiet --group test
	$(BIN)/python -m load_tests.tracing_cost $(if $(PAGE),--page)

bench-compression: $(VENV)/.release $(LOAD) $(PEERS)/target/release/floor load_tests/compare/node_modules/.installed ## what compressed results cost, beside others; PAGE=1 writes docs/performance.md
	$(BIN)/python -m pip install --quiet --group compare
	$(BIN)/python -m load_tests.compression $(if $(PAGE),--page)

dashboard-picture: $(VENV)/.release .redis .promtool ## draw docs/images/dashboard.png: what the queries of the dashboard return; takes 5 minutes
	$(BIN)/python -m pip install --quiet --group test --group compare
	$(BIN)/python -m load_tests.dashboard

bench-documents: $(PEERS)/target/release/floor load_tests/compare/node_modules/.installed | $(BIN)/python ## first documents, beside other executors
	$(BIN)/python -m pip install --quiet --group compare
	$(BIN)/python -m load_tests.first_documents

bench-drain: $(VENV)/.release tests/js/node_modules/.installed ## reconnects in a second while a node drains; CLIENTS=10000 DRAIN=30 CLOSES=500 WAIT=default
	$(BIN)/python -m load_tests.drain $(if $(CLIENTS),--clients $(CLIENTS)) $(if $(DRAIN),--drain $(DRAIN)) \
		$(if $(CLOSES),--closes-per-second $(CLOSES)) $(if $(WAIT),--wait $(WAIT))

compare: $(VENV)/.release $(LOAD) $(PEERS)/target/release/floor load_tests/compare/node_modules/.installed .redis .postgres ## measure beside peers, in one run; QUICK=1 ONLY=fan-out SERVERS=ours,floor WORKERS=2 ROUNDS=3
	$(BIN)/python -m pip install --quiet --group compare
	$(BIN)/python -m load_tests.compare $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
		$(if $(SERVERS),--servers $(SERVERS)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(ROUNDS),--rounds $(ROUNDS))

compare-ci: $(VENV)/.release $(LOAD) $(PEERS)/target/release/floor ## whether ratios to the floor are still as stored, in some minutes; ROUNDS=3, WRITE=1 stores them anew
	$(BIN)/python -m pip install --quiet --group test
	$(BIN)/python -m load_tests.compare.ci $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(WRITE),--write)

$(LOAD): $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.lock
	cargo build --release --locked --package load
	touch $@

$(PEERS)/target/release/floor: $(PEERS)/Cargo.toml $(PEERS)/Cargo.lock $(wildcard $(PEERS)/src/*.rs $(PEERS)/src/bin/*.rs)
	cargo build --release --locked --manifest-path $(PEERS)/Cargo.toml
	touch $@

# libFuzzer needs compiler flags that stable Rust has but does not admit to.
FUZZ_SECONDS ?= 600
fuzz: ## fuzz protocol, tokens, documents, WebSocket frames, HTTP/1.1, headers of proxies, envelopes and the log of PostgreSQL, each for FUZZ_SECONDS (600)
	command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz
	for target in protocol token document frames scan proxy_header envelope postgres_stream postgres_log; do mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

deny: ## licences, sources and known faults of the Rust dependencies
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --workspace --all-features check

image: ## build the image of deploy/docker, by docker
	docker build --file deploy/docker/Dockerfile --tag shop .

image-steps: $(VENV)/.debug .node ## the build steps of that image without docker; IMAGE_PROFILE=dev is quicker
	IMAGE_STEPS=1 $(BIN)/python -m pytest tests/integration/deploy/test_image_steps.py

clean: ## remove what was built
	rm -rf $(VENV) .venvs target dist tests/js/node_modules docs_build/node_modules load_tests/compare/node_modules $(PEERS)/target graphiql/node_modules $(PAGE)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	@echo 'Making $(VENV)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.tools: pyproject.toml | $(BIN)/python
	@echo 'Installing what tests and lints need'
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2'
	$(BIN)/python -m pip install --quiet --group test --group lint
	touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

# What wheels and source distributions are made by.
$(VENV)/.packaging: pyproject.toml | $(BIN)/python
	@echo 'Installing what builds packages'
	$(BIN)/python -m pip install --quiet --group packaging
	touch $@

# On Linux, zig links for an old glibc, or musl, and for other processors.
COMPATIBILITY ?= $(if $(findstring musl,$(TARGET)),musllinux_1_2,manylinux_2_17)
ON_LINUX := $(filter Linux,$(shell uname -s))
WHEEL_ARGS = --locked --compression-level 9 $(if $(ON_LINUX),--zig --compatibility $(COMPATIBILITY),--compatibility pypi) \
	$(if $(TARGET),--target $(TARGET)) $(if $(PYTHON_TAG),--interpreter $(PYTHON_TAG))
# Where the build backend finds maturin. The shell names the folder: in CURDIR of Windows a colon follows the drive.
WITH_TOOLS := PATH="$$(cd $(BIN) && pwd):$$PATH"
NEWEST_OF_DIST := ls -t dist/fraiseql_subs-*.whl | head -n 1
INTO = $(if $(ACTIVE),$(ACTIVE)/$(notdir $(BIN)),$(BIN))/python

# The three builds share one place in the package, so each forgets the others.
$(VENV)/.debug: $(VENV)/.tools $(SOURCES)
	$(BIN)/maturin develop --locked
	rm -f $(VENV)/.release $(VENV)/.demo && touch $@

$(VENV)/.release: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2'
	@echo 'Building the release: some minutes, the first time'
	$(BIN)/maturin develop --locked --release
	rm -f $(VENV)/.debug $(VENV)/.demo && touch $@

$(VENV)/.demo: $(SOURCES) | $(BIN)/python $(VENV)/.demo-tools
	@echo 'Compiling about 400 crates, the first time: 3 to 5 minutes on 2 cores. A bar shows how far it is'
	@$(BIN)/maturin develop --locked --profile demo
	@rm -f $(VENV)/.debug $(VENV)/.release && touch $@

$(VENV)/.demo-tools: pyproject.toml | $(BIN)/python
	@echo 'Installing what builds the demo, and what it is tried with, into $(VENV)'
	@$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2' --group demo
	@touch $@

# For the demo any build of these sources will do: one that is installed, or a wheel that is there.
WHEEL ?= $(shell ls -t target/wheels/fraiseql_subs-*.whl dist/fraiseql_subs-*.whl 2>/dev/null | head -n 1)

.built: | $(BIN)/python
	@for build in demo debug release; do \
		! test -e $(VENV)/.$$build || test -n "$$(find $(SOURCES) -newer $(VENV)/.$$build)" || exit 0; \
	done; \
	if test -n '$(WHEEL)' && test -z "$$(find $(SOURCES) -newer '$(WHEEL)')"; then \
		echo 'Using $(WHEEL)' && rm -f $(VENV)/.release $(VENV)/.debug $(VENV)/.demo && \
		$(BIN)/python -m pip install --quiet --force-reinstall '$(WHEEL)' && touch $(VENV)/.demo; \
	else \
		$(MAKE) --no-print-directory $(VENV)/.demo; \
	fi

# The demo does without where it cannot be made, and says so.
.page:
	@test -e $(PAGE) || { echo 'Making the page for browsers' && $(MAKE) --no-print-directory graphiql; } || \
		echo 'Node.js cannot be had: browsers are not served GraphiQL'

# The tests of rust/python run an interpreter inside themselves, for which they are linked with its
# shared library; Debian has that in a package of its own. Where the interpreter of .venv has none,
# that of the system stands in.
HAS_LIBRARY := import os, sys; from sysconfig import get_config_var as var; \
	sys.exit(not (var("PYTHONFRAMEWORK") or var("Py_ENABLE_SHARED") and os.path.exists(os.path.join(var("LIBDIR"), var("LDLIBRARY")))))

.libpython: | $(BIN)/python
	@$(BIN)/python -c '$(HAS_LIBRARY)' || /usr/bin/python3 -c '$(HAS_LIBRARY)' 2>/dev/null || \
		$(PACKAGES) 'the tests of rust/python' python3 libpython3-dev

.node:
	@command -v npm >/dev/null || $(PACKAGES) 'GraphiQL and the tests of JavaScript clients' nodejs npm

.chromium:
	@command -v chromium >/dev/null || $(PACKAGES) 'the tests of browsers' chromium

# What the blocks of the documents are run with.
.proxies:
	@(command -v nginx && command -v haproxy && command -v caddy && command -v curl && ls /usr/lib/nginx/modules/ngx_stream_module.so) \
		>/dev/null 2>&1 || $(PACKAGES) 'the tests of proxies' nginx-light libnginx-mod-stream haproxy caddy curl

# What sets the clock of one process; without it tests are skipped.
.faketime:
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || \
		$(PACKAGES) 'the tests of clocks' faketime

# Private servers of tests and measurements, and certificates of the tests.
.redis:
	@(command -v redis-server && command -v redis-cli && command -v nats-server && command -v openssl) >/dev/null || \
		$(PACKAGES) 'the tests of Redis, NATS and TLS' redis-server nats-server openssl

.strace:
	@command -v strace >/dev/null || $(PACKAGES) 'counting system calls' strace

# What checks alert rules, the dashboard and metrics; without it tests are skipped.
.promtool:
	@command -v promtool >/dev/null || \
		$(PACKAGES) 'the tests of alerts and metrics' prometheus

# What checks the unit in deploy/systemd; without it tests are skipped.
.systemd:
	@command -v systemd-analyze >/dev/null || \
		$(PACKAGES) 'the tests of units' systemd

# Private servers of tests. The packages start no server where there is none to manage them.
.postgres:
	@(ls /usr/lib/postgresql/*/bin/postgres && command -v psql) >/dev/null 2>&1 || command -v postgres >/dev/null || \
		$(PACKAGES) 'the tests of PostgreSQL' postgresql

%/node_modules/.installed: %/package.json %/package-lock.json | .node
	cd $* && npm ci --silent --no-audit --no-fund
	touch $@

$(PAGE): graphiql/node_modules/.installed $(wildcard graphiql/src/*) graphiql/build.mjs
	cd graphiql && node build.mjs ../$@
