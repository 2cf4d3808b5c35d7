# Everything below works on a fresh clone with Python 3.11 and make: .venv is made when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= out/run
BUNDLE ?= out/bundle
MINUTES ?= 60
SCHEDULES ?= 1000000
LAMBDA_BUNDLE = $(if $(filter file,$(origin BUNDLE)),tests/data/bundle,$(BUNDLE))

.DEFAULT_GOAL := help
.PHONY: help export test test-all conformance lint docs floors bench bench-lambda simulate crash faults races sharing memory soak lambda-faults lambda-hard lambda-trace ray-deaths format clean

##@ Everyday

help: ## List the targets
	@awk -F ':.*## ' '/^##@ /{print "\n" substr($$0, 5)} /^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] >= (3, 11) else "pairlift needs Python 3.11 or newer, found " + sys.version.split()[0] + "; say which with PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[training,export,tfds,parquet,zstd,s3,dev]'
	@touch $@

export: $(VENV)/installed ## Train, export and score the embedded example; yours with RUN=run BUNDLE=bundle
ifeq ($(origin RUN),file)
	@mkdir -p out
	$(BIN)/pairlift train sample:nli $(RUN) --force
	$(BIN)/pairlift export $(RUN) $(BUNDLE) --force
	$(BIN)/pairlift verify $(BUNDLE)
	@rm -f out/scores.csv
	$(BIN)/pairlift score $(BUNDLE) docs/pairs.csv out/scores.csv
	@head -n 4 out/scores.csv
	@echo
	@echo "made:  $(RUN)         the trained model (model.keras, run.json, history.csv, MODEL_CARD.md)"
	@echo "       $(BUNDLE)      the bundle: ONNX, SavedModel, tokenizer, proof (parity.html)"
	@echo "       out/scores.csv  docs/pairs.csv with a prediction and probabilities for each row"
	@echo "next:  $(BIN)/pairlift inspect $(BUNDLE)"
	@echo "       $(BIN)/pairlift evaluate $(BUNDLE) 'sample:nli[test]'"
	@echo "       make export RUN=your-run BUNDLE=your-bundle   (pairlift train --help says how to make a run)"
else
	$(BIN)/pairlift export $(RUN) $(BUNDLE)
	$(BIN)/pairlift verify $(BUNDLE)
	@echo "next:  $(BIN)/pairlift score $(BUNDLE) pairs.csv scores.csv"
endif

test: $(VENV)/installed ## Run the tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m 'not slow'

test-all: $(VENV)/installed ## Run the tests, those that take long too
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

conformance: $(VENV)/installed ## Hold the local engine, Ray and the function to the same bytes, and to the same deaths
	$(BIN)/python -m pytest tests/ray/test_conformance.py tests/aws/test_lambda_jobs.py tests/deploy/test_lambda_build.py tests/storage/test_s3.py tests/outputs/test_suspended.py

lint: $(VENV)/installed ## Run ruff and mypy, and see that the docs say what the code says
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cog -I docs --check README.md docs/commands.md

docs: $(VENV)/installed ## Write the generated parts of the docs
	$(BIN)/cog -I docs -r README.md docs/commands.md

format: $(VENV)/installed ## Format the code
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-peers out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

##@ Sweeps

simulate: $(VENV)/installed ## Play a million schedules of processes that meet, fail and die; SCHEDULES=10000 for fewer
	cd tests && $(abspath $(BIN))/python -m simulation $(SCHEDULES) --lines --reverted

crash: $(VENV)/installed ## Kill a job at every system call that matters, and resume it (needs strace)
	$(BIN)/python tests/sweeps/crash.py kill
	$(BIN)/python tests/sweeps/crash.py kill real 60

faults: $(VENV)/installed ## Have storage fail at every such call, be full, be read-only (needs strace and root)
	$(BIN)/python tests/sweeps/crash.py ENOSPC
	$(BIN)/python tests/sweeps/crash.py EIO
	$(BIN)/python tests/sweeps/storage.py

races: $(VENV)/installed ## Two jobs on one output, and inputs that change, 200 rounds
	$(BIN)/python tests/sweeps/races.py 200

sharing: $(VENV)/installed ## Kill processes that share a job, 200 times
	$(BIN)/python tests/sweeps/sharing.py 200

ray-deaths: $(VENV)/installed ## Kill the workers and drivers of Ray jobs at random, 30 rounds, and resume them
	$(BIN)/python tests/sweeps/ray_deaths.py 30

floors: $(VENV)/installed ## The runner's tests at the lowest versions, on Python 3.11 and 3.13; FLOORS=python3.12 for another
	$(BIN)/python tests/sweeps/floors.py $(FLOORS)

memory: $(VENV)/installed ## Peak memory against ten times the rows, and against hostile files
	$(BIN)/python tests/sweeps/memory.py

soak: $(VENV)/installed ## Kill and resume jobs at random for an hour; MINUTES=15 for less
	$(BIN)/python benchmarks/soak.py $(MINUTES)

lambda-faults: $(VENV)/installed ## Kill, duplicate, throttle and cut off containers of the function at random
	PYTHONPATH=tests $(BIN)/python tests/sweeps/lambda_faults.py 150

lambda-hard: $(VENV)/installed ## The function read-only, 512 MB, one processor, no network (needs root); yours with BUNDLE=bundle
	PYTHONPATH=tests $(BIN)/python tests/sweeps/lambda_hard.py $(LAMBDA_BUNDLE)

lambda-trace: $(VENV)/installed ## See that the function writes nothing and reaches nobody (needs strace); yours with BUNDLE=bundle
	PYTHONPATH=tests $(BIN)/python tests/sweeps/lambda_trace.py $(LAMBDA_BUNDLE)

##@ Benchmarks

bench: $(VENV)/installed .venv-peers/installed ## Measure beside sentence-transformers, optimum and others (an hour)
	$(BIN)/python benchmarks/peers.py tiny
	$(BIN)/python benchmarks/peers.py base
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/scaling.py
	.venv-peers/bin/python benchmarks/draw.py

.venv-peers/installed: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/peers.txt
	@touch $@

bench-lambda: $(VENV)/installed ## Cold and warm times of the function on this machine; BUNDLE=bundle
	PYTHONPATH=tests $(BIN)/python benchmarks/lambda.py $(BUNDLE)
