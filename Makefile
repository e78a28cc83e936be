# Each target does all its own set-up on a fresh machine with Python 3.11+, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# torch's threads wait for work without burning the cores that x264 wants; on two cores this is worth up to 8 times.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test test-long check docs dist lock clean

demo: $(READY)  ## The worker's main job for real: upscale the clip of test_input.json
	@PYTHONPATH=. $(BIN)/python builder/demo.py

test: check  ## Everything that guards the project, except the long tests
	$(BIN)/pytest

test-long: $(READY)  ## The tests that take minutes
	$(BIN)/pytest -m slow

check: $(READY)  ## Format, lint, types and architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## Write the generated documentation
	$(BIN)/python -m framepack.docs

dist: $(READY)  ## Build the source archive, and from it the wheel, with the locked tools
	rm -rf dist
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('dist')"
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist dist/*.tar.gz

lock: $(READY)  ## Resolve pyproject.toml anew into builder/requirements*.txt
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" -o builder/requirements.txt
	$(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade \
	  --custom-compile-command "make lock" --extra weights --group dev -c builder/requirements.txt \
	  -o builder/requirements-dev.txt

$(READY): builder/requirements-dev.txt
	@sh builder/install.sh $(PYTHON) builder/requirements-dev.txt $(VENV)
	@touch $(READY)

clean:  ## Remove what the targets made
	rm -rf $(VENV)
