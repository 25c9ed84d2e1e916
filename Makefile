# The two commands: `make bench` and `make test`. Both set up .venv when it is absent.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What the caller's shell has active must not leak into this environment.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTEST_ADDOPTS

.PHONY: bench test lint faults mutations survival references overhead growth power worth pages schemas clean

bench: $(VENV)/.installed
	$(BIN)/jacbench run 'basics/*' --operator jacobian

test: $(VENV)/.installed
	$(BIN)/python -m pytest tests --numprocesses 2 --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

faults: $(VENV)/.installed
	$(BIN)/python tests/fault_table.py

mutations: $(VENV)/.installed
	$(BIN)/python -m tests.mutations

survival: $(VENV)/.installed
	$(BIN)/python tests/survival_table.py

references: $(VENV)/.installed
	$(BIN)/python tests/reference_table.py

overhead: $(VENV)/.installed
	$(BIN)/python benchmarks/overhead_xp.py
	$(BIN)/python benchmarks/overhead_wrapper.py

growth: $(VENV)/.installed
	$(BIN)/python benchmarks/growth.py

power: $(VENV)/.installed
	$(BIN)/jacbench gate --self-test --pairs 200 --cells 72
	$(BIN)/jacbench gate --self-test --pairs 200 --cells 72 --neighbours 2

worth: $(VENV)/.installed
	$(BIN)/python benchmarks/structure.py
	$(BIN)/python benchmarks/products.py
	$(BIN)/python benchmarks/habits.py
	$(BIN)/python benchmarks/time_to_answer.py
	$(BIN)/python benchmarks/regret.py --no-compile --time-limit 30 --blocks 30
	$(BIN)/python benchmarks/limit.py

pages: $(VENV)/.installed
	$(BIN)/python -m benchmarks.pages

schemas: $(VENV)/.installed
	$(BIN)/python -m benchmarks.schemas

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "jacbench needs Python 3.11 or newer, found " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,flax,equinox,sparse,dev]'
	touch $@

clean:
	rm -rf $(VENV) build .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
