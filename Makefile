# `make run`: the default run. `make test`: `make quick` (lint, types, unit tests) and `make dag`
# (every experiment at a tiny size, killed, resumed, and with planted faults). `make accept`: the
# default run and the digits run to GO. `make miniature`: train the released weights from scratch.
# Each sets up .venv by itself; a second time it starts at once.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export PYTHONUNBUFFERED := 1
# Many images of containers set it; a run of some twenty processes would compile torch's, sympy's
# and transformers' source in each of them.
export PYTHONDONTWRITEBYTECODE :=
export TOKENIZERS_PARALLELISM := false
# Two workers of the tests, or two jobs, share two cores: see Snakefile.
export OPENBLAS_NUM_THREADS := 1
STAMP := $(VENV)/.installed
# What stands on one trained run goes to one worker, the longest first (tests/conftest.py). So do the
# tests of each DAG: by itself it leaves a core idle wherever all waits for one rule.
UNIT := pytest -n 2 --no-loadscope-reorder
DAG := pytest -m dag -n 2 --no-loadscope-reorder
ACCEPT := pytest -m accept -n 0

.PHONY: run test dag quick accept miniature lint clean

run: $(STAMP)
	snakemake

test: quick dag

dag: $(STAMP)
	$(DAG)

quick: $(STAMP) lint
	$(UNIT)

accept: $(STAMP)
	$(ACCEPT)

miniature: $(STAMP)
	safe train-miniature --config config/config.yaml
	safe train-miniature --config config/av_digits.yaml

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint

clean:
	rm -rf $(VENV)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SAFE needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
