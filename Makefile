# Every target prepares .venv by itself (scripts/venv.sh): nothing has to be installed or activated
# first, and when nothing changed that costs a few hundredths of a second. Works with GNU make 3.81
# (macOS) as well, so no .ONESHELL and no grouped targets.
#
#   make initial_load ARGS="--pairs BRLBTC"    passes arguments to the command
#   make install PYTHON=/path/to/python3       names the Python that .venv is made from

.DEFAULT_GOAL := help
.SUFFIXES:

PY := .venv/bin/python
ARGS :=
FILE := data/backup.mmsb
IMAGE := mms-api
BASE :=
COVERAGE_FLOOR := 90

# ARGS are for the one command that was asked for, not for a make that this command may call.
MAKEOVERRIDES :=

.PHONY: help install run_local demo initial_load incremental collect monitor migrate backup restore \
	sandbox test-local test_local test lint format check bench reliability lock clean ready-run ready-dev ready-checks \
	image image-check infra-check

help: ## List these targets
	@awk -F ':[^#]*## ' '/^[a-z][a-z_-]*:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

ready-run:
	@sh scripts/venv.sh run

ready-dev:
	@sh scripts/venv.sh dev

ready-checks:
	@sh scripts/venv.sh checks

install: ready-dev ## Create .venv with everything in it, for development too

demo: ready-run ## Try it without a network: the application against a stand-in exchange
	@$(PY) -m app.demo $(ARGS)

run_local: ready-run ## Run it on real data: load what is missing, serve, stay current
	@$(PY) -m app.local $(ARGS)

initial_load: ready-run ## Load candles and averages of HISTORY_DAYS (ARGS="--pairs BRLBTC")
	@$(PY) -m app.workers.initial_loader $(ARGS)

incremental: ready-run ## Load everything since the last stored candle (for cron)
	@$(PY) -m app.workers.incremental_loader $(ARGS)

collect: ready-run ## Collect spot prices every PRICE_POLL_SECONDS (ARGS="--once")
	@$(PY) -m app.workers.price_collector $(ARGS)

monitor: ready-run ## Name every missing day and why (ARGS="--repair"; exit 0, 1 or 2)
	@$(PY) -m app.monitoring.gap_monitor $(ARGS)

migrate: ready-run ## Bring the database of DB_URL to the current schema
	@$(PY) -m app.db.migrate $(ARGS)

backup: ready-run ## Write all data into FILE (data/backup.mmsb), of one moment and for either database
	@$(PY) -m app.db.backup backup "$(FILE)" $(ARGS)

restore: ready-run ## Put the data of FILE into an empty database (ARGS=--replace: into any)
	@$(PY) -m app.db.backup restore "$(FILE)" $(ARGS)

sandbox: ready-run ## Run the stand-in exchange alone (ARGS="--help")
	@$(PY) -m app.sandbox $(ARGS)

test-local: ready-dev ## Run the tests (ARGS="-k name"; also: make test, make test_local)
	@$(PY) -m pytest $(ARGS)

test test_local: test-local

lint: ready-dev ## Check format, style, types and the floors
	@$(PY) -m black --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo

format: ready-dev ## Put the code into shape: sorted imports, safe fixes, black
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m black .

check: lint ## What CI runs: lint, then the tests with coverage
	@$(PY) -m pytest --cov=app --cov-fail-under=$(COVERAGE_FLOOR) $(ARGS)

bench: ready-dev ## Reproduce the figures that the documents state
	@$(PY) -m benchmarks.anomaly $(ARGS)
	@$(PY) -m benchmarks.history
	@$(PY) -m benchmarks.flood

reliability: ready-dev ## Reproduce docs/reliability.md (ARGS="kills --runs 100 --db sqlite")
	@$(PY) -m benchmarks.reliability $(ARGS)

image: ## Build the container image mms-api (IMAGE=name, BASE=python-image@sha256:...)
	@sh scripts/image.sh "$(IMAGE)" "$(BASE)"

image-check: ready-checks ## Build the image and prove what it promises (as root; ARGS=--install)
	@$(PY) -m checks.image $(ARGS)

infra-check: ready-dev ## Plan, assert and scan the Terraform of infra/terraform, offline and without an account
	@sh scripts/tools.sh checkov
	@$(PY) -m checks.infra $(ARGS)

lock: ready-dev ## Pin requirements*.in into requirements*.txt with hashes (ARGS=--upgrade)
	@for name in requirements requirements-dev requirements-checks requirements-checkov; do \
		$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links \
			$(ARGS) --output-file $$name.txt $$name.in || exit 1; \
	done

clean: ## Remove .venv, caches and reports; never data or .env
	@rm -rf .venv .venv.old.* .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage .coverage.* htmlcov
	@find app tests -type d -name __pycache__ -prune -exec rm -rf {} +
