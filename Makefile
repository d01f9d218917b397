# Every target works on a fresh machine with nothing else done, and without activating anything.
#
#   make run       the quick benchmark: installs if needed, then says where tables, plots and report are
#   make test      the tests; a line at the end says which are left out
#   make test-all  the slow ones too: whole samples, real processes that are killed, pages of 3,000 runs
#   make lint      ruff and mypy
#   make bench     micro-timings: the pytest-benchmark suite, then throughput against plain torch loops
#   make reference computes the reference results again (results/reference, results/reference_recipe)
#   make install   only the environment (about 6 GB with torch's CUDA libraries)
#
# PYTHON chooses the interpreter of a new environment, VENV where it is, ARGS what is handed on:
#   make test PYTHON=python3.13 VENV=.venv-3.13 ARGS="-k ledger"

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: help install run test test-all lint bench reference

help:
	@sed -n '/^#   /s/^#   //p' Makefile

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "optbench needs Python 3.11 or newer; choose one with PYTHON=…")'
	@$(PYTHON) -c 'import ensurepip' || { echo "this Python cannot make environments; install python3-venv" >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV), which takes a few minutes and about 6 GB"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,zoo]'
	@touch $@

run: $(INSTALLED)
	$(PY) -m optbench run $(ARGS)

# One process a core, the tests of a file together: they share what they make. In the order of their names, as those with
# the fewest tests, which xdist would keep for the end, are among the longest.
# After a crash xdist would hand out work that is done already, and wait for it for ever: without a replacement for the
# process the rest is given up, and named.
PARALLEL := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --max-worker-restart=0
test: $(INSTALLED)
	$(PY) -m pytest $(PARALLEL) $(ARGS)

test-all: $(INSTALLED)
	$(PY) -m pytest $(PARALLEL) -m "" -o faulthandler_timeout=3700 $(ARGS)

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

reference: $(INSTALLED)
	$(PY) -m optbench reference make $(ARGS)
	$(PY) -m optbench reference make --preset recipe $(ARGS)

bench: $(INSTALLED)
	$(PY) -m pytest tests/timing --benchmark-only
	$(PY) -m optbench bench $(ARGS)
