# A fresh machine needs make and Python >= 3.11 with venv and pip. Everything else goes into .venv, in the versions and
# with the hashes of requirements.lock. Only that step uses the network, and only when the lock or pyproject.toml changed.

PYTHON ?= python3
ABREAST ?= 2
# File by file in the order of tests/conftest.py: left to itself, xdist keeps the files with few long tests for the end.
SPREAD := -n $(ABREAST) --dist loadfile --no-loadscope-reorder
FIFTEEN ?= /usr/lib/postgresql/15/bin
BIN := .venv/bin
READY := .venv/ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Each of the hundred processes that the tests start would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test fifteen proof bench client lint fmt lock
.DELETE_ON_ERROR:

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "%-12s %s\n", $$1, $$2 }'

install: $(READY)

demo: $(READY)  ## Show the whole way once, with an invented district and servers of its own
	$(BIN)/planbridge demo

test: lint  ## Everything that must hold before a change is accepted (ABREAST=1 for one file after the other)
	@seed=$${PLANBRIDGE_TEST_SEED:-$$(date +%s)}; \
	    echo "Where tests play every quirk a share of the cases is drawn (tests/sampling.py): PLANBRIDGE_TEST_SEED=$$seed"; \
	    PLANBRIDGE_TEST_SEED=$$seed $(BIN)/pytest -m "not proof" $(SPREAD)

fifteen: $(READY)  ## What needs a database, on a PostgreSQL of this machine (FIFTEEN=/its/programs)
	PLANBRIDGE_TEST_SEED= PLANBRIDGE_TEST_POSTGRES=$(FIFTEEN) $(BIN)/pytest -m "not proof"

proof: $(READY)  ## The measured claims in full size, into docs/proofs (takes long)
	PLANBRIDGE_TEST_SEED= $(BIN)/pytest -m "not proof" $(SPREAD)
	$(BIN)/pytest -m proof tests/proofs

bench: $(READY)  ## Us and our peers by turns, into docs/bench.md (takes hours; JOBS="sections users" for some)
	$(BIN)/python -m bench.run $(JOBS)

client: $(READY)  ## The typed Python client for the API, generated into dist/client
	$(PYTHON) -m venv .venv/generator
	.venv/generator/bin/python -m pip install --quiet --requirement clients/requirements.in
	$(BIN)/python -m clients.generate dist/client

lint: $(READY)  ## Format, style, types, layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fmt: $(READY)  ## Bring the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:  ## Write requirements.lock and those of the image anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv (https://docs.astral.sh/uv); nothing else does." >&2; exit 1; }
	uv pip compile pyproject.toml --extra dev --extra identity --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --output-file requirements.lock
	for it in "pyproject.toml requirements" "deploy/build.in build"; do set -- $$it; \
	    uv pip compile $$1 --constraint requirements.lock --universal --python-version 3.11 --generate-hashes \
	        --no-emit-index-url --no-header --no-annotate --output-file deploy/$$2.lock || exit 1; done

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Planbridge needs Python 3.11 or newer; $(PYTHON) says: $$($(PYTHON) --version 2>&1)" >&2; \
	    echo "Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
