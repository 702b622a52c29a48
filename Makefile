.DEFAULT_GOAL := help
# PYTHON=... names one; without it, the first that fits is taken.
PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(VENV)/installed-run
TESTS := $(VENV)/installed-dev
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REGISTRY ?= tenantry
# Processes that run tests. Files go to them in the order of their names: what a folder shares is
# then started once by each.
JOBS ?= 2
PIN := $(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# When the machine's Python was replaced, the link to it leads nowhere.
$(BIN)/python: ;

$(RUN): requirements/run.txt requirements/build.txt pyproject.toml $(BIN)/python
	@deploy/install.sh run $(VENV) $(PYTHON)

$(TESTS): $(RUN) requirements/dev.txt
	@deploy/install.sh dev $(VENV) $(PYTHON)

.PHONY: install
install: $(TESTS) ## Install everything, for tests too, into .venv

.PHONY: run
run: $(RUN) ## Run the whole product: prints its URL, an API key and an example request
	@TENANTRY_FROM_MAKE=1 exec $(BIN)/tenantry dev $(ARGS)

.PHONY: demo
demo: $(RUN) ## Run a demo scenario on the running product over HTTP
	@exec $(BIN)/tenantry demo $(ARGS)

.PHONY: test
test: install ## Run all tests, on real servers that they start, by two processes: ARGS=tests/unit for some, JOBS=4
	@$(BIN)/python -m pytest $(or $(ARGS),-n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not alone")
	@$(if $(ARGS),,$(BIN)/python -m pytest -m alone $$(grep -rl --include="*.py" mark[.]alone tests))

.PHONY: soak
soak: install ## Inject faults under load for half an hour, and count losses: SECONDS=1800 SEED=...
	@TENANTRY_CHAOS_SECONDS=$(or $(SECONDS),1800) TENANTRY_CHAOS_SEED=$(or $(SEED),$(shell date +%s)) \
		$(BIN)/python -m pytest -s tests/promises/test_nothing_is_lost.py $(ARGS)

.PHONY: fuzz
fuzz: install ## Fuzz every operation of the OpenAPI document for ten minutes: SECONDS=600
	@TENANTRY_FUZZ_SECONDS=$(or $(SECONDS),600) $(BIN)/python -m pytest -s tests/security/test_the_document_holds.py $(ARGS)

.PHONY: audit
audit: install ## Look up known vulnerabilities of the packages in production: needs the advisory database
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements/run.txt $(ARGS)

.PHONY: bench
bench: install ## Measure speed and growth against yardsticks: ARGS="read write", ARGS="growth --events 10000000"
	@$(BIN)/python -c 'import matplotlib' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m bench $(ARGS)

.PHONY: screenshots
screenshots: install ## Make the pictures of the console in docs/images, with Chromium: ARGS=all for every screen, in screenshots/
	@$(BIN)/python -c 'import PIL' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m bench.screenshots $(ARGS)

.PHONY: docs
docs: install ## Build the documentation into site/ and check every link
	@$(BIN)/python -c 'import material' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: lint
lint: install ## Check style, types and the direction of imports
	@$(BIN)/ruff format --check libs services deploy docs/examples tests bench
	@$(BIN)/ruff check libs services deploy docs/examples tests bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: install ## Format the code
	@$(BIN)/ruff format libs services deploy docs/examples tests bench
	@$(BIN)/ruff check --fix libs services deploy docs/examples tests bench

.PHONY: topology
topology: install ## Write the configuration that follows from libs/contracts/topology.py
	@$(BIN)/python deploy/render_topology.py

.PHONY: commands
commands: install ## Write what the command knows of the API, from its routes
	@$(BIN)/python deploy/render_operations.py

.PHONY: schemas
schemas: install ## Accept additions to the schemas of events and lifecycle messages: docs/schemas
	@$(BIN)/python deploy/freeze_schemas.py

.PHONY: migration
migration: install ## Draft a migration: make migration SERVICE=identity MESSAGE="add x"
	@$(BIN)/tenantry draft-migration $(SERVICE) "$(MESSAGE)"

.PHONY: lock
lock: install ## Upgrade the pinned requirements, with hashes
	@$(PIN) pyproject.toml --group dev --upgrade -o requirements/dev.txt
	@$(PIN) pyproject.toml --constraint requirements/dev.txt --upgrade -o requirements/run.txt
	@for group in build bench docs; do \
		$(PIN) --group $$group --constraint requirements/dev.txt --upgrade -o requirements/$$group.txt || exit 1; done

.PHONY: env
env: ## Write an .env with new secrets for docker compose, or add missing settings
	@python=$$(deploy/install.sh python $(PYTHON)) && exec $$python deploy/make_env.py

.PHONY: images
images: ## Build the images, by version and as latest: tenantry/edge, ...; REGISTRY=registry.example.com/tenantry
	@for name in tenantry $(notdir $(wildcard services/*)); do \
		docker build --file deploy/Dockerfile --build-arg SERVICE=$$name \
			--tag $(REGISTRY)/$$name --tag $(REGISTRY)/$$name:$(VERSION) . || exit 1; done

.PHONY: compose-test
compose-test: install ## Run docker-compose.yml for real, and test it: needs a Docker engine
	@TENANTRY_COMPOSE_TEST=1 $(BIN)/python -m pytest -s -rs tests/containers $(ARGS)

.PHONY: sdk-test
sdk-test: install ## Generate clients in TypeScript, Go and Java and compile them: with Node, Go and a JDK with Maven
	@TENANTRY_SDK_TEST=1 $(BIN)/python -m pytest -v -rs tests/sdk $(ARGS)

.PHONY: chart-test
chart-test: install ## Render the chart with helm, and test the alerts with promtool: with Go, which builds both
	@PATH="$$PATH:/usr/local/go/bin" TENANTRY_CHART_TEST=1 $(BIN)/python -m pytest -v -rs tests/chart $(ARGS)

.PHONY: clean
clean: ## Remove .venv and the data of `make run`
	@rm -rf $(VENV) .tenantry
