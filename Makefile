# Copyright (c) ugate contributors.
# See LICENSE for details.

# What a machine needs: python3 (3.10 or newer) with its venv module, and make. All else goes to .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517
DECLARED := setup.py pyproject.toml

ARGS ?=
TESTS ?=
JOBS ?= 2
LIMIT ?= 900

# Two installs into one environment would trip over each other.
.NOTPARALLEL:
.PHONY: help run test bench soak docs lint types packaging develop clean

help:
	@echo "make run        the gateway; make run ARGS='--help' says what it takes"
	@echo "make test       all tests; make test TESTS=ugate.test.test_layers for some, JOBS=1 for one process"
	@echo "make bench      side by side with other proxies; ARGS go to it"
	@echo "make soak       many tenants, reloads, limits and clients of SSH under load; ARGS go to it"
	@echo "make docs       doc/_build/html"
	@echo "make lint       style"
	@echo "make types      types"
	@echo "make packaging  build, install elsewhere, look"
	@echo "make develop    .venv with all that the above needs, but for the bench's peers"
	@echo "make clean      remove what was made here, .venv included"

run: $(VENV)/.core
	@$(BIN)/twistd --nodaemon --pidfile= ugate $(ARGS)

test: $(VENV)/.test
	@$(BIN)/python .ci/summary.py --jobs $(JOBS) --limit $(LIMIT) $(TESTS)

bench: $(VENV)/.bench
	@$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.core
	@$(BIN)/python -m bench.soak $(ARGS)

docs: $(VENV)/.dev
	@$(BIN)/python -m sphinx -q -E -W --keep-going -b html doc doc/_build/html
	@echo "doc/_build/html/index.html"

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

packaging: $(VENV)/.dev
	@rm -rf build/packaging
	@$(BIN)/python .ci/package.py build/packaging

develop: $(VENV)/.dev

clean:
	rm -rf $(VENV) .tox build dist *.egg-info doc/_build _trial_temp* .hypothesis
	rm -rf .mypy_cache .ruff_cache .coverage .coverage.* twistd.pid twistd.log*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name dropin.cache -delete

# The installs are editable: what is changed here runs the next time, with no step between.

$(VENV)/.made:
	@test -w . || { echo "$(CURDIR) is not yours to write: make needs a checkout of your own" >&2; exit 1; }
	@echo "Making $(VENV); this happens once."
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	    echo "$(PYTHON) could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; }
	@touch $@

$(VENV)/.core: $(VENV)/.made $(DECLARED)
	@echo "Installing ugate into $(VENV)."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.made $(DECLARED)
	@echo "Installing ugate and what its tests need into $(VENV)."
	@$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: $(VENV)/.made $(DECLARED)
	@echo "Installing ugate and its development tools into $(VENV)."
	@$(PIP) --editable '.[test,interop,dev]'
	@touch $@ $(VENV)/.test $(VENV)/.core

$(VENV)/.bench: $(VENV)/.made $(DECLARED)
	@echo "Installing ugate and the proxies to compare it with into $(VENV)."
	@$(PIP) --editable '.[bench]'
	@touch $@ $(VENV)/.core
