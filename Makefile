# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
WHEEL := $(lastword $(sort $(wildcard packages/en_metaie_sm-*.whl)))

.PHONY: demo test clean

demo: $(VENV)/.installed
	$(BIN)/python -m metaie_spacy extract assets/sample.txt --labels "person, organization, city, date, amount of money, drug"

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q

$(VENV)/.installed: setup.py constraints.txt $(WHEEL)
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e ".[test]"
	$(PIP) $(WHEEL)
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache
