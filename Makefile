# Everything below needs Python 3.11, 3.12 or 3.13, make and a package registry, and nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
# make quickstart RECIPE=configs/quickstart.yaml OUTPUT=runs/quickstart
OUTPUT ?= runs/quickstart

# The other Pythons that Hone is for, as far as this machine has them, each in an environment of its own.
OTHER_PYTHONS ?= $(foreach version,3.12 3.13,$(shell command -v python$(version)))

.PHONY: setup quickstart quickstart-lm test test-servers test-all test-pythons check format reference lock clean

setup:
	@$(PYTHON) infra/setup_venv.py

quickstart: setup
	@$(BIN)/hone optimize configs/quickstart.yaml --output $(OUTPUT)

quickstart-lm: setup
	@$(BIN)/hone optimize configs/quickstart-lm.yaml --output $(OUTPUT)-lm

test: setup
	@$(BIN)/python -m pytest

# What infra/compose.yaml wires, without containers. Says what is missing, and installs nothing itself.
test-servers: setup
	@$(BIN)/python -m pytest -n 0 -m servers -rs tests/servers

# Both at once, which takes two cores less long than one after the other.
test-all: setup
	@$(BIN)/python -m pytest -m "servers or not servers" -rs

# What Python itself decides, without Ray and servers: settings, data, statistics, files, training, export.
test-pythons:
	@for python in $(OTHER_PYTHONS); do \
	  $$python -c pass 2>/dev/null || continue; \
	  export HONE_VENV=.venv-$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$$python in $$HONE_VENV" && $$python infra/setup_venv.py && \
	  $$HONE_VENV/bin/python -m pytest tests/configs tests/data tests/gate tests/tasks/test_cache.py \
	    tests/tasks/test_stage.py tests/tasks/test_output.py tests/prune tests/quantize/test_fake_quantization.py \
	    tests/export/test_export_checkpoint.py tests/flows/test_command.py || exit 1; \
	done

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# configs/README.md, of the typed settings.
reference: setup
	@$(BIN)/python -m hone.configs.reference

lock: setup
	@infra/lock.sh

clean:
	rm -rf .venv .venv-3.* .hone runs
