# make demo: find failures of a real model, edit them, score the edits (two minutes, offline)
# make test: what continuous integration runs
# make test-versions: the lowest versions that pyproject.toml allows, in an environment of its own (gigabytes)
PYTHON ?= python3
RUN := .venv/bin/python -m
OUT := out/demo

.PHONY: demo test test-versions lint golden faults fuzz reliability
.DEFAULT_GOAL := demo

# The tested versions; remake with: uv pip compile --universal --python-version 3.10 --no-annotate --no-header \
#   --extra dev --extra rebuild --extra ray --extra browser pyproject.toml -o constraints.txt
INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.venv/installed: pyproject.toml constraints.txt
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv || \
	  { echo "error: python3 cannot make a virtual environment; install python3-venv (Debian, Ubuntu)"; exit 2; }
	@echo "installing into .venv (some minutes the first time)"
	@$(INSTALL) .
	@touch $@

.venv/for-tests: .venv/installed
	@$(INSTALL) ".[dev,ray,browser]"
	@touch $@

demo: .venv/installed
	@rm -rf $(OUT)
	@$(RUN) mad.search --pair mini,mini-strong --out $(OUT)/mad
	@$(RUN) leaderboard.submit null-edit ft ft-l2 random-mask --limit 54 --out $(OUT)/leaderboard
	@echo
	@echo "next:  open $(OUT)/mad/report.html"
	@echo "       .venv/bin/python -m leaderboard.submit ft-l2 --sweep                     the trade-off of one editor"
	@echo "       .venv/bin/python -m leaderboard.submit examples/my_editor.py:MyEditor    your own (see README.md)"

test: .venv/for-tests lint
	@OMP_NUM_THREADS=1 $(RUN) pytest -n 2 -m "not slow and not gpu"

# PYTHON=python3.13 RESOLUTION=highest tries the newest
RESOLUTION ?= lowest-direct
VERSIONS := .venv-$(notdir $(PYTHON))-$(RESOLUTION)
test-versions:
	@test -x $(VERSIONS)/bin/python || $(PYTHON) -m venv $(VERSIONS)
	@$(VERSIONS)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VERSIONS)/bin/uv pip install --quiet --python $(VERSIONS) --resolution $(RESOLUTION) -e ".[dev]"
	@OMP_NUM_THREADS=1 $(VERSIONS)/bin/python -m pytest -m "not slow and not gpu" tests/test_examples_in_docstrings.py \
	  tests/test_public_face.py tests/test_no_code_is_run.py tests/benchmark/core tests/benchmark/models tests/generation

# three thousand mutants of files that commands read (tests/fuzz); the tests run two hundred
fuzz: .venv/for-tests
	@OMP_NUM_THREADS=1 $(RUN) tests.fuzz 3000

# all that docs/reliability.md promises
reliability: faults fuzz

# every write of every command is once the last one, and fails; COMMANDS="submit crawl" takes those of some commands
faults: .venv/for-tests
	@OMP_NUM_THREADS=1 $(RUN) tests.survival $(COMMANDS)

# only where an issue says that outcomes change (tests/golden)
golden: .venv/for-tests
	@OMP_NUM_THREADS=1 $(RUN) tests.golden.run

lint: .venv/for-tests
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
