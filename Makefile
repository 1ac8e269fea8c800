# `make demo` and `make test` work in a bare clone with python3.11 and make.
PYTHON ?= python3.11
VENV ?= .venv
CORES := $(shell getconf _NPROCESSORS_ONLN)
PYTEST_FLAGS ?=

# The answers `accelerate config` would ask for, so that it prints no notice. A GPU is used where
# there is one. Without the threads flag, accelerate gives PyTorch a single CPU thread.
LAUNCH := $(VENV)/bin/accelerate launch --quiet --num_processes 1 --num_machines 1 \
	--mixed_precision no --dynamo_backend no --num_cpu_threads_per_process $(CORES)

.PHONY: help demo test check lint types clean
.DEFAULT_GOAL := help

help: ## these lines
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed ## instruction-tune the embedded model, offline, and score it
	$(LAUNCH) -m mmtune.train configs/lima_text.yaml

test: $(VENV)/.installed ## the whole CPU test suite
	$(VENV)/bin/python -m pytest $(PYTEST_FLAGS)

check: lint types test ## lint, types and tests

lint: $(VENV)/.installed ## ruff: rules and layout
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.installed ## mypy, strict
	$(VENV)/bin/mypy

clean: ## forget the environment, caches and builds (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
