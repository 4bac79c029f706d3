# The front door: the commands for users and developers. `make help` lists them.
PYTHON ?= python3
ARGS ?=
# Most tests wait for processes that they start, so two workers more than cores are faster; all tests of a file share a worker.
# In the order of tests/conftest.py: by default the files with few tests come last, and these are the ones that take minutes.
PARALLEL ?= -n $(shell expr $$(nproc) + 2) --dist loadfile --no-loadscope-reorder
export PYTHON
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE # without bytecode every station starts at half the speed
.DEFAULT_GOAL := help
.PHONY: run test coverage lint bench faults simulate mutants compose-guide systemd-guide moving models docs docs-site lock clean help

run: ## start the whole system with simulated nodes; the page is on http://127.0.0.1:5001 (ARGS="--speed 120 --nodes 10")
	@scripts/set-up run
	@exec .venv/bin/aoii demo $(ARGS)

test: ## install what the tests need, then lint and test everything (ARGS="tests/server -x")
	@scripts/install-test-servers
	@scripts/set-up test
	@$(MAKE) --no-print-directory lint
	@.venv/bin/python -m pytest $(PARALLEL) $(ARGS)

coverage: ## run the tests as `make test` does, and say which lines they did not reach, without child processes (html in build/coverage)
	@scripts/install-test-servers
	@scripts/set-up test
	@.venv/bin/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

lint: ## check style, format and types, and the locks for known vulnerabilities
	@scripts/set-up test
	@$(MAKE) --no-print-directory -j $(CHECKS)

# Side by side: npm and osv.dev are waited for, and mypy uses one core.
CHECKS = lint-types lint-page lint-locks lint-style lint-format
.PHONY: $(CHECKS)
lint-types:
	@.venv/bin/python -m mypy
lint-page:
	@scripts/check-page
lint-locks:
	@scripts/audit
lint-style:
	@.venv/bin/python -m ruff check
lint-format:
	@.venv/bin/python -m ruff format --check

bench: ## run the benchmarks
	@scripts/set-up test
	@for bench in benchmarks/bench_*.py; do echo "== $$bench"; .venv/bin/python "$$bench" $(ARGS) || exit; done

faults: ## kill, freeze, cut off and fill up parts of a running system, lose whole machines, and count what is lost (TRIALS=20 SCENARIOS=gateway_kill,machines SEED=7 OUT=faults.json)
	@scripts/install-test-servers
	@scripts/set-up test
	@scripts/faults

compose-guide: ## follow docs/howto/deploy-with-compose.md word by word in a private container engine; as root
	@scripts/compose-guide

systemd-guide: ## follow docs/howto/deploy-with-systemd.md, command by command, on an empty Debian 12 that boots in a container (as root; 10 minutes)
	@scripts/set-up test
	@scripts/systemd-guide

models: ## run the stateful models of outbox, broker link and radio link for 10,000 examples each (MODEL_EXAMPLES=100000 for more)
	@scripts/set-up test
	@MODEL_EXAMPLES=$${MODEL_EXAMPLES:-10000} .venv/bin/python -m pytest --timeout=0 --durations=2 -v \
		tests/gateway/test_outbox.py::TestWorld tests/server/test_link_model.py::TestLink \
		tests/edge/test_node_model.py::TestModel $(ARGS)

simulate: ## let the whole chain live through days of faults, in virtual time, and count what is lost (HISTORIES=1000 WORKERS=2 SEED=7)
	@scripts/set-up test
	@PYTHONHASHSEED=0 PYTHONPATH=tests .venv/bin/python -m histories.simulate

mutants: ## plant mistakes in a copy of the package, one at a time, and run histories until one fails (MUTANTS=numbers_again LIMIT=10000)
	@scripts/set-up test
	@PYTHONHASHSEED=0 PYTHONPATH=tests .venv/bin/python -m histories.mutants

moving: ## move from the older installation in every order, with emulators of its programs, and count the rows (HALF_MOVED_READINGS=200)
	@scripts/install-test-servers
	@scripts/set-up test
	@HALF_MOVED_READINGS=$${HALF_MOVED_READINGS:-50} .venv/bin/python -m pytest --timeout=0 -v tests/half_moved $(ARGS)

docs: ## write the pages that are made from the code: .env.example and docs/reference
	@scripts/set-up test
	@.venv/bin/python scripts/reference_pages.py

docs-site: ## build the documentation site into site/, with a page for each module; fails on a link that leads nowhere
	@scripts/docs-site

lock: ## resolve the dependencies of pyproject.toml anew into requirements/*.txt (ARGS=--upgrade takes newer versions)
	@scripts/lock $(ARGS)

clean: ## remove what these targets made: .venv, caches, build output. Your data/ and .env stay
	@rm -rf .venv build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +

help:
	@echo 'Usage: make TARGET [ARGS="..."] [PYTHON=python3.12]'
	@sed -n 's/^\([a-z-]*\): ## /\1|/p' Makefile | awk -F'|' '{ printf "  %-13s %s\n", $$1, $$2 }'
