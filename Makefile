# Two commands do everything on a fresh machine (git, Python 3.11, make): `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.made

.PHONY: env demo test lint check unit sim mutants bench clean

env: $(STAMP)  ## the environment alone, every package pinned by version and hash

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: env  ## three real replicas, 6,919 real orders, the leader killed in the middle
	$(BIN)/shop demo

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: env
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests

sim: env  ## the simulator over 2,000 seeds
	$(BIN)/replog sim --seeds 0:2000

test: lint unit sim  ## everything that must pass, under ten minutes on two cores

mutants: env  ## known protocol bugs, each of which the checks must catch
	$(BIN)/python -m tests.mutants

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
