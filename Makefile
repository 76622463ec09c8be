# Two commands for people: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3.11
PIP := --disable-pip-version-check --quiet --constraint constraints.txt
DEMO := .venv-demo
TEST := .venv
IMAGES := examples/images
EXTRAS := train,openvino,ray,video,dicom,web,dev
MIN_PYTHON := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: demo test check trial clean help

help:
	@echo "make demo   segment the sample images, without torch"
	@echo "make test   lint, types, import contracts and all tests"
	@echo "make check  lint, types and import contracts alone"
	@echo "make trial  the long trials: kills, live video, load, requests at random"

# $(1) = folder, $(2) = what to install
define environment
	@PY=$$(command -v $(PYTHON) || command -v python3); \
	"$$PY" -c "$(MIN_PYTHON)" || { echo "Suraksha needs Python 3.11 or later"; exit 1; }; \
	test -x $(1)/bin/python || "$$PY" -m venv $(1) || { echo "On Debian: apt-get install python3-venv"; rm -rf $(1); exit 1; }
	@echo "installing into $(1)"
	@$(1)/bin/python -m pip install $(PIP) $(2)
	@touch $@
endef

$(DEMO)/ready: pyproject.toml constraints.txt $(shell find src -type f -not -name '*.pyc')
	$(call environment,$(DEMO),.)

$(TEST)/ready: pyproject.toml constraints.txt
	$(call environment,$(TEST),--editable '.[$(EXTRAS)]')

demo: $(DEMO)/ready
	@$(DEMO)/bin/suraksha segment $(IMAGES) --out demo --spacing 0.1 --json > /dev/null
	@echo "masks, overlays, results.jsonl, results.csv: $(CURDIR)/demo"
	@echo "page to open: $(CURDIR)/demo/report.html"

check: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	$(TEST)/bin/lint-imports
	$(TEST)/bin/pytest -q tests/contracts/test_house.py

# two processes of one thread each: threads that wait for each other are far slower than that
test: check
	OMP_NUM_THREADS=1 $(TEST)/bin/pytest -q --numprocesses 2 --dist loadfile

trial: $(TEST)/ready
	$(TEST)/bin/python trials/kill_and_resume.py
	$(TEST)/bin/python trials/live.py
	$(TEST)/bin/python trials/node_kills.py
	$(TEST)/bin/python trials/web_load.py
	$(TEST)/bin/python trials/web_schemathesis.py

clean:
	rm -rf $(DEMO) $(TEST) demo dist build
