# pingpost: what can be done here. `make` alone lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test simulate chaos rolling bounds bench alarms lint docs pictures lock clean

help: ## list what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp a lock file: what is installed already is not installed again.
$(VENV)/.runtime: ops/requirements/runtime.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ops/requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ops/requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: ops/requirements/dev.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ops/requirements/dev.txt
	@touch $@

install: $(VENV)/.runtime ## install pingpost into .venv, from the lock file

install-dev: $(VENV)/.dev ## the same, with what tests and lint need

demo: install ## sell 100 sample leads to the sandbox buyer (KEEP=1 stays up)
	$(BIN)/python -m ops.demo $(if $(KEEP),--keep)

# The pure part first: it is quick, and every branch of it must be taken.
PURE := tests/core tests/properties tests/buyers
# The rest mostly waits for processes that start, die and come back: four files or suites at a time (`tests/conftest.py`),
# each process of the run with servers of its own.
SIDE_BY_SIDE ?= 4
# And what measures a pace has the machine to itself: among the others calls go out late and in bursts, which no buyer's
# limit is meant for.
ALONE := tests/bounds/test_bounds.py::test_a_rate_limit_is_found_and_kept_to

test: install-dev ## run every test, on every broker and database at hand
	$(BIN)/python -m pytest $(PURE) --cov --cov-report=term-missing --numprocesses 2
	$(BIN)/python -m pytest $(PURE:%=--ignore=%) --deselect $(ALONE) --numprocesses $(SIDE_BY_SIDE) --no-loadscope-reorder
	$(BIN)/python -m pytest $(ALONE)

simulate: install-dev ## run a hundred thousand schedules of the simulated installation (SCHEDULES, SEED)
	$(BIN)/python -m tests.simulation $(if $(SCHEDULES),--schedules $(SCHEDULES)) $(if $(SEED),--seed $(SEED))

rolling: install-dev ## restart every part in turn under 50 leads a second, and tell what it cost (BROKER)
	$(BIN)/python -m tests.chaos.rolling $(if $(BROKER),--broker $(BROKER))

bounds: install-dev ## meet the buyer's limits, our own, and more load than usual, at full size (TRIAL, TIMES)
	$(BIN)/python -m tests.bounds $(TRIAL) $(if $(TIMES),--times $(TIMES))

$(VENV)/.bench: ops/requirements/bench.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ops/requirements/bench.txt
	@touch $@

bench: $(VENV)/.bench ## measure pingpost beside its peers and the bare machine, half an hour (ROWS, ROUNDS, SAVE)
	$(BIN)/pingpost bench $(ROWS) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SAVE),--save $(SAVE))

lint: install-dev ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

chaos: install-dev ## break everything under load on both brokers, and compare four books (BROKER, LEADS, SEED)
	$(BIN)/python -m tests.chaos $(if $(BROKER),--broker $(BROKER)) $(if $(LEADS),--leads $(LEADS)) $(if $(SEED),--seed $(SEED))

pictures: install-dev ## take the pictures of Flower anew, in a real browser (ops/pictures)
	$(BIN)/python -m tests.browser

docs: install ## write what is made from data (ops/log-lines.md, ops/metrics.md, ops/grafana/pingpost.json)
	$(BIN)/python -m ops.log_lines
	$(BIN)/python -m ops.metrics_page
	$(BIN)/python -m ops.dashboard

alarms: install-dev ## set off each of Prometheus' alarms for real, against the sandbox (TRIAL)
	$(BIN)/python -m tests.alarms $(TRIAL)

lock: ## make the lock files anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header -q ops/requirements/build.in -o ops/requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header -q pyproject.toml -o ops/requirements/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header -q pyproject.toml --group dev \
		-c ops/requirements/runtime.txt -c ops/requirements/build.txt -o ops/requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header -q pyproject.toml --group bench \
		-c ops/requirements/dev.txt -o ops/requirements/bench.txt

clean: ## remove what install, demo and tests made
	rm -rf $(VENV) .pingpost .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage node_modules
