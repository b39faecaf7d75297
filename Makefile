# make run        the default run
# make test       `make quick` and `make dag`
# make quick      lint, types, unit tests
# make dag        every experiment at a tiny size, killed, resumed, and with planted faults
# make accept     the default run and the digits run to GO
# make miniature  train the released weights from scratch
# Each target creates .venv on first use.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export PYTHONUNBUFFERED := 1
# Many container images set this variable. Without bytecode, each of a run's twenty or so processes
# would compile torch, sympy and transformers.
export PYTHONDONTWRITEBYTECODE :=
export TOKENIZERS_PARALLELISM := false
# Two test workers or two jobs share two cores; see Snakefile.
export OPENBLAS_NUM_THREADS := 1
STAMP := $(VENV)/.installed
# Tests that share a trained run go to one worker, the longest groups first (tests/conftest.py). The
# same holds for the tests of each DAG, since a single DAG leaves a core idle while it waits for one
# rule.
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
