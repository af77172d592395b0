# Every target does its own set-up in .venv and says what it installs; the second time is quick.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SHARE := .venv/share/countersight
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test bench soak lint

setup: .venv/.system .venv/.requirements .venv/.models .venv/.people

# libGL, Chromium and a Chinese font come from Debian; without root they are only named.
.venv/.system: .ci/system-packages
	@.ci/system-packages libraries browser
	@mkdir -p .venv && touch $@

.venv/.requirements: .ci/requirements-dev.txt pyproject.toml
	@echo "installing the pinned Python packages of .ci/requirements-dev.txt into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r .ci/requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.models: .venv/.requirements models/manifest.py
	@echo "installing the face models into $(SHARE)/models (digests and licences: countersight models list)"
	@$(BIN)/countersight models install
	@touch $@

.venv/.people: .venv/.requirements hardware/simulated_people.py
	@echo "fetching the photographs of the demo and the tests into $(SHARE)/people"
	@$(BIN)/python -P -m hardware.simulated_people
	@touch $@

demo: setup
	@$(BIN)/countersight demo

lint: .venv/.requirements
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup lint
	@.ci/system-packages ffprobe
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

bench: setup
	@$(BIN)/python -P -m tests.bench

soak: setup
	$(BIN)/pytest --override-ini timeout=7200 -m soak
