# Everything a newcomer needs: `make serve` and `make test`. Only Python >= 3.11 and make are
# presumed; uv is used where it is found, because it is faster.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help serve demo test lint format bench clean
help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

serve: $(VENV)/.serve  ## Install if needed, then serve on 127.0.0.1:8000
	@$(BIN)/personhood serve

demo: $(VENV)/.demo  ## Load the two sample data sets through the real SDK and show what came of it
	@$(BIN)/personhood demo

test: $(VENV)/.dev lint  ## Lint, then run every test
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder

lint: $(VENV)/.dev  ## ruff, basedpyright, import-linter
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo >.lint-imports.log || { cat .lint-imports.log; rm -f .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log
	@$(BIN)/basedpyright --level error

# PERSONS="10000 1000000" compares sizes; ONLY=ingest, ROUNDS=5, WORKERS=2. See docs/performance.md.
bench: $(VENV)/.serve  ## Measure speed beside its floor on this machine
	@$(BIN)/python -m bench.run $(if $(PERSONS),--persons $(PERSONS)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(WORKERS),--workers $(WORKERS))

format: $(VENV)/.dev  ## Rewrite the sources in the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:  ## Remove the environment (never the data)
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "personhood needs Python >= 3.11 (set PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml $(wildcard build_backend/*.py) | $(BIN)/python
	@echo "Installing personhood into $(VENV) ..."
	@$(INSTALL) -e .
	@test -f personhood/capture/static/integrity.json || echo "posthog-js could not be fetched: all" \
		"works but /static/*.js. To try again: rm $@ && make serve" >&2
	@touch $@

$(VENV)/.demo: $(VENV)/.serve
	@$(INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.serve
	@echo "Installing what tests need ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@
