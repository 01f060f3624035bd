# Every target prepares .venv itself (scripts/venv.sh), so there is nothing to install or activate
# first. Without a change that costs a few hundredths of a second. GNU make 3.81 (macOS) must work
# too, so no .ONESHELL and no grouped targets.
#
#   make initial_load ARGS="--pairs BRLBTC"    passes arguments to the command
#   make install PYTHON=/path/to/python3       names the Python that .venv is made from

.DEFAULT_GOAL := help
.SUFFIXES:

PY := .venv/bin/python
DEPLOY := .tools/deploy/bin/python
# On GitHub each command gets its own token; elsewhere this changes nothing.
AS_ROLE := $(DEPLOY) -m infra.release.identity $(DEPLOY)
ARGS :=
FILE := data/backup.mmsb
IMAGE := mms-api
BASE :=
COVERAGE_FLOOR := 90
# Several tests run at a time; tests/conftest.py says how many (ARGS=-n0: one by one).
SIDE_BY_SIDE := -n auto --dist worksteal

# The tests by folder: those that need only Python, those that need services, and those that are
# slow or matter only when their subject changes. ARGS that name files or folders replace them.
FAST := tests/unit tests/contracts tests/house
SERVICES := tests/integration
SLOW := tests/drills tests/tools
tests = $(if $(findstring tests/,$(ARGS)),,$(1)) $(ARGS)

