# Every target installs what it needs by itself, into .venv (or .venv-bench), the first time and after each change of a pin.
PYTHON ?= python3
BIN := .venv/bin
BENCH := .venv-bench/bin
HOUSE := ../shared/tools/house.py

.PHONY: help demo test check interop bench results clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile

demo: .venv/installed  ## train PPO on CartPole-v1 with the defaults
	$(BIN)/keywork train ppo --env CartPole-v1

test: .venv/installed  ## run the tests, the docstrings' examples and the code blocks of every page
	$(BIN)/python -m pytest -n 2

check: .venv/installed  ## lint, format, types, and the structure of the package
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if [ -f $(HOUSE) ]; then $(BIN)/python $(HOUSE) --strict; else echo "no $(HOUSE) here: left out"; fi

interop: .venv-bench/installed  ## run the tests that need TorchRL, in the environment that has it
	$(BENCH)/python -m pytest tests/interop src/keywork/interop

bench: .venv-bench/installed  ## measure speed, beside the peers
	$(BENCH)/python benchmarks/run.py

results: .venv/mujoco  ## train every row of docs/results.md again: many hours; ONLY=text for some rows
	$(BIN)/python benchmarks/results.py $(if $(ONLY),--only "$(ONLY)")

clean:  ## remove the environments and the caches, never the runs
	rm -rf .venv .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The environments. Torch goes first and by its exact pin: where a small build of just that version is at hand, pip takes it.
.venv/installed: EXTRAS = dev,plots
.venv/installed .venv/mujoco: PINS = constraints.txt
.venv-bench/installed: EXTRAS = dev,plots,bench
.venv-bench/installed: PINS = constraints-bench.txt
.venv/installed: constraints.txt
.venv-bench/installed: constraints-bench.txt
.venv/installed .venv-bench/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "keywork needs Python 3.11 or newer, which '$(PYTHON)' is not. Type: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into $(@D): a few minutes the first time."
	@$(PYTHON) -m venv $(@D)
	@echo '*' > $(@D)/.gitignore
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c $(PINS) `grep '^torch==' $(PINS)`
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c $(PINS) -e '.[$(EXTRAS)]'
	@touch $@
.venv/mujoco: .venv/installed
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c $(PINS) -e '.[mujoco]'
	@touch $@
