# Two commands do everything on a fresh machine (git, Python 3.11, make): `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.made

.PHONY: help env demo test lint unit sim sim-shop fuzz coverage model edges mutants bench-smoke bench map clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | column -t -s: -l 2

env: $(STAMP)  ## the environment alone, every package pinned by version and hash

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: env  ## three real replicas, 6,919 real orders, the leader killed in the middle
	$(BIN)/shop demo

lint: env  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: env  ## every test, real processes and power cuts included
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests

SEEDS := 0:2000
sim: env  ## the simulator over 2,000 seeds; `make test` runs 500 of them
	$(BIN)/replog sim --seeds $(SEEDS)

sim-shop: env  ## the shop in the simulator, its invariants asked on every replica
	$(BIN)/replog sim --seeds 0:200 --state-machine shop_sm:Shop

fuzz: env  ## messages of every kind, right and wrong, against running drivers: some minutes
	FUZZ_EXAMPLES=1000 $(BIN)/python -m pytest -q tests/fuzz

test: SEEDS := 0:500
test: lint unit sim sim-shop  ## everything that must pass: some ten minutes on two cores

COVERING := tests/paxos tests/apply tests/client tests/scenarios tests/node/test_driver.py
coverage: env  ## branches and statements of the core, the Applier, the driver and the client's session: 95 % of each
	$(BIN)/python -m coverage run --source replog/paxos,replog/apply,replog/client,replog/node -m pytest -q $(COVERING)
	$(BIN)/python -m tests.covered

model: env  ## the TLA+ model of docs/tla: every instance, and each rule left out in turn; skipped without Java
	$(BIN)/python -m tests.model

edges: env  ## hostile names, arguments, environments, descriptors, disks and streams against the real commands
	$(BIN)/python -m tests.edges

mutants: env  ## known bugs of the protocol, the client, the edges and the journal, each of which the checks must catch
	$(BIN)/python -m tests.mutants --kept .mutants

bench-smoke: env  ## every measurement, and every system that is installed beside us, for a moment
	BENCH_SMOKE=1 $(BIN)/python -m pytest -q tests/bench/test_smoke.py

bench: env  ## measure this machine: throughput, latency, reads, failover, recovery
	$(BIN)/python -m bench all

map: env  ## the tables of rooms and of the client's connection in docs/ARCHITECTURE.md, made from the modules
	$(BIN)/python -m tests.house_map --write

clean:  ## remove the environment and what tools left behind
	rm -rf .venv .mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
