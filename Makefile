# Every target sets up what it needs: a fresh machine with Python 3.11 or later takes one command.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest -q -n auto --dist worksteal

.PHONY: help demo test coverage kills test-slow test-bfloat16 other-python test-other-python test-model test-gpu check docs \
	format bench bench-engine bench-forward bench-multi-draft bench-ensemble bench-specem bench-a-against-a bench-identical fuzz \
	architectures clean
.DEFAULT_GOAL := help

help:  ## What can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# torch comes first and at its exact version: left to itself, pip may bring gigabytes of CUDA libraries.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("specdec needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)  ## Fetch SmolLM2-135M, let it write with SpecExec, and time each method
	$(BIN)/specdec demo

test: $(READY)  ## The test suite: on the CPU, without a network
	$(PYTEST)

test-slow: $(READY)  ## The tests that compile, package, ask a hub of their own, or plant many bugs
	$(PYTEST) -m 'slow and not gpu and not model'

# Processors differ in what `--dtype auto` is, and so in what fails: this part runs as on one that computes bfloat16.
test-bfloat16: $(READY)  ## The tests of what loads models, as on a processor with bfloat16
	SPECDEC_DTYPE=bfloat16 $(PYTEST) tests/cli tests/distillation tests/engine tests/models

# The package is for both: the one that .venv was not made with, in an environment of its own.
OTHER := .venv-other
# Rooms whose tests are quick; what the others compute does not depend on the interpreter.
QUICK := $(filter-out tests/models/ tests/verification/ tests/audit/ tests/ensemble/ tests/docs/,$(wildcard tests/*/)) \
	$(wildcard tests/test_*.py)

other-python: $(READY)
	@other=$$($(BIN)/python tools/other_python.py); \
	if [ "$$other" ]; then $(MAKE) $(OTHER)/.ready VENV=$(OTHER) PYTHON="$$other"; \
	else echo "The other of Python 3.11 and 3.12 is not here."; fi

test-other-python: other-python  ## The quick tests under the other of Python 3.11 and 3.12, where that is installed
	@if [ -e $(OTHER)/.ready ]; then $(OTHER)/bin/python -m pytest -q -n auto --dist worksteal $(QUICK); \
	else echo "The suite ran under $$($(BIN)/python -V) only."; fi

test-model: $(READY)  ## The tests on the real default model, fetched if need be
	$(BIN)/specdec models pull smollm2-135m
	$(BIN)/python -m pytest -q -m model

test-gpu: $(READY)  ## The tests that need a CUDA device
	$(BIN)/python -m pytest -q -m gpu

# Which modules no test reaches, by name: it fails if there is one that is not known for it. Random kills are
# left out: they come by the time that a run takes, and what they kill leaves no data.
coverage: $(READY)  ## The test suite, slow tests included, and what of the package no test reaches
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -q -n auto --dist worksteal -m 'not gpu and not model' \
		--ignore tests/test_kills.py
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python tests/unreached.py

# Parameters: make kills KILLS=1000
KILLS ?= 200
kills: $(READY)  ## Random kills of every command that writes, and what the next run makes of it: 0 lost, 0 doubled
	SPECDEC_KILLS=$(KILLS) $(BIN)/python -m pytest -q -n auto -m slow tests/test_kills.py

check: $(READY)  ## Lint, format and types: what must pass before a commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)  ## Write docs/cli.md from the commands as they are
	$(BIN)/python tools/generate_cli_docs.py

format: $(READY)  ## Put imports and layout in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A killed run goes on where it was; `make bench NAME=another` measures anew, `specdec compare` pairs two logs.
# `make bench DRAFT=self:int4` takes another draft than the target's default one.
NAME ?= bench
DRAFT ?=
ALL_METHODS := ngram,sps,specexec,specinfer,rrsw,sequoia,spechub,kseq,topk

bench: $(READY)  ## All methods on the default target over the first prompts: speed-ups, SpecExec's columns
	$(BIN)/specdec models pull smollm2-135m
	$(BIN)/specdec bench --methods $(ALL_METHODS) $(if $(DRAFT),--draft $(DRAFT)) --gamma 3 --compile --n-tests 12 \
		--peer transformers --exp-name $(NAME) --detail

bench-a-against-a: $(READY)  ## How often the interval of a configuration against itself holds 1.00: 19 of 20 are due
	$(BIN)/specdec models pull smollm2-135m
	$(BIN)/python benchmarks/a_against_a.py

bench-engine: $(READY)  ## The engine beside transformers.generate, its overhead, and the cost of a commit
	$(BIN)/specdec models pull smollm2-135m
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/engine.py

bench-identical: $(READY)  ## Texts with and without speculation, token for token, in each number format
	$(BIN)/specdec models pull smollm2-135m
	$(BIN)/python benchmarks/identical.py

bench-forward: $(READY)  ## Each way to compute a pass, beside the memory's limit and transformers.generate
	$(BIN)/specdec models pull smollm2-135m
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/forward.py

bench-multi-draft: $(READY)  ## Multi-draft methods on equal trees: tokens per pass, and the share of the bound
	$(BIN)/specdec models pull smollm2-135m
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/multi_draft.py

bench-specem: $(READY)  ## SpecEM's rounds per second with the caches kept and without
	$(BIN)/specdec models pull smollm2-135m
	$(BIN)/specdec models pull gemma3-270m
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/specem_cache.py

bench-ensemble: $(READY)  ## Ensembles: each way to sample a law beside asking every model for every token
	$(BIN)/specdec models pull smollm2-135m
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/ensemble_speed.py

# `make fuzz SEED=1 CASE=37` repeats one case, and shows it.
SEED ?= 0
CASE ?=

fuzz: $(READY)  ## The program on 1,500 damaged inputs and odd flags: clear errors, right exit codes, within bounds
	$(BIN)/python benchmarks/fuzz.py --seed $(SEED) $(if $(CASE),--case $(CASE))

architectures: $(READY)  ## Every causal architecture of transformers on a tiny model: right, or refused in one line?
	$(BIN)/python benchmarks/architectures.py --output architectures.md

clean:  ## Remove the virtual environment and caches of tools
	rm -rf $(VENV) .venv-other .pytest_cache .mypy_cache .ruff_cache dist build
