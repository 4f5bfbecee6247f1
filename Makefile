# The verbs of this project; CI runs the same ones. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
UV_RUN := uv run --frozen
FAST := $(UV_RUN) pytest -q -n auto --dist worksteal -m "not spark and not real and not faults and not long"
# two workers, each with a Kafka, an InfluxDB and a Spark session of its own: these tests mostly wait
REAL := $(UV_RUN) pytest -q -n 2 --dist loadfile
SLOWEST := --durations=40 --durations-min=0.5
# tests start hundreds of Pythons: without compiled files each compiles a thousand modules anew
unexport PYTHONDONTWRITEBYTECODE

# $(call tier,NAME,COMMAND): run one tier of tests and print how long it took; an empty tier fails
tier = @echo "== $(1)"; began=$$SECONDS; $(2); echo "== $(1): $$((SECONDS - began)) s"

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: packages jars influxd ## install packages, download jars, build influxd (10 min, once)

packages: ## install Python packages from the lock
	@command -v uv >/dev/null || python3 -m pip install --quiet --require-hashes -r deploy/uv.txt
	uv sync --frozen

jars: packages ## download the jars of Spark's connectors and of Kafka (90 s, once)
	@$(UV_RUN) python -m truetape.host.jars

influxd: packages ## find influxd, or build it from its Go module (10 min, once)
	@$(UV_RUN) python -m truetape.stack.influxd

browser: ## find Chromium, or install it from Debian's packages; tests open the console in it
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-liberation >/dev/null; } \
		|| { echo "chromium is missing: apt-get install chromium" >&2; exit 69; }

check: packages ## check format, lint and types
	$(UV_RUN) ruff format --check .
	$(UV_RUN) ruff check .
	$(UV_RUN) mypy

test: setup browser ## everything: check, then the fast, real (Spark, servers) and faults tiers, each with its 40 slowest tests
	$(call tier,check,$(MAKE) --no-print-directory check)
	$(call tier,fast,$(FAST) $(SLOWEST))
	$(call tier,real,$(REAL) -m "(spark or real) and not faults and not long" $(SLOWEST))
	$(call tier,faults,$(UV_RUN) pytest -q -n 2 --dist worksteal -m "faults and not long" $(SLOWEST))

test-long: setup browser postgres compose-tool ## tests that take minutes each: kill Airflow, kill drivers five times in a row
	$(call tier,long,$(UV_RUN) pytest -q -m "long")

schedules: packages ## thousands of random schedules of the pipeline and of publications, and of random inputs (1 h)
	$(call tier,schedules,TRUETAPE_SCHEDULES=2000 $(UV_RUN) pytest -q tests/pipeline/test_loop_machine.py tests/publish/test_publication_machine.py)
	$(call tier,examples,TRUETAPE_EXAMPLES=1000 $(FAST) -m "hypothesis and not spark and not real and not faults")

test-fast: packages ## tests that need neither Spark nor a server
	$(call tier,fast,$(FAST))

screenshots: setup browser ## take the README's screenshots of the console: real servers, a simulated session (5 min)
	$(UV_RUN) python benchmarks/console.py --times 1 --pictures docs/images

demo: packages jars ## show the whole system on a simulated session
	@$(UV_RUN) truetape demo

dashboards: packages ## generate grafana/ from truetape.dashboards
	@$(UV_RUN) python -m truetape.dashboards.files grafana

stack-up: packages ## start the local Kafka, InfluxDB and Airflow
	@$(UV_RUN) truetape stack up

stack-down: packages ## stop them; their data stay
	@$(UV_RUN) truetape stack down

env: packages ## create what is missing of .env and secrets/ for the containers
	@$(UV_RUN) truetape deploy env

compose-check: packages ## check the compose file against our rules, and against Compose's own parser if it is built
	$(UV_RUN) pytest -q -rs tests/deploy/test_compose_file.py

COMPOSE_TOOL = $(or $(TRUETAPE_CACHE),$(HOME)/.cache/truetape)/compose-spec-2.16.2

compose-tool: ## build Docker Compose's own parser from its Go module (half a minute, once)
	@[ -x "$(COMPOSE_TOOL)" ] || (cd deploy/compose && GOTOOLCHAIN=local go build -trimpath -o "$(COMPOSE_TOOL)" .)

postgres: ## find Postgres, or install it from Debian's packages; tests run Airflow on it
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null; } \
		|| { echo "postgres is missing: apt-get install postgresql" >&2; exit 69; }

clean: ## remove build and test leftovers from the checkout; data and cache stay
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: help setup packages jars influxd browser check test test-long schedules test-fast screenshots demo dashboards stack-up stack-down env compose-check compose-tool postgres clean
