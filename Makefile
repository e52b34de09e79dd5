# make demo: see it work.  make test: what has to be green before a commit.

PYTHON ?= python3
# Most tests wait for a daemon, so there are more workers than processors.
WORKERS ?= 4
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made

.PHONY: help demo check test soak bench docs clean

help:
	@echo "make demo   a scratch repository, a plan of nine tasks, a real gate"
	@echo "make check  lint, formatting, types, architecture"
	@echo "make test   check and the quick tests"
	@echo "make soak   the slow tests at full length"
	@echo "make bench  measure"
	@echo "make docs   write the generated pages of docs/"
	@echo "make clean  remove everything that make made"

demo: $(STAMP)
	@$(BIN)/mo demo

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q --durations=0 --durations-min=5 tests/test_architecture.py

test: check
	@$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist worksteal --ignore=tests/test_architecture.py

soak: $(STAMP)
	@MO_SOAK=1 $(BIN)/python -m pytest -m slow

bench: $(STAMP)
	@$(BIN)/python -m bench

docs: $(STAMP)
	@$(BIN)/python docs/generate.py

clean:
	@rm -rf $(VENV) .ci-cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mo needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@git --version >/dev/null 2>&1 || { echo "mo needs git 2.38 or newer on PATH"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "this Python can't make virtual environments: install its venv package (python3-venv)"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)
