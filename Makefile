# Each target does all its own set-up on a fresh Linux machine with Python 3.11 to 3.14, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIPS := $(VENV)/pips/.ready
CLIENTS := $(VENV)/clients/.ready
NODE := tools/node/node_modules/.package-lock.json
COMMAND := $(BIN)/framepack
TOOLS := .venv-tools/bin
TOOLS_READY := .venv-tools/.ready

# torch's threads wait for work without burning the cores that x264 wants; on two cores this is worth up to 8 times.
export OMP_WAIT_POLICY := PASSIVE
# Two processes with whole files each: fixtures such as a server belong to one file. On a busy machine, real servers,
# killed processes and a browser may miss each other: a failure is shown, and the test attempted once more.
IN_PARALLEL := --numprocesses 2 --dist loadfile --reruns 1

.PHONY: demo help quick test test-long bench check coverage docs dist image image-test lock upgrade audit sbom clean

demo: $(COMMAND)  ## The worker's main job for real: upscale the clip of test_input.json
	@PYTHONPATH=. $(BIN)/python builder/demo.py

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quick: $(READY)  ## While you work: all fast checks, and for a minute the tests nearest to what you changed
	@$(BIN)/python -m tools.quick

test: check $(PIPS) $(CLIENTS) $(NODE)  ## Everything that guards the project, except the long tests; ends early if much of it fails
	$(BIN)/pytest $(IN_PARALLEL) --maxfail 30

test-long: $(READY)  ## The tests that take minutes
	$(BIN)/pytest -m slow

bench: $(READY)  ## Ratios beside FFmpeg and other upscalers, as far as they are installed, in a few minutes
	@$(BIN)/python -m benchmarks

check: $(READY)  ## Format, lint, types and architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

coverage: $(READY) $(PIPS) $(CLIENTS) $(NODE)  ## Run the tests and show how much of the code they run; the lines are in build/coverage/
	$(BIN)/pytest $(IN_PARALLEL) --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

docs: $(READY)  ## Write the generated documentation
	$(BIN)/python -m tools.docs

dist: $(READY)  ## Build the source archive, and from it the wheel, with the locked tools
	rm -rf dist
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('dist')"
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist dist/*.tar.gz

image:  ## Build the image with Docker or buildah; builder/image.sh says what may be chosen
	@sh builder/image.sh

image-test: $(READY)  ## Build the image without a Docker engine and run jobs in it: root, ten minutes, 25 GB
	@$(BIN)/python -m builder.image_test

lock: $(TOOLS_READY)  ## Bring the locks in line with pyproject.toml; pins that fit stay (UPGRADE="-P torch" frees one)
	sh tools/lock.sh $(TOOLS)/uv $(UPGRADE)

upgrade:  ## Lock the newest version of everything
	$(MAKE) lock UPGRADE=--upgrade

audit: $(TOOLS_READY)  ## Ask the advisory database about every locked package
	@$(TOOLS)/python tools/audit.py builder/requirements-dev.txt builder/requirements-tools.txt builder/requirements-clients.txt

sbom: $(TOOLS_READY)  ## Write build/sbom.cdx.json: what an installation consists of, as CycloneDX
	@mkdir -p build
	@$(TOOLS)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom.cdx.json builder/requirements.txt
	@echo build/sbom.cdx.json

$(READY): builder/requirements-dev.txt
	@sh builder/install.sh $(PYTHON) builder/requirements-dev.txt $(VENV)
	@touch $@

# The command of this checkout, for any folder; `pip install .` makes the same for an installation.
$(COMMAND): $(READY)
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/python" -m framepack "$$@"\n' "$(CURDIR)" "$(abspath $(BIN))" > $@
	@chmod +x $@

$(TOOLS_READY): builder/requirements-tools.txt
	@sh builder/install.sh $(PYTHON) builder/requirements-tools.txt .venv-tools
	@touch $@

# One at a time: pip refuses two versions of a package in one file.
$(PIPS): builder/requirements-pips.txt $(READY)
	@grep '^pip==' $< | while read -r pip; do echo "$$pip" > $(@D).txt && $(BIN)/pip download --quiet --no-deps \
	  --require-hashes --disable-pip-version-check --dest $(@D) -r $(@D).txt || exit 1; done
	@touch $@

# The generator of Python clients, which wants other versions than the worker.
$(CLIENTS): builder/requirements-clients.txt
	@sh builder/install.sh $(PYTHON) builder/requirements-clients.txt $(@D)
	@touch $@

# TypeScript's checker and generator of clients; the tests that need them are skipped where there is no npm.
$(NODE): tools/node/package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix $(<D) && touch $@; fi

clean:  ## Remove the environments, caches, build/ and dist/; outputs/ and weights/ may be yours, so they stay
	rm -rf $(VENV) .venv-tools tools/node/node_modules build dist .*_cache .hypothesis .coverage* *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
