# Text behind ## is what `make help` shows.
PYTHON ?= python3
RUN := .venv/bin/python -m
OUT := out/demo

.PHONY: demo help test test-versions lint golden records report faults fuzz reliability
.DEFAULT_GOAL := demo

# The tested versions; remake with: uv pip compile --universal --python-version 3.10 --no-annotate --no-header \
#   --extra dev --extra rebuild --extra onnx --extra ray --extra browser --extra board pyproject.toml -o constraints.txt
LOCKED := -c constraints.txt -e
FOR_TESTS := ".[dev,onnx,ray,browser,board]"# a name, because make takes what $(call) is given apart at each comma

# $(call environment,FOLDER): a virtual environment of a Python that will do. One without its Python, or whose installation
# did not end, is made again; any other is left as it is.
GOAL := $(firstword $(MAKECMDGOALS) demo)
OLD := import sys; v = sys.version_info; sys.exit(v < (3, 10) and "error: %s is Python %d.%d, and 3.10 or newer is \
needed: %smake $(GOAL) PYTHON=python3.12" % (sys.argv[1], v[0], v[1], sys.argv[2]))
define environment
if test -e $(1)/unfinished || ! test -x $(1)/bin/python; then rm -rf $(1); fi; \
if test -d $(1); then python=$(1)/bin/python; first="rm -r $(1), then "; else python="$(PYTHON)"; first=""; fi; \
command -v "$$python" > /dev/null || { echo "error: there is no $$python; \
install Python 3.10 or newer, or name it: make $(GOAL) PYTHON=python3.12" >&2; exit 2; }; \
"$$python" -c '$(OLD)' "$$python" "$$first" || exit 2; \
test -d $(1) || { mkdir $(1) && touch $(1)/unfinished && "$$python" -m venv $(1); } || { echo "error: $$python \
cannot make a virtual environment; install python3-venv (Debian, Ubuntu)" >&2; exit 2; }
endef

# $(call install,FOLDER,WHAT): by uv, which pip puts there; where uv cannot be had, or fails, by pip
define install
{ $(1)/bin/python -m pip install --quiet --disable-pip-version-check uv && \
  $(1)/bin/uv pip install --quiet --python $(1)/bin/python $(2); } 2> $(1)/uv.log || \
{ echo "uv failed ($(1)/uv.log); pip goes on, which takes longer" && \
  $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2); }
endef

# An environment whose Python went away (an upgrade) is installed again.
GONE := $(shell test -x .venv/bin/python || rm -f .venv/installed .venv/for-tests)
.venv/installed: pyproject.toml constraints.txt
	@$(call environment,.venv)
	@echo "installing into .venv"
	@$(call install,.venv,$(LOCKED) ".[board]")
	@rm -f .venv/unfinished
	@touch $@

.venv/for-tests: .venv/installed
	@$(call install,.venv,$(LOCKED) $(FOR_TESTS))
	@touch $@

demo: .venv/installed ## find failures of a real model, edit them, score and see the edits (offline; `make` does it)
	@$(RUN) mad.search --pair mini,mini-strong --out $(OUT)/mad
	@$(RUN) leaderboard.submit null-edit ft ft-l2 random-mask hypernetwork head-only --limit 18 --out $(OUT)/leaderboard
	@$(RUN) leaderboard.site $(OUT)/leaderboard --out $(OUT)/site

help: ## list what make can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "PYTHON=python3.12 behind any of them names the Python that .venv is made with, 3.10 or newer"

test: .venv/for-tests lint ## what continuous integration runs
	@OMP_NUM_THREADS=1 $(RUN) pytest -n 2 -m "not slow and not gpu"

# PYTHON=python3.13 RESOLUTION=highest tries the newest
RESOLUTION ?= lowest-direct
VERSIONS := .venv-$(notdir $(PYTHON))-$(RESOLUTION)
test-versions: ## the lowest versions that pyproject.toml allows, in an environment of its own (gigabytes)
	@$(call environment,$(VERSIONS))
	@$(VERSIONS)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VERSIONS)/bin/uv pip install --quiet --python $(VERSIONS) --resolution $(RESOLUTION) -e ".[dev]"
	@rm -f $(VERSIONS)/unfinished
	@OMP_NUM_THREADS=1 $(VERSIONS)/bin/python -m pytest -m "not slow and not gpu" tests/test_examples_in_docstrings.py \
	  tests/test_public_face.py tests/test_no_code_is_run.py tests/benchmark/core tests/benchmark/models tests/generation

lint: .venv/for-tests ## style and types
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

reliability: faults fuzz ## all that docs/reliability.md promises

faults: .venv/for-tests ## every write of every command is once the last one, and fails; COMMANDS="submit crawl" for some
	@OMP_NUM_THREADS=1 $(RUN) tests.survival $(COMMANDS)

fuzz: .venv/for-tests ## three thousand mutants of files that commands read; the tests run two hundred
	@OMP_NUM_THREADS=1 $(RUN) tests.fuzz 3000

golden: .venv/for-tests ## remake what outcomes are compared with, where an issue says that they change (tests/golden)
	@OMP_NUM_THREADS=1 $(RUN) tests.golden.run

records: .venv/for-tests ## make all records of leaderboard/results again, at this commit (hours; goes on where it was stopped)
	@$(RUN) tests.records

report: .venv/for-tests ## the paper's figures and claims on the mini, and the docs' tables and pictures
	@OMP_NUM_THREADS=1 $(RUN) leaderboard.paper --base mini --data mini --device cpu --out out/report-mini
	@$(RUN) tests.records.docs
