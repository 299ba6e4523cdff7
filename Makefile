# Everything runs inside `.venv`, which the first target that needs it creates
# from requirements.lock (pinned and hashed). Needs only Python 3.11-3.13, pip,
# make and git.
#
#   PYTHON=python3.12   the interpreter .venv is made from (default: python3)
#   ARGS="..."          passed on to train.py, evaluate.py, export.py, hardware.py, predict.py, search.py, benchmark.py, report.py, pytest or the lock resolver

DOCUMENTS := README.md,docs/results.md,docs/comparison.md,docs/benchmarks.md,docs/reference.md,docs/recipe.md,docs/integers.md,docs/hardware.md,docs/fashion_mnist.md,docs/microcontroller.md,docs/ptq.md,docs/search.md

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.synced
OURS := $(VENV)/.made-by-make
CACHES := .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# uv: the one on PATH if it runs, otherwise a private copy below .uv/, pinned by hash in uv.requirements.txt.
ifeq ($(strip $(UV)),)
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
endif
ifeq ($(strip $(UV)),)
UV := .uv/bin/uv
UV_STAMP := .uv/.ready
endif

PYTHON_OK := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
VENV_OK := import sys; sys.exit(sys.prefix == sys.base_prefix or not (3, 11) <= sys.version_info[:2] < (3, 14))

define CHECK_PYTHON
@"$(PYTHON)" -c '$(PYTHON_OK)' >/dev/null 2>&1 || { \
    found=$$("$(PYTHON)" -c 'import platform; print("Python " + platform.python_version())' 2>/dev/null) || found="not there or not working"; \
    echo "error: Python 3.11, 3.12 or 3.13 is needed, but $(PYTHON) is $$found (choose another with PYTHON=/path/to/python3.12)" >&2; \
    exit 1; }
endef

.DEFAULT_GOAL := help
.PHONY: help venv train evaluate export hardware predict search benchmark report docs demo test test-all lint format lock clean distclean

help: ## List the targets
	@echo 'usage: make TARGET [ARGS="..."] [PYTHON=python3.12]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

venv: $(STAMP) ## Create or update .venv from requirements.lock

train: $(STAMP) ## Train, e.g. make train ARGS="model=resnet10 quant.bit=3"
	$(PY) train.py $(ARGS)

evaluate: $(STAMP) ## Evaluate a checkpoint, arguments through ARGS
	$(PY) evaluate.py $(ARGS)

export: $(STAMP) ## Export a checkpoint, e.g. make export ARGS="ckpt_path=... format=onnx"
	$(PY) export.py $(ARGS)

hardware: $(STAMP) ## Write arithmetic units in Verilog, prove and price them, in about a minute; ARGS="hardware=full" for all
	$(PY) hardware.py $(ARGS)

predict: $(STAMP) ## Classify pictures, e.g. make predict ARGS="ckpt_path=... images=photo.jpg"
	$(PY) predict.py $(ARGS)

search: $(STAMP) ## Search bits of layers, e.g. make search ARGS="model=resnet10 experiment=fast search.trials=50"
	$(PY) search.py $(ARGS)

benchmark: $(STAMP) ## Measure what quantised training costs, in about a minute; ARGS="benchmark=full" for all
	$(PY) benchmark.py benchmark=quick $(ARGS)

report: $(STAMP) ## Make outputs/report and the numbers in README.md and docs/ from results/
	$(PY) report.py "documents=[$(DOCUMENTS)]" $(ARGS)
	cp $(addprefix outputs/report/,weight.png accuracy_best.png comparison.png hardware.png) docs/

docs: $(STAMP) ## Make the documentation as a site in outputs/site; whatever is wrong with a link ends it
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict $(ARGS)

demo: $(STAMP) ## Write the page on which digits are drawn, and open it in the browser
	$(PY) export.py ckpt_path=pretrained/resnet18_3bit_apot.safetensors format=web output=outputs/demo.html overwrite=true $(ARGS)
	$(PY) -m webbrowser "file://$(CURDIR)/outputs/demo.html"

test: $(STAMP) ## Run the tests and doctests, without those marked slow
	$(PY) -m pytest -n auto --dist worksteal $(ARGS)

test-all: $(STAMP) ## Run all tests, the slow ones too
	$(PY) -m pytest -n auto --dist worksteal -m "" $(ARGS)

lint: $(STAMP) ## Check style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(STAMP) ## Reformat the code and apply the safe lint fixes
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

# Versions already in the lock are kept where they still fit;
# make lock ARGS=--upgrade moves everything to the newest.
lock: $(UV_STAMP) ## Regenerate requirements.lock from pyproject.toml
	$(CHECK_PYTHON)
	"$(UV)" pip compile --quiet --universal --fork-strategy fewest --generate-hashes \
	    --python-version 3.11 --custom-compile-command "make lock" \
	    --extra dev --extra docs --extra export --extra hardware --extra launchers --extra loggers --extra search --extra web -o requirements.lock $(ARGS) pyproject.toml

clean: ## Remove caches and build products (keeps .venv and outputs/)
	rm -rf $(CACHES) *.egg-info
	find . \( -name .git -o -name .venv -o -name .uv -o -name outputs \) -prune \
	    -o -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## Like clean, and remove .venv and .uv too
	rm -rf $(VENV) .uv

# The stamp is removed first and written last: a .venv of ours without it was left
# half made, and is made anew; one with an outdated stamp is only brought up to
# date; one that somebody else made is left alone.
$(STAMP): requirements.lock pyproject.toml
	$(CHECK_PYTHON)
	@if [ -e $(VENV) ] && ! [ -f $(OURS) ]; then \
	    echo "error: $(VENV) was not made by make: remove it or move it away, then try again" >&2; exit 1; fi
	@if ! [ -f $@ ] || ! $(PY) -c '$(VENV_OK)' 2>/dev/null; then rm -rf $(VENV); fi
	@rm -f $@
	$(if $(UV_STAMP),@$(MAKE) -s --no-print-directory $(UV_STAMP))
	@[ -d $(VENV) ] || { echo "Creating $(VENV) (the first time, this downloads PyTorch)"; \
	    "$(UV)" venv --quiet --python "$$("$(PYTHON)" -c 'import sys; print(sys.executable)')" $(VENV) && \
	    touch $(OURS); }
	"$(UV)" pip sync --python $(PY) --require-hashes --compile-bytecode requirements.lock
	"$(UV)" pip install --python $(PY) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# pip puts the program at .uv/bin/uv either way; the second way is for a Python
# without a pip of its own.
.uv/.ready: uv.requirements.txt
	$(CHECK_PYTHON)
	@echo "Fetching uv into .uv"
	@rm -rf .uv
	@if "$(PYTHON)" -m pip --version >/dev/null 2>&1; then \
	    "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --no-user --target .uv --require-hashes -r $<; \
	else \
	    "$(PYTHON)" -m venv .uv && \
	    .uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<; \
	fi
	@touch $@
