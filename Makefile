# `make run`: the main job on the embedded default. `make test`: lint and every test, under an hour.
# `make quick`: the tests of single parts. `make dag`: those that run the whole DAG, kill it and
# plant faults in it. Each sets up .venv by itself; a second time it starts at once.
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
QUICK := pytest -m "not dag" -n 2 --no-loadscope-reorder
DAG := pytest -m dag -n 2 --no-loadscope-reorder

.PHONY: run test dag quick lint clean

run: $(STAMP)
	snakemake

test: $(STAMP) lint
	$(QUICK)
	$(DAG)

quick: $(STAMP)
	$(QUICK)

dag: $(STAMP)
	$(DAG)

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
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
