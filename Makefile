# `make help` lists the targets, from the comments behind them. `make reproduce` and `make test` need
# only git, make and Python 3.11 or newer: they install what is missing, uv included.

.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
OWN_UV := .cache/uv/bin/uv
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(OWN_UV))

# A file of tests runs on one core with one thread. `ARGS="-n 0"` runs all in one process. Of the slow
# ones the longest begin first (tests/conftest.py).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

# Stages say `python`, and mean the one of the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
# Every stage and most tests are processes of their own: compiled once, not in each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install doctor smoke notebook lint format test test-slow test-all snapshot push backup restore reproduce readme reliability lock

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Install the pinned environment into .venv

reproduce: $(STAMP) ## Run the whole study (set-up included), with each stage's time
	@$(BIN)/backtracking reproduce $(ARGS)

test: $(STAMP) ## Run the tests (set-up included), without those marked slow, on every core
	@$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(STAMP) ## Run the tests marked slow
	@$(PYTEST) --no-loadscope-reorder --durations 25 -m slow $(ARGS)

test-all: $(STAMP) ## Run all tests
	@$(PYTEST) $(ARGS)

doctor: $(STAMP) ## Check this machine: fact, verdict, cure
	@$(BIN)/backtracking doctor $(ARGS)

smoke: $(STAMP) ## Load and hook a tiny model; compare the GPU, if any, with the CPU
	@$(BIN)/backtracking smoke

notebook: $(STAMP) ## Start Jupyter in notebooks/
	@cd notebooks && ../$(BIN)/jupyter lab $(ARGS)

lint: $(STAMP) ## Check style and types (ruff, pyright)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: $(STAMP) ## Format the code (ruff)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

snapshot: | $(BIN)/backtracking ## Record the state of this checkout in runs/
	@$(BIN)/backtracking snapshot $(ARGS)

push: | $(BIN)/backtracking ## Commit and push code to git and data to the DVC remote
	@$(BIN)/backtracking push $(ARGS)

backup: | $(BIN)/backtracking ## Save code, data and unfinished work elsewhere, and prove it
	@$(BIN)/backtracking backup $(ARGS)

restore: $(STAMP) ## On a new machine: bring back what was saved, say what is left to run
	@$(BIN)/backtracking restore $(ARGS)

readme: $(STAMP) ## Put the committed results into the README and the docs
	@$(BIN)/python -m backtracking.report.readme $(ARGS)

reliability: $(STAMP) ## Break backups in every way we know, and write docs/reliability.md
	@rm -f logs/kinds.json
	@$(BIN)/pytest -m slow tests/lifeboat/test_faults.py
	@$(BIN)/pytest -m kind
	@$(BIN)/python -m backtracking.report.reliability

lock: $(UV) ## Pin the newest allowed versions in requirements.lock
	@$(UV) lock
	@$(UV) export --quiet --format requirements.txt --no-emit-project --no-header -o requirements.lock

# An environment that is there is enough to save work; it is not brought up to date first.
$(BIN)/backtracking:
	@$(MAKE) --no-print-directory install

$(STAMP): requirements.lock pyproject.toml | $(UV)
	@$(BIN)/python --version >/dev/null 2>&1 || { rm -rf .venv && $(UV) venv --quiet .venv; }
	@echo "Installing the pinned environment into .venv (torch with CUDA: a few GB on the first time)"
	@$(UV) pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(OWN_UV):
	@echo "uv is missing: installing it into .cache/uv"
	@{ $(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet uv; } || \
	{ rm -rf .cache/uv && $(PYTHON) -m pip install --quiet --target .cache/uv uv; } || \
	{ rm -rf .cache/uv; echo "Needs uv, or $(PYTHON) >= 3.11 with venv or pip."; exit 1; }
