# `make demo` and `make test` set up what they need; see scripts/setup.sh. PYTHON=... chooses the interpreter.
SHELL := /bin/bash
BIN := .venv/bin
export PYTHON
.NOTPARALLEL:
.DEFAULT_GOAL := help

.PHONY: help
help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: ## make a CT-like volume, convert it, open it in napari (without a display: save a picture of that)
	@scripts/setup.sh
	$(BIN)/ct-pyramid demo demo
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
	scripts/on_screen.sh $(BIN)/ct-pyramid view demo/*.ome.zarr --screenshot demo/demo.png
	@echo "No display here: the window is in $(CURDIR)/demo/demo.png"
else
	$(BIN)/ct-pyramid view demo/*.ome.zarr
endif

.PHONY: test
test: ## check everything: lint, types, import contract, tests on every Python found
	@scripts/setup.sh browser
	@scripts/test.sh

.PHONY: check
check: # what can be said without running the code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: lint
lint: ## lint, types, import contract
	@scripts/setup.sh
	@$(MAKE) --no-print-directory check

.PHONY: format
format: ## put the code in order
	@scripts/setup.sh
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: benchmark
benchmark: ## compare with other converters, each in an environment of its own (hours; ARGS=... go to benchmarks/run.py)
	@scripts/setup.sh
	$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: setup
setup: ## only set up
	@scripts/setup.sh browser

.PHONY: clean
clean: ## remove what was made here, environments too
	rm -rf .venv .venv-* benchmarks/out demo dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
