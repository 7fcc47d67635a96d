# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer and no model hub.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint types docs bench install clean

demo: install ## Audit a real encoder, train with five kinds of batches, compare, and write a report.
	$(BIN)/babelmix compare demo

# A process a core, each on one thread; a file's tests stay together, and share what it makes. A process that dies ends the run and
# names its test: with another in its place the run may wait for ever.
test: install ## The whole test suite.
	$(BIN)/pytest -n auto --dist loadfile --max-worker-restart 0

check: lint types test ## What CI runs.

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

docs: install ## The site, into site/; broken links are errors.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install ## Every benchmark, into docs/benchmarks.md: make bench DATA=FOLDER ARGUMENTS='--only scoring'.
	$(BIN)/python benchmarks/suite.py $(if $(DATA),--data '$(DATA)') $(ARGUMENTS)

install: $(VENV)/.installed

# torch comes first and alone, so that no other package pulls a build with CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[offline,images,serve,scale,fast,docs,dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache runs site
