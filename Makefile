# Everything there is to remember. The environment .venv is made on first use, with uv when it is
# installed (`make UV= ...` does without) and with Python's own venv and pip otherwise.

PYTHON ?= python3
UV ?= $(shell command -v uv 2>/dev/null)
ARGS ?=
# One process more than cores: that of the browser mostly waits.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder

BIN := .venv/bin
# The default python3 may be old where a newer one stands beside it; a PYTHON that was named is final.
PYTHONS = $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.14 python3.13 python3.12 python3.11)
CHROMES = "$(CHROME)" chromium chromium-browser google-chrome google-chrome-stable \
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
# The first browser that runs (Ubuntu's chromium-browser may be an empty shell); looked up when used.
find_chrome = $(shell for name in $(CHROMES); do \
	path=$$(command -v "$$name") && "$$path" --version >/dev/null 2>&1 && echo "$$path" && break; \
	done 2>/dev/null)

# uv may be there without knowing this machine's package index or certificates, which pip does.
PIP = { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; } \
	&& $(BIN)/python -m pip --disable-pip-version-check
uv_or_pip = if [ -n "$(UV)" ] && "$(UV)" $(1); then :; else \
	[ -z "$(UV)" ] || echo "uv could not do it; trying pip"; $(PIP) $(2); fi

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SHELLFLAGS := -eu -c
.PHONY: help demo test lint bench parity docs pages static soak wheel-check browser clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: .venv/.core ## start the app (options: make demo ARGS="--help")
	@$(BIN)/moe app $(ARGS)

test: .venv/.test browser ## run all tests, the browser's too
	@echo "Running the tests (pytest $(PYTEST_ARGS))"
	@CHROME="$(find_chrome)" $(BIN)/python -m pytest -q $(PYTEST_ARGS) $(ARGS)

lint: .venv/.lint ## check style, formatting and types
	@echo "Checking style (ruff check), formatting (ruff format --check) and types (mypy)"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { \
		echo "Not formatted as ruff would; mend with: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy

bench: .venv/.core ## measure speed on this machine (options: make bench ARGS="--help")
	@$(BIN)/python -c 'from importlib.util import find_spec as f; import sys; sys.exit(not (f("torch") and f("transformers")))' || { \
		echo "Installing what is compared with: PyTorch and transformers (once)"; \
		$(PIP) install --quiet -e '.[bench]' || echo "They could not be installed; the run leaves them out"; }
	@$(BIN)/python -m benchmarks $(ARGS)

define with_library
$(BIN)/python -c 'from importlib.util import find_spec as f; import sys; sys.exit(not (f("torch") and f("transformers")))' || { \
	echo "Installing the reference library: PyTorch and transformers (once)"; \
	$(PIP) install --quiet -e '.[parity]'; }
endef

parity: .venv/.test ## compare with the live reference library: layers, gradients, router outputs
	@$(with_library)
	@$(BIN)/python -m tests.parity $(ARGS)
	@$(BIN)/python -m pytest -q -m parity

docs: .venv/.docs ## build the documentation into site/
	@echo "Building the documentation into site/"
	@CHROME="$(find_chrome)" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pages: .venv/.core ## write the generated pages again (train again: make pages ARGS=--ablation)
	@echo "Writing the generated pages of the documentation"
	@$(BIN)/python -m docs.generator $(ARGS)

static: .venv/.core ## write the static edition into edition/ (another folder: make static ARGS=FOLDER)
	@$(BIN)/moe static $(or $(ARGS),edition)

soak: .venv/.test browser ## run the tests that take minutes
	@$(with_library)
	@echo "Running the soak tests, minutes (pytest $(PYTEST_ARGS))"
	@CHROME="$(find_chrome)" $(BIN)/python -m pytest -q -m soak $(PYTEST_ARGS) $(ARGS)

wheel-check: .venv/.core ## build the wheel and run moe from it
	@echo "Building the wheel and running moe from it"
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(call uv_or_pip,build --quiet --wheel --out-dir "$$tmp" .,wheel --quiet --no-deps --wheel-dir "$$tmp" .); \
	$(BIN)/python -m zipfile -e "$$tmp"/moescope-*.whl "$$tmp/site"; \
	for file in moe/py.typed moe/_app/app.py moe/_app/.streamlit/config.toml \
		moe/lessons/course/letters.md moe/lessons/records/reads.json; do \
		test -f "$$tmp/site/$$file" || { echo "The wheel lacks $$file" >&2; exit 1; }; \
	done; \
	cd "$$tmp"; export PYTHONPATH="$$tmp/site"; \
	"$(CURDIR)/$(BIN)/python" -c 'import moe, os, sys; sys.exit(not moe.__file__.startswith(os.environ["PYTHONPATH"]))'; \
	"$(CURDIR)/$(BIN)/python" -m moe --help >/dev/null

browser: # make sure that the tests have a Chromium or Chrome
	@if [ -n "$(find_chrome)" ]; then exit 0; fi; \
	give_up() { echo "The browser tests need Chromium or Chrome, and $$1. Install one, or name it: make test CHROME=/path/to/chrome" >&2; exit 1; }; \
	command -v apt-get >/dev/null || give_up "none was found"; \
	if [ "$$(id -u)" -eq 0 ]; then sudo=""; \
	elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	else give_up "installing it takes root rights"; fi; \
	echo "Installing Chromium for the browser tests (once)"; \
	$$sudo apt-get -qq update; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null \
	|| give_up "apt-get could not install it"; \
	command -v chromium >/dev/null || give_up "the package chromium brought none"

clean: ## remove everything that make made, the environment too
	@rm -rf .venv build dist edition site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per set of packages, so that nothing is installed twice until pyproject.toml changes.
.venv/.core: EXTRA =
.venv/.test: EXTRA = [test]
.venv/.lint: EXTRA = [lint]
.venv/.docs: EXTRA = [docs]
.venv/.core .venv/.test .venv/.lint .venv/.docs: pyproject.toml | .venv/bin/python
	@echo "Installing moescope$(EXTRA) into .venv (once)"
	@$(call uv_or_pip,pip install --quiet --python $(BIN)/python -e '.$(EXTRA)',install --quiet -e '.$(EXTRA)')
	@$(BIN)/python -m compileall -q moe || true
	@touch .venv/.core $@

.venv/bin/python:
	@for python in $(PYTHONS); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
		python=""; \
	done; \
	if [ -z "$$python" ]; then \
		echo "MoEscope needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1 || true). Name another: make demo PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	echo "Making the environment .venv with $$("$$python" -V)"; \
	rm -rf .venv; \
	if [ -n "$(UV)" ]; then "$(UV)" venv --quiet --python "$$(command -v "$$python")" .venv; \
	else "$$python" -m venv .venv || { \
		rm -rf .venv; \
		echo "$$python cannot make an environment; install its venv module (Debian, Ubuntu: apt install python3-venv) or uv" >&2; \
		exit 1; }; \
	fi
