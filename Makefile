# Each target sets itself up: a virtual environment in .venv with the tested versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BROWSER := $(VENV)/.browser
OLDEST := .venv-oldest

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-browser test-oldest lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY)  ## train on the built-in corpus, test, translate, draw (about 3 minutes on 2 cores)
	$(BIN)/python scripts/demo.py

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest -q

test-slow: $(READY)  ## run the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

test-browser: $(BROWSER)  ## run the tests that look at pages in Chromium, which must be installed
	$(BIN)/python -m pytest -q -m browser

test-oldest: $(OLDEST)/.ready  ## run the tests on the oldest supported versions
	$(OLDEST)/bin/python -m pytest -q

lint: $(READY)  ## check style, and the model files against transformers' contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/lint_model.py

format: $(READY)  ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment and what runs wrote
	rm -rf $(VENV) $(OLDEST) runs build *.egg-info .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

$(BROWSER): $(READY)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[browser]"
	touch $@

# what the old versions need of other packages is theirs to say
PINNED := transformers|huggingface_hub|tokenizers|safetensors|accelerate

$(OLDEST)/.ready: pyproject.toml constraints.txt constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	grep -vE '^($(PINNED))==' constraints.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/pip install -q --disable-pip-version-check -c $(OLDEST)/constraints.txt torch
	$(OLDEST)/bin/pip install -q --disable-pip-version-check -c $(OLDEST)/constraints.txt -c constraints-oldest.txt -e ".[dev]"
	touch $@
