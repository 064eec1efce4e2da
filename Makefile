# `make demo` and `make test` install what they need (scripts/setup.sh). PYTHON=... chooses the interpreter.
SHELL := /bin/bash
BIN := .venv/bin
export PYTHON
.NOTPARALLEL:
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: ## make a CT-like volume, convert it, open it in napari (without a display: save a screenshot)
	@scripts/demo.sh

.PHONY: test
test: ## run all checks: lint, types, import rules, tests on every Python found
	@scripts/setup.sh browser strace
	@scripts/test.sh

.PHONY: check
check: # the checks that do not run the code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: lint
lint: ## check lint, types, import rules
	@scripts/setup.sh
	@$(MAKE) --no-print-directory check

.PHONY: format
format: ## format the code
	@scripts/setup.sh
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: docs
docs: ## build the documentation into site/
	@scripts/setup.sh
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation is $(CURDIR)/site/index.html"

.PHONY: docs-serve
docs-serve: ## show the documentation on http://127.0.0.1:8000, as it is written
	@scripts/setup.sh
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.PHONY: benchmark
benchmark: ## compare with other converters (takes hours; ARGS=... are for benchmarks/run.py)
	@scripts/setup.sh
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --group benchmark
	$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: setup
setup: ## install what the other targets need
	@scripts/setup.sh browser strace

.PHONY: clean
clean: ## remove everything that these targets made, with the environments
	rm -rf .venv .venv-* benchmarks/out demo dist site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
