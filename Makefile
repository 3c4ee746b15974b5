# make demo    set up and run the demonstration; needs nothing but Python 3.11 or newer
# make test    set up, lint, type-check and run every test that this machine and user can run
# make check   lint, types and import contracts alone
# make fuzz    mutate object files a million times
# make fuzz-engines  run random programs on every engine and in the kernel, and compare; shows a small program that differs
# make faults  seed faults into a copy of the embedded kernel; each must make its tests fail
# make bench   compare with peers and limits
# make support  rebuild the native images and the bitcode of the support library with the pinned clang
# make wheel   build the wheel into dist/
# make arm     run the demonstration and a native image with ARM64's Python under qemu-user (Debian)
# make wine    run the demonstration and the pure tests with Windows' Python under Wine (Linux on x86-64; needs wine)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLATFORMS := linux win32 darwin
# What the tests compare against and the network tests drive. Installed by root on Debian; without them tests skip.
DEBIAN_TOOLS := clang-19 llvm-19 lld-19 qemu-user libbpf-dev iproute2 bpftool
# What building the native limit, the bytecode and the peers of the benchmark takes, besides cargo.
BENCH_TOOLS := clang-19 cmake gcc libclang1-19
FUZZ_CASES ?= 1000000
FUZZ_PROGRAMS ?= 20000

.PHONY: demo test check lint types contracts fuzz fuzz-engines faults bench support wheel arm wine tools clean

demo: $(VENV)/.installed
	@$(BIN)/ebpf demo

test: tools check
	$(BIN)/pytest $(PYTEST_ARGS)

check: lint types contracts

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	@set -e; for platform in $(PLATFORMS); do \
	  echo "mypy --strict --platform $$platform"; \
	  $(BIN)/mypy --platform $$platform --cache-dir .mypy_cache/$$platform; \
	done

contracts: $(VENV)/.installed-dev
	$(BIN)/lint-imports

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz.fuzz_elf $(FUZZ_CASES)

fuzz-engines: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz.fuzz_engines $(FUZZ_PROGRAMS)

faults: $(VENV)/.installed-dev
	$(BIN)/python -m tests.faults

bench: $(VENV)/.installed-dev
	@sh .ci/tools $(BENCH_TOOLS)
	$(BIN)/python -m benchmarks

support: $(VENV)/.installed-dev
	$(BIN)/python support/build.py

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel

arm: $(VENV)/.installed-dev
	@bash .ci/arm $(PYTEST_ARGS)

wine: $(VENV)/.installed-dev
	@bash .ci/wine $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/pip:
	@PYTHON="$(PYTHON)" sh .ci/venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/pip pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/pip pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

tools: $(VENV)/.installed-dev
	@sh .ci/tools $(DEBIAN_TOOLS)
