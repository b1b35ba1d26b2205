# Everything a newcomer runs. It needs python3, make and a package index; the rest is installed
# into .venv, again whenever pyproject.toml has changed.
#
#     make derive          make PYTHON=python3.12 test          make test PYTEST_ARGS="-k chart"

PYTHON ?= python3
PYTEST_ARGS ?=
# Tests run in as many processes as there are cores; WORKERS=0 runs them in one, for a debugger.
WORKERS ?= auto

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
# Neighbours share derivations, so each worker starts with one stretch and takes from the other's
# end when it is done; BLAS gets one thread in each.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SILENT:
.PHONY: help venv derive lint test test-nosimd certify examples slow bench fuzz wheel clean

help: ## say what there is
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

derive: $(VENV)/.installed ## derive, generate, fit real data, typeset and certify everything
	$(BIN)/relrep demo

lint: $(VENV)/.installed-dev ## ruff, mypy and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint ## lint, then the tests
	$(PYTEST) $(PYTEST_ARGS)

# What NumPy's compiled loops of this processor are, NumPy says; none of them is used here.
test-nosimd: $(VENV)/.installed-dev ## the tests with NumPy's SIMD features disabled
	found=$$($(BIN)/python -c 'import numpy; \
	    print(*numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", []))') && \
	echo "disabled: $${found:-none was found}" && \
	NPY_DISABLE_CPU_FEATURES="$$found" $(PYTEST) $(PYTEST_ARGS)

certify: $(VENV)/.installed-dev ## every function of generated/ against the oracle, hard points in
	$(BIN)/relrep verify --full $(basename $(notdir $(wildcard derivations/*.py)))

examples: $(VENV)/.installed-dev ## the same for the requests of examples/; takes long
	$(BIN)/relrep verify --full $(wildcard examples/*.toml)

slow: $(VENV)/.installed-dev ## the slow tests: the matrix of charts, K = 8, killed writers
	$(PYTEST) -m slow $(PYTEST_ARGS)

bench: $(VENV)/.installed-bench ## ratios of speed, measured side by side
	$(BIN)/python -m pytest -s benchmarks -o python_files="bench_*.py" $(PYTEST_ARGS)

fuzz: $(VENV)/.installed-dev ## a million hostile texts for the parser; RELREP_FUZZ_COUNT says how many
	$(BIN)/python benchmarks/fuzz.py

# A stale build/ would leak deleted modules into the wheel. The wheel is built from the unpacked
# source distribution, so that both are known to be whole.
wheel: $(VENV)/.installed-dev ## the source distribution and the wheel, in dist/
	rm -rf build dist
	log=$$($(BIN)/python -m build --outdir dist . 2>&1) || { echo "$$log" >&2; exit 1; }
	rm -rf build
	ls dist/*

clean: ## remove what was built; .venv stays
	rm -rf build dist out *.egg-info .benchmarks .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------------------ the environment

venv:
	$(BIN)/python -m pip --version > /dev/null 2>&1 || { \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	        echo "relrep_sym needs Python 3.11 or newer; '$(PYTHON)' is '$$($(PYTHON) --version 2>&1)'." \
	             "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	    echo "making $(VENV) and installing into it, once"; \
	    $(PYTHON) -m venv --clear $(VENV); }

$(VENV)/.installed: pyproject.toml | venv
	$(PIP) install --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | venv
	$(PIP) install --editable '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml | venv
	$(PIP) install --editable '.[dev,bench]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-dev
