# Commands for people. Each sets up the environment that it needs; `make help` lists them.
PYTHON ?= python3.11
PIP := --disable-pip-version-check --quiet --constraint constraints.txt
DEMO := .venv-demo
TEST := .venv
RUN := .venv-run-side
DOCS := .venv-docs
RELEASE := .venv-release
BIN := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
SAMPLES := examples/images
EXTRAS := train,openvino,ray,video,dicom,web
RUN_EXTRAS := openvino,video,dicom,web
MIN_PYTHON := import sys; sys.exit(sys.version_info < (3, 11))
# tests that need no torch; modules and fixtures in them that do skip themselves where it is missing
RUN_SIDE_TESTS := $(wildcard $(addprefix tests/,io preprocessing measurement metrics inference \
	reporting dicom web cli examples tools test_*.py))

.PHONY: help demo test test-run-side check types words shape trial docs results release clean

help:
	@echo "make demo           segment the sample images, without torch"
	@echo "make test           lint, types, import contracts and all tests"
	@echo "make test-run-side  tests of the run side, in an environment without torch"
	@echo "make check          lint, types, import contracts, shape and words"
	@echo "make words          forbidden words in code, docs and web page, each with a suggestion"
	@echo "make shape          files, code lines, cycles, Any, forbidden words, documented names"
	@echo "make docs           build the documentation into site/ (strict), with its notebook executed"
	@echo "make results        unpack the benchmark's runs and write its tables and figures again"
	@echo "make release        wheel, source distribution and SBOM (CycloneDX) in dist/"
	@echo "make trial          long trials: kills, live video, load, random requests"

FIND_PYTHON = PY=$$(command -v $(PYTHON) || command -v python3)

# $(1) = folder, $(2) = what to install. Dependency groups need pip 25.1 or later.
define environment
	@$(FIND_PYTHON); \
	"$$PY" -c "$(MIN_PYTHON)" || { echo "Suraksha needs Python 3.11 or later"; exit 1; }; \
	test -x $(1)/$(BIN)/python || "$$PY" -m venv $(1) || { echo "On Debian: apt-get install python3-venv"; rm -rf $(1); exit 1; }
	@echo "installing into $(1)"
	@$(1)/$(BIN)/python -m pip install $(PIP) pip
	@$(1)/$(BIN)/python -m pip install $(PIP) $(2)
	@touch $@
endef

$(DEMO)/ready: pyproject.toml constraints.txt $(shell find src -type f -not -name '*.pyc')
	$(call environment,$(DEMO),.)

$(TEST)/ready: pyproject.toml constraints.txt
	$(call environment,$(TEST),--editable '.[$(EXTRAS)]' --group dev)

$(RUN)/ready: pyproject.toml constraints.txt
	$(call environment,$(RUN),--editable '.[$(RUN_EXTRAS)]' --group test-run-side)

$(DOCS)/ready: pyproject.toml constraints.txt
	$(call environment,$(DOCS),--editable . --group docs)

$(RELEASE)/ready: pyproject.toml constraints.txt
	$(call environment,$(RELEASE),--group release)

demo: $(DEMO)/ready
	@$(DEMO)/$(BIN)/suraksha segment $(SAMPLES) --out demo --spacing 0.1 --verbose
	@echo "open in a browser: $(CURDIR)/demo/report.html"

check: words shape $(TEST)/ready
	$(TEST)/$(BIN)/ruff check .
	$(TEST)/$(BIN)/ruff format --check .
	$(TEST)/$(BIN)/mypy
	$(TEST)/$(BIN)/lint-imports
	$(TEST)/$(BIN)/pytest -q tests/contracts/test_architecture.py

types: $(TEST)/ready
	$(TEST)/$(BIN)/mypy

# these two need no environment
words:
	@$(FIND_PYTHON); "$$PY" tools/words.py

shape:
	@$(FIND_PYTHON); "$$PY" tools/shape.py

# two processes of one thread each: threads that wait for each other are much slower
test: check
	OMP_NUM_THREADS=1 $(TEST)/$(BIN)/pytest -q --numprocesses 2 --dist loadfile

test-run-side: $(RUN)/ready
	@! $(RUN)/$(BIN)/python -c "import torch" 2> /dev/null || { echo "$(RUN) holds torch: remove the folder"; exit 1; }
	OMP_NUM_THREADS=1 $(RUN)/$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile $(RUN_SIDE_TESTS)

trial: $(TEST)/ready
	$(TEST)/$(BIN)/python trials/kill_and_resume.py
	$(TEST)/$(BIN)/python trials/live.py
	$(TEST)/$(BIN)/python trials/node_kills.py
	$(TEST)/$(BIN)/python trials/web_load.py
	$(TEST)/$(BIN)/python trials/web_schemathesis.py

docs: $(DOCS)/ready
	$(DOCS)/$(BIN)/mkdocs build --strict

# The runs themselves: `suraksha bench run plans/benchmark-cpu.toml --data Dataset_BUSI_with_GT`.
results: $(TEST)/ready
	$(TEST)/$(BIN)/python tools/results.py unpack
	$(TEST)/$(BIN)/suraksha bench table plans/benchmark-cpu.toml --out docs/results/benchmark-cpu/tables > /dev/null
	$(TEST)/$(BIN)/suraksha bench figures plans/benchmark-cpu.toml

# The SBOM lists what `pip install` of the wheel brings with the pins, each with version and licence.
# `dynamic` is replaced because CycloneDX reads a static version only.
release: $(RELEASE)/ready
	rm -rf dist .venv-sbom
	$(RELEASE)/$(BIN)/python -m build --no-isolation --outdir dist
	$(RELEASE)/$(BIN)/python -m venv --without-pip .venv-sbom
	$(RELEASE)/$(BIN)/python -m pip --python .venv-sbom install $(PIP) dist/*.whl
	VERSION=$$(basename dist/*.tar.gz .tar.gz | cut -d- -f2) && \
	sed "s/^dynamic = .*/version = \"$$VERSION\"/" pyproject.toml > .venv-sbom/pyproject.toml && \
	$(RELEASE)/$(BIN)/cyclonedx-py environment --pyproject .venv-sbom/pyproject.toml \
		--mc-type library --output-reproducible --of JSON \
		--output-file "dist/suraksha-$$VERSION.cdx.json" .venv-sbom/$(BIN)/python
	rm -rf .venv-sbom

clean:
	rm -rf $(DEMO) $(TEST) $(RUN) $(DOCS) $(RELEASE) .venv-sbom demo dist build site