# Modules whose every branch a test must run: loading, validation, averages, gaps, cache, stores, access.
EVERY_BRANCH := app/services/loading.py app/services/comparing.py app/services/averages.py \
	app/services/gaps.py app/services/coverage.py app/services/leasing.py app/domain/candles.py \
	app/domain/price_scale.py app/domain/fixed_point.py app/domain/averages.py app/domain/gaps.py \
	app/domain/revisions.py app/domain/rendering.py app/domain/times.py app/db/cache/*.py \
	app/db/stores/series.py app/db/stores/statements.py app/testing/*.py app/monitoring/*.py \
	app/api/access.py app/api/admission.py app/api/origins.py app/api/reply_headers.py \
	app/core/api_keys.py app/domain/call_budget.py app/db/stores/rate_limiter.py \
	app/api/negotiation.py app/domain/tables.py app/domain/crossings.py app/services/reasons.py \
	app/services/latest.py app/services/changes.py app/api/streams.py \
	app/services/pictures.py app/domain/picture/*.py
comma := ,
empty :=
space := $(empty) $(empty)
# Judged only after all tests, with PostgreSQL and memcached; otherwise it says why not.
JUDGE_BRANCHES = $(PY) -m checks.branches '$(subst $(space),$(comma),$(strip $(EVERY_BRANCH)))'

# How an operator types a command here; messages name it so (app/core/how_to_run.py).
export MMS_FRONT := make

# ARGS are for the command on the command line, not for a make that it may call.
MAKEOVERRIDES :=

.PHONY: help install run_local demo initial_load incremental reload collect monitor migrate backup restore \
	keys sandbox test-local test_local test lint format check drills check-all bench reliability mutation fuzz \
	topology-check lock clean ready-run ready-dev ready-checks image image-check run_in_docker compose-check sheet-check ready-ship \
	ready-rehearsal ready-audit infra-check infra-rehearse infra-plan infra-apply image-publish image-scan \
	deploy audit programs clients-check chart screenshots

help: ## List these targets
	@awk -F ':[^#]*## ' '/^[a-z][a-z_-]*:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

ready-run:
	@sh scripts/venv.sh run

ready-dev:
	@sh scripts/venv.sh dev

ready-checks:
	@sh scripts/venv.sh checks

ready-ship:
	@sh scripts/tools.sh deploy

ready-rehearsal: ready-dev ready-ship
	@sh scripts/tools.sh rehearsal

ready-audit:
	@sh scripts/tools.sh audit

install: ready-dev ## Create .venv with everything in it, for development too
	@sh scripts/chart.sh tests

chart: ## Fetch the library that draws the page's chart, from npm (without it the page shows pictures)
	@sh scripts/chart.sh

demo: ready-run ## Try it without a network: the application against a stand-in exchange
	@$(PY) -m app.processes.demo $(ARGS)

run_local: ready-run ## Run it on real data: load what is missing, serve, stay current
	@$(PY) -m app.processes.local $(ARGS)

initial_load: ready-run ## Load candles and averages of HISTORY_DAYS (ARGS="--pairs BRLBTC")
	@$(PY) -m app.workers.initial_loader $(ARGS)

incremental: ready-run ## Load everything since the last stored candle (for cron)
	@$(PY) -m app.workers.incremental_loader $(ARGS)

reload: ready-run ## Load a pair anew, after a change of price scale (ARGS=BRLBTC)
	@$(PY) -m app.workers.reload $(ARGS)

collect: ready-run ## Collect spot prices every PRICE_POLL_SECONDS (ARGS="--once")
	@$(PY) -m app.workers.price_collector $(ARGS)

monitor: ready-run ## Name every missing day and why (ARGS="--repair"; exit 0, 1 or 2)
	@$(PY) -m app.monitoring.gap_monitor $(ARGS)

migrate: ready-run ## Bring the database of DB_URL to the current schema
	@$(PY) -m app.commands.migrate $(ARGS)

backup: ready-run ## Write all data into FILE (data/backup.mmsb), of one moment and for either database
	@$(PY) -m app.commands.backup backup "$(FILE)" $(ARGS)

restore: ready-run ## Put the data of FILE into an empty database (ARGS=--replace: into any)
	@$(PY) -m app.commands.backup restore "$(FILE)" $(ARGS)

keys: ready-run ## Make an API key, shown once (ARGS="new ops --days 90", ARGS=list)
	@$(PY) -m app.keys $(ARGS)

sandbox: ready-run ## Run the stand-in exchange alone (ARGS="--help")
	@$(PY) -m app.sandbox $(ARGS)

test-local: ready-dev ## Run the fast tests (ARGS="-k name"; also: make test, make test_local)
	@$(PY) -m pytest $(SIDE_BY_SIDE) $(call tests,$(FAST))

test test_local: test-local

lint: ready-dev ## Check format, style, types and the floors
	@$(PY) -m black --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo

format: ready-dev ## Put the code into shape: sorted imports, safe fixes, black
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m black .

check: lint ## What CI runs: lint, the fast tests and those with services, and coverage
	@$(PY) -m pytest $(SIDE_BY_SIDE) --cov=app --cov-fail-under=$(COVERAGE_FLOOR) \
		$(call tests,$(FAST) $(SERVICES))
	@$(if $(strip $(ARGS)),:,$(JUDGE_BRANCHES))

drills: ready-dev ## Run the slow tests, and those of the tools: what make check leaves out
	@$(PY) -m pytest $(SIDE_BY_SIDE) $(call tests,$(SLOW))

check-all: ## Run every check there is, as root: an hour (Debian, Ubuntu; installs programs)
	@$(MAKE) programs
	@$(MAKE) check
	@$(MAKE) drills
	@$(MAKE) clients-check
	@$(MAKE) image-check ARGS=--install
	@$(MAKE) compose-check ARGS=--install
	@$(MAKE) sheet-check ARGS=--install
	@$(MAKE) topology-check
	@$(MAKE) infra-check
	@$(MAKE) infra-rehearse
	@$(MAKE) audit ARGS=--allow-not-run

bench: ready-dev ## Reproduce the figures that the documents state (needs wrk, h2load, memcached)
	@$(PY) -m benchmarks.anomaly $(ARGS)
	@$(PY) -m benchmarks.flood
	@$(PY) -m benchmarks.history
	@$(PY) -m benchmarks.reads
	@$(PY) -m benchmarks.edge
	@$(PY) -m benchmarks.page

reliability: ready-dev ## Reproduce docs/reliability.md (ARGS="kills --runs 100 --db sqlite")
	@$(PY) -m benchmarks.reliability $(ARGS)

mutation: ready-dev ## Which small mistakes in the core the tests would notice (ARGS="domain/gaps")
	@$(PY) -m benchmarks.mutation $(ARGS)

topology-check: ready-dev ## Kill parts of the whole topology under load (needs nginx, wrk, memcached, PostgreSQL)
	@$(PY) -m benchmarks.topology $(ARGS)

image: ## Build the container image mms-api (IMAGE=name, BASE=python-image@sha256:...)
	@sh scripts/image.sh "$(IMAGE)" "$(BASE)"

run_in_docker: ## Run it all in containers (ARGS="--profile full", ARGS="--profile demo": no network)
	@sh scripts/compose.sh $(ARGS)

compose-check: ready-checks ## Run docker-compose.yml, every profile, and prove it (as root; ARGS=--install)
	@$(PY) -m checks.compose $(ARGS)

image-check: ready-checks ## Build the image and prove what it promises (as root; ARGS=--install)
	@$(PY) -m checks.image $(ARGS)

sheet-check: ready-dev ## Open the CSV in LibreOffice, compare each cell with the JSON (ARGS=--install)
	@$(PY) -m checks.sheet $(ARGS)

fuzz: ready-dev ## Look for input that breaks a parser, and 50,000 requests (ARGS="--cases 1000")
	@$(PY) -m pytest $(SIDE_BY_SIDE) --hypothesis-profile fuzz -o faulthandler_timeout=0 \
		tests/unit/test_any_input.py
	@$(PY) -m checks.fuzz $(ARGS)

infra-rehearse: ready-rehearsal ## Rehearse a life on AWS against a stand-in, ten minutes (exit 3: not rehearsed)
	@.tools/rehearsal/bin/python -m infra.rehearsal --python "$$PWD/$(DEPLOY)" $(ARGS)

infra-plan: ready-ship ## Show Terraform's plan and keep it for infra-apply (needs an account)
	@$(AS_ROLE) -m infra.release plan

infra-apply: ready-ship ## Apply the plan that infra-plan showed (PLAN_SHA256, which it printed)
	@$(AS_ROLE) -m infra.release apply

image-publish: ready-ship ## Build and push the image of DEPLOY_COMMIT with SBOM and provenance
	@$(AS_ROLE) -m infra.release image

image-scan: ready-ship ## Wait for the registry's scan of DEPLOY_IMAGE
	@$(AS_ROLE) -m infra.release scan

deploy: ready-ship ## Deploy DEPLOY_IMAGE to AWS: migrate, move, smoke test, or roll back (ARGS=--plan)
	@$(AS_ROLE) -m infra.deploy $(ARGS)

audit: ready-audit ## Judge the workflows, the whole history, and the pinned packages (exit 3: not all was judged)
	@.tools/audit/bin/python -m checks.audit $(ARGS)

programs: ## Install the system programs that the larger checks need (Debian, Ubuntu; ARGS=sheet: LibreOffice too)
	@sh scripts/programs.sh $(ARGS)

screenshots: ready-dev ## Take the pictures of the page in docs/images anew (needs chromium)
	@sh scripts/chart.sh
	@MMS_TEST_REQUIRE=chart,chromium MMS_SCREENSHOTS=docs/images \
		$(PY) -m pytest -q tests/integration/test_page_pictures.py

clients-check: ready-dev ## Generate clients in Python and TypeScript, and use them against the demo
	@sh scripts/tools.sh clients
	@MMS_TEST_REQUIRE=clients $(PY) -m pytest $(ARGS) tests/tools/test_clients.py

infra-check: ready-dev ## Plan, assert and scan the Terraform of infra/terraform, offline and without an account
	@sh scripts/tools.sh checkov
	@$(PY) -m checks.infra $(ARGS)

# Each list begins with its own command. dev and checks include the application's list.
COMPILE = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras $(ARGS) --output-file

lock: ready-dev ## Pin the lists of pyproject.toml with hashes (ARGS=--upgrade)
	@$(COMPILE) requirements.txt pyproject.toml
	@$(COMPILE) requirements/dev.txt pyproject.toml --group dev
	@$(COMPILE) requirements/checks.txt pyproject.toml --group checks
	@for group in deploy rehearsal audit checkov clients node; do \
		$(COMPILE) requirements/$$group.txt --group $$group || exit 1; \
	done

clean: ## Remove .venv, caches and reports; never data or .env
	@rm -rf .venv .venv.old.* .venv.lock .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage .coverage.* htmlcov build dist mms_api.egg-info
	@find app tests -type d -name __pycache__ -prune -exec rm -rf {} +
