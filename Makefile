# make demo: all five papers on the simulated sky.  make test: the tests.  Both make .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all

.DEFAULT_GOAL := help
.PHONY: help demo test crashtest lint bench clean lock picture slurm

help:
	@echo "make demo       run all five papers on the simulated sky (results/report.html, results/catalogues/)"
	@echo "make test       run the tests"
	@echo "make crashtest  kill a small run fifty times, fill its disk, turn its clock back: the catalogue must not change"
	@echo "make lint       ruff, snakefmt, snakemake --lint, import contracts, mypy"
	@echo "make bench      print the benchmarks"
	@echo "make clean      remove results, downloads and logs (keeps .venv)"

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { echo "tuningfork needs Python 3.11 to 3.13; $$($(PYTHON) --version) found. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/installed
	$(BIN)/tuningfork unlock
	$(BIN)/snakemake --cores $(CORES) --report-after-run --report results/report.html
	@echo; echo "Open results/report.html; the catalogues are in results/catalogues (Deep-CLASH.csv and six more; .parquet, .fits, .vot, .ReadMe beside each)."

test: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile

crashtest: $(VENV)/installed
	$(BIN)/python tests/crash/matrix.py

# Snakemake's slurm plugin for the tests, beside the environment: installed in it, it would slow every start of snakemake.
slurm: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/slurm --requirement requirements-slurm.lock

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python benchmarks/run.py

# The pinned set of packages, made anew from pyproject.toml; envs/*.yaml follow from it (a test compares them).
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet torch==2.13.0 hatchling editables '.[dev]'
	$(VENV)-lock/bin/python -m pip freeze --exclude tuningfork | sed 's/+cpu//' > requirements.lock
	rm -rf $(VENV)-lock

picture: $(VENV)/installed
	$(BIN)/python docs/rule_graph.py

clean:
	rm -rf results/* resources resume logs .snakemake
