# Every target sets itself up: .venv is made with the standard library's venv and filled once; after that no network is needed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow coverage check format lint types bench record schemas clean help

help:            ## what there is to make
	@grep -E '^[a-z-]+: .*##' Makefile | sed 's/:.*##/\t/'

demo: $(READY)   ## where MobileNet's time goes on the papers' machine
	$(BIN)/mnsim analyze arch/mobilenet_cifar.yaml

# Coverage doubles what a test costs, and its floor holds for both suites together: it is measured by `make coverage` (and .ci/run) alone.
test: $(READY)   ## the tests that are not slow
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: $(READY)   ## the slow ones: kills, clusters, every mutant
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

coverage: $(READY)   ## all tests, with coverage and its floor
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term

check: format lint types test   ## all that a change must pass

format: $(READY)   ## rewrite the code in its format
	$(BIN)/ruff format mnsim tests benchmarks

lint: $(READY)   ## the linters (imports point down, too), and that the format is kept
	$(BIN)/ruff check mnsim tests benchmarks
	$(BIN)/ruff format --check mnsim tests benchmarks
	$(BIN)/lint-imports --no-logo

types: $(READY)   ## the types, strictly
	$(BIN)/mypy

bench: $(READY)   ## start-up times, as ratios
	$(BIN)/python benchmarks/startup.py

record: $(READY)   ## the benchmarks that matter, appended to benchmarks/record.jsonl
	$(BIN)/python benchmarks/record.py

schemas: $(READY)   ## write the JSON Schemas beside the files that name them
	$(BIN)/mnsim schema network -o arch/network.schema.json
	$(BIN)/mnsim schema hardware -o hw/hardware.schema.json

clean:           ## forget the .venv and all caches
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .coverage dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# pip from 25.1 on knows dependency groups; older Pythons bring an older pip.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mnsim needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`. Try: make PYTHON=python3.11 demo" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	$(BIN)/python -m compileall -q mnsim   # so that the first run is as fast as the others
	@touch $(READY)
