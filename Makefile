# The verbs of this project; CI runs the same ones. `make help` lists them.
.DEFAULT_GOAL := help
UV_RUN := uv run --frozen

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## install Python packages from the lock
	@command -v uv >/dev/null || python3 -m pip install --quiet uv
	uv sync --frozen

check: setup ## format, lint and types
	$(UV_RUN) ruff format --check .
	$(UV_RUN) ruff check .
	$(UV_RUN) mypy

test-fast: setup ## tests that need no server
	$(UV_RUN) pytest -m "not real and not faults"

.PHONY: help setup check test-fast
