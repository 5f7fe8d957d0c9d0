# One entry to everything; each target sets up what it needs in .venv (Python >= 3.11, Rust, make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OLDEST := .venv-oldest
OLDEST_INSTALLED := $(OLDEST)/.installed
SOURCES := pyproject.toml constraints.txt Cargo.toml Cargo.lock rust/Cargo.toml $(wildcard rust/src/*.rs rust/src/*/*.rs)

# Processes that run tests at once; each computes on one thread. Files run in the order in which
# tests/conftest.py puts them: by themselves, files of few tests, which are the long ones, run last.
WORKERS ?= auto
PYTEST_OPTIONS := --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder
# Tests write thousands of small files, for which memory is faster than a disk where it has 4 GB free.
MEMORY := $(shell test -w /dev/shm && df -Pk /dev/shm | awk 'NR == 2 && $$4 > 4e6 { print "/dev/shm" }')
# Without bytecode, every worker would compile all tests, and every process all of the package.
PYTEST_VARIABLES := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(if $(MEMORY),PYTEST_DEBUG_TEMPROOT=$(MEMORY))
PYTEST := $(PYTEST_VARIABLES) $(BIN)/python -m pytest $(PYTEST_OPTIONS)
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
MAX_FILE_LINES := 400
# Layers that import torch.
TORCH_LAYERS := batch kernels model run cost published evaluation training dendrites probing api cuda

# Options of maturin for `make wheel`: the release workflow builds for old releases of Linux.
WHEEL_OPTIONS ?=

# Seconds that `bench-gpu` may take, and a folder of wheels of the package where it is not installed.
BUDGET ?= 1800
WHEELS ?=

.PHONY: help demo test test-fast test-oldest test-gpu test-cluster test-wheel check sizes docs wheel format bench bench-gpu clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11"; exit 1; }
	@command -v cargo >/dev/null || { echo "error: cargo (Rust) was not found"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Packages of its own come first, and those of .venv after them.
$(OLDEST_INSTALLED): constraints-oldest.txt $(INSTALLED)
	test -x $(OLDEST)/bin/python || $(BIN)/python -m venv --without-pip $(OLDEST)
	$(BIN)/python -m pip --python $(OLDEST)/bin/python install --quiet --disable-pip-version-check --no-deps --requirement constraints-oldest.txt
	echo "import site; site.addsitedir('$$($(BIN)/python $(PURELIB))')" > "$$($(OLDEST)/bin/python $(PURELIB))/venv.pth"
	@touch $@

demo: $(INSTALLED) ## Simulate a small mouse, train on it, score every regime, print and draw the result
	$(BIN)/python examples/demo.py

test: $(INSTALLED) ## Run the Rust and the Python tests, docstring examples among them
	cargo test --quiet --locked
	$(PYTEST) -m 'not cluster and not wheel'

test-fast: $(INSTALLED) ## Run the unit tests: nothing that trains a model or starts processes
	cargo test --quiet --locked
	$(PYTEST) -m 'not slow and not training'

test-oldest: $(OLDEST_INSTALLED) ## Run the unit tests of what computes with torch, with its oldest supported version
	$(PYTEST_VARIABLES) $(OLDEST)/bin/python -m pytest $(PYTEST_OPTIONS) -k 'compile' tests/kernels
	$(PYTEST_VARIABLES) $(OLDEST)/bin/python -m pytest $(PYTEST_OPTIONS) -m 'not slow and not training' $(addprefix tests/,$(TORCH_LAYERS))

test-gpu: $(INSTALLED) ## Run the tests that need a CUDA device: every kernel, a step of each size
	$(BIN)/python -m pytest tests/cuda -m gpu

test-cluster: $(INSTALLED) ## Run the tests on clusters that they start here: a real Slurm, two simulated nodes of torchrun
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster

test-wheel: wheel ## Install the wheel where no Rust is and run it from simulate to eval; build the source distribution
	$(BIN)/python -m pytest -m wheel tests/test_wheel.py

check: $(INSTALLED) sizes docs ## Format, lint, types, stubs, the import contract, file sizes and the documentation
	cargo fmt --check
	cargo clippy --quiet --locked --all-targets --all-features -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest omnimouse_cli._native
	$(BIN)/lint-imports

sizes: ## Refuse files over 400 lines
	@find omnimouse_cli rust/src tests examples benchmarks \( -name '*.py' -o -name '*.rs' \) -exec wc -l {} + | awk \
	  '$$2 != "total" && $$1 > $(MAX_FILE_LINES) { print "error: " $$2 " has " $$1 " lines; a file has at most $(MAX_FILE_LINES)"; bad = 1 } END { exit bad }'

docs: $(INSTALLED) ## Build the documentation site in site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict

wheel: $(INSTALLED) ## Build a wheel and the source distribution into dist/
	rm -rf dist
	$(BIN)/maturin sdist --out dist
	$(BIN)/maturin build --quiet --release --out dist $(WHEEL_OPTIONS)

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

bench-gpu: ## Check and measure a GPU, by any PYTHON with torch and Triton (BUDGET=540 WHEELS=folder)
	$(PYTHON) benchmarks/gpu.py --budget $(BUDGET) $(if $(WHEELS),--wheels $(WHEELS))

clean: ## Remove what was built
	rm -rf $(VENV) $(OLDEST) target demo dist site
