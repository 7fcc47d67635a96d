# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer and without a model hub.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# One process a core, each with one thread. The tests of a file stay together and share what its fixtures make. When a process dies,
# the run ends and names its test; with a new process in its place, the run could wait for ever.
PYTEST := $(BIN)/pytest -n auto --dist loadfile --max-worker-restart 0

.PHONY: demo test test-slow test-all check lint types docs bench install install-demo clean

demo: install-demo ## Audit a real encoder, train with five kinds of batches, compare, and write a report.
	$(BIN)/babelmix compare demo

test: install ## The quick tests: every room and every command, in a few minutes.
	$(PYTEST) -m 'not slow'

test-slow: install ## The slow tests: servers, clusters, browsers, killed processes, long trainings, exports.
	$(PYTEST) -m slow

test-all: test test-slow ## All tests.

check: lint types test ## What to run before a commit; CI runs the slow tests too.

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

docs: install ## The site, into site/; broken links are errors.
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install ## Every benchmark, into docs/benchmarks.md: make bench DATA=FOLDER ARGUMENTS='--only scoring'.
	$(BIN)/python benchmarks/suite.py $(if $(DATA),--data '$(DATA)') $(ARGUMENTS)

install: $(VENV)/.installed

install-demo: $(VENV)/.installed-demo

PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

# torch comes first and alone, so that no other package pulls a build with CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e '.[train,offline,images,search,scale,fast,detect,docs,dev]'
	touch $(VENV)/.installed-demo $@

# A part of the above. The demo imports a small part of the modules, so that they are compiled when they are imported.
$(VENV)/.installed-demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile torch
	$(PIP) --no-compile -e '.[train,offline]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache runs site
