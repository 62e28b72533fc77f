# Everything below needs Python 3.11, 3.12 or 3.13, make and a package registry, and nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
# make quickstart RECIPE=configs/quickstart.yaml OUTPUT=runs/quickstart
OUTPUT ?= runs/quickstart

.PHONY: setup quickstart test test-servers check format lock clean

setup:
	@$(PYTHON) infra/setup_venv.py

quickstart: setup
	@$(BIN)/hone optimize configs/quickstart.yaml --output $(OUTPUT)

test: setup
	@$(BIN)/python -m pytest

# What infra/compose.yaml wires, without containers. Says what is missing, and installs nothing itself.
test-servers: setup
	@$(BIN)/python -m pytest -n 0 -m servers -rs tests/servers

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup
	@infra/lock.sh

clean:
	rm -rf .venv .hone runs
