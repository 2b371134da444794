# One command each. `make demo` and `make test` need nothing but Python 3.11 or newer and a C++ compiler.

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
JOBS ?= auto
PLUGINS := plugins/acp plugins/dask plugins/gpu_python

.PHONY: help install develop demo test check slow mutants lint style walls format snapshots site wheel clean

help:  ## Show the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

install: $(VENV)/.installed  ## Install avo-tui in a virtual environment (.venv)

develop: $(VENV)/.developed  ## Install it with plugins/, the tools for development and the CUDA packages

demo: install  ## Open the app on an evolution of a CPU attention kernel
	@$(BIN)/avo demo $(ARGS)

# Types and walls use one processor for more than a minute: they run beside the tests.
test: develop style  ## Run every check, and the tests without the slow ones
	@$(MAKE) --no-print-directory -j 2 walls check

# Without make's own variables: a compiler that tests start would look for the jobs of `-j 2`.
check: PICK = not slow
slow: PICK = slow
check: develop  ## Run the tests, without the slow ones; one that fails by chance is told as flaky
slow: develop  ## Run the slow tests: pages of the docs, packages, long runs; before a release
check slow:
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(BIN)/python -m pytest -m "$(PICK)" -n $(JOBS) --dist worksteal --confirm-failures $(ARGS)

mutants: SEED = 7
mutants: N = 15
mutants: develop  ## Put mistakes into ROOM=avo_tui/... one by one, and tell which the tests notice [SEED=7] [N=15]
	$(BIN)/python benchmarks/mutants.py $(ROOM) --seed $(SEED) -n $(N) $(ARGS)

lint: style walls  ## ruff, mypy and the walls between the packages

style: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

walls: develop
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .

format: develop  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

snapshots: develop  ## Draw the screens anew that the tests compare with; look at them before committing
	AVO_UPDATE_SNAPSHOTS=1 $(BIN)/python -m pytest -q tests/ui

site: install  ## Build the documentation as a site: build/site/index.html
	@$(PIP) install -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q
	@echo build/site/index.html

wheel: $(BIN)/python  ## Build the wheel, of the files that git tracks, and those of plugins/
	@$(PIP) wheel --no-deps -w dist . $(PLUGINS:%=./%)
	@ls dist/avo_tui*.whl

clean:  ## Remove the virtual environment and what was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "avo-tui needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python could not make a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing avo-tui in $(VENV) (torch is the large part) ..."
	@$(PIP) install -c constraints.txt -e .
	@touch $@

# In one pass, which resolves once; compiled afterwards, which uses every processor.
$(VENV)/.developed: $(VENV)/bin/python pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
	@echo "Installing avo-tui with the tools for development in $(VENV) (torch is the large part) ..."
	@$(PIP) install --no-compile -c constraints.txt -e '.[dev,cuda]' $(PLUGINS:%=-e ./%)
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # some packages ship templates
	@touch $(VENV)/.installed $@
