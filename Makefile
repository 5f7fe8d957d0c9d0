# One entry to everything; each target sets up what it needs in .venv (Python >= 3.11, Rust, make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := pyproject.toml constraints.txt Cargo.toml Cargo.lock rust/Cargo.toml $(wildcard rust/src/*.rs rust/src/*/*.rs)

.PHONY: help demo test test-gpu check format bench clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11"; exit 1; }
	@command -v cargo >/dev/null || { echo "error: cargo (Rust) was not found"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Simulate a small mouse, train on it, score every regime, print and draw the result
	$(BIN)/python examples/demo.py

test: $(INSTALLED) ## Run the Rust and the Python tests
	cargo test --quiet --locked
	$(BIN)/python -m pytest

test-gpu: $(INSTALLED) ## Run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

check: $(INSTALLED) ## Format, lint, types, stubs and the import contract
	cargo fmt --check
	cargo clippy --quiet --locked --all-targets --all-features -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest omnimouse_cli._native
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format everything
	cargo fmt
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(INSTALLED) ## Measure loader, training step, dendritic units and preprocess, with ratios in one run
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/dendrite.py
	$(BIN)/python benchmarks/dendrite_roofline.py
	$(BIN)/python benchmarks/preprocess.py

clean: ## Remove what was built
	rm -rf $(VENV) target demo
