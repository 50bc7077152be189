# Every target works as the first command on a fresh clone: it creates .venv and installs what is missing.
# PYTHON=python3.12 chooses the interpreter of a new .venv; JOBS=4 the number of test processes.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
INSTALLED := .venv/.installed
BUILDIFIER := @bazel/buildifier@8.2.1
UV := uv==0.13.9
# What has a main block; not the comparison with other libraries, which have an environment of their own.
BENCHMARKS = $(filter-out benchmarks/peers%,$(shell grep -l '^if __name__ == "__main__"' benchmarks/*.py))

export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-wheel fuzz kills lint lint-style lint-types lint-build format build-file schema-page pages pictures guides bench docs lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(INSTALLED)  ## create .venv from requirements.lock and install fullrank into it, editable

# The stamp is written last. Without it an environment is half-finished: it is thrown away, not repaired.
$(INSTALLED): requirements.lock setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "fullrank needs Python 3.11 to 3.13, and $(PYTHON) is not one of them: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -e $@ || rm -rf .venv
	@rm -f $@
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## prepare MovieLens, train, evaluate, export, serve and report; the run is left in runs/demo
	$(BIN)/python -m fullrank.trainers.demo --output=runs/demo

test: setup  ## run the tests not marked slow
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not slow" $(TESTS)

test-all: setup  ## run every test, as continuous integration does
	$(BIN)/pytest -n $(JOBS) --dist loadfile --durations=40 $(TESTS)

test-wheel: setup  ## build the wheel and run the fast tests against it, away from the checkout
	$(BIN)/python .ci/wheel_environment.py -n $(JOBS) --dist loadfile -m "not slow"

fuzz: setup  ## try 100,000 mutated records of each layout, 10,000 schemas and 10,000 tables; faults are left in build/fuzz
	$(BIN)/python tests/fuzz_records.py --records=100000 --schemas=10000 $(FUZZ_FLAGS)
	$(BIN)/python tests/fuzz_tables.py --files=10000

kills: setup  ## kill each command before each of its file operations, and run it again; takes hours
	FULLRANK_KILLS=all $(BIN)/pytest -s --timeout=0 tests/test_killed.py tests/trainers/streaming/test_online_killed.py

lint: lint-style lint-types lint-build  ## check format, rules, types, BUILD

lint-style: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

lint-types: setup
	$(BIN)/python .ci/check_types.py

lint-build: setup
	$(BIN)/python .ci/build_targets.py --check
	@if command -v npx >/dev/null; then \
	  echo "npx $(BUILDIFIER)" && npx --yes $(BUILDIFIER) -mode=check -lint=warn BUILD MODULE.bazel defs.bzl; \
	elif [ "$${CI:-}" = true ]; then \
	  echo "buildifier needs node, which is missing" >&2; exit 1; \
	else \
	  echo "buildifier was NOT run: it needs node"; \
	fi

format: setup  ## rewrite the sources in the project's format and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build-file: setup  ## rewrite BUILD from the files and their imports
	$(BIN)/python .ci/build_targets.py --write

schema-page: setup  ## rewrite docs/schema.md and docs/schema.schema.json from the classes that read a schema
	$(BIN)/python .ci/schema_reference.py --write

pages: setup  ## rewrite docs/papers.md and the tables of files in docs/architecture.md from the code
	$(BIN)/python .ci/code_pages.py --write

pictures: setup  ## draw the pictures of the documentation anew
	$(BIN)/python .ci/pictures.py

guides: setup  ## run the guides in build/guides and keep their figures
	@rm -rf build/guides
	$(BIN)/python .ci/run_pages.py build/guides

bench: setup  ## run every benchmark; JSON goes to build/bench (PEER_PYTHON=... for the comparison with peers)
	@mkdir -p build/bench; failed=; \
	run() { \
	  name=$$(basename $$1 .py); echo "== $$name"; \
	  $(BIN)/python $$@ --json=build/bench/$$name.json $(BENCH_FLAGS) || failed="$$failed $$name"; \
	}; \
	for file in $(BENCHMARKS); do run $$file; done; \
	if [ -n "$(PEER_PYTHON)" ]; then \
	  run benchmarks/peers.py --peer_python=$(PEER_PYTHON); \
	else \
	  echo "peers was not run: it needs PEER_PYTHON, see benchmarks/peers.py"; \
	fi; \
	if [ -n "$$failed" ]; then echo "these benchmarks did not end well:$$failed" >&2; exit 1; fi

docs: setup  ## build the site in build/docs, without a network; warnings, such as a broken link, are errors
	$(BIN)/python .ci/build_site.py

lock: $(INSTALLED)  ## resolve requirements.lock anew
	@test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet $(UV); }
	UV=build/lock/bin/uv $(BIN)/python .ci/lock.py

clean:  ## remove what can be made again: caches and build output, not .venv or runs
	rm -rf build dist .typing .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
