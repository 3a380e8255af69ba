# Two commands do all the set-up: `make demo` and `make test`; `make lint` checks the style, `make docs` builds the pages.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
WORKERS ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
WHEEL := $(lastword $(sort $(wildcard packages/en_metaie_sm-*.whl)))

.PHONY: demo test lint docs clean

demo: $(VENV)/.installed
	$(BIN)/python -m metaie_spacy extract assets/sample.txt --labels "person, organization, city, date, amount of money, drug"

# One thread for each process: two processes of one thread do nearly twice the work of one of two.
test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

lint: $(VENV)/.installed
	$(BIN)/ruff check --output-format concise
	$(BIN)/ruff format --check

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) -e ".[docs]"
	touch $@

$(VENV)/.installed: setup.py constraints.txt $(WHEEL)
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e ".[test]"
	$(PIP) $(WHEEL)
	touch $@

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache
