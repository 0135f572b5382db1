# Two commands from nothing: `make demo` and `make test`. Python 3.11-3.13 and make are all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv
EXTRAS := --extra cpu --extra jax --extra lab --extra pipeline --extra efficientnet --extra encoders --extra onnx --extra openvino --group dev
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --durations 25

# JupyterLab asks for it of root, who in a container is anybody.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

# Where the environment forbids it, each process compiles all that it imports: 13 s, not 4, for TensorFlow.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-nightly test-lock benchmark test-lower-bounds lint format api pictures lab lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 22

demo: $(VENV)/ready ## images to report on synthetic lesions, headless; prints the results and the report's path
	@echo "600 synthetic lesions: two networks in three patient-safe folds, eight views, their mean, the report"
	@$(BIN)/melnb pipeline params/demo.pipeline.yaml --jobs 2
	@$(BIN)/melnb results 06_report/demo

test: $(VENV)/ready ## the tests that every change must pass
	$(PYTEST) -m "not nightly and not lock and not benchmark"

test-nightly: $(VENV)/ready ## full networks, every kill, every notebook in JupyterLab, new examples; then the benchmarks
	HYPOTHESIS_PROFILE=nightly $(PYTEST) -m "(nightly or lock or hypothesis) and not benchmark"
	$(MAKE) benchmark

test-lock: $(VENV)/ready ## what only a dependency can break: after `make lock`
	$(PYTEST) -m lock

benchmark: $(VENV)/ready ## the resampling against a plain loop, timed and printed
	$(BIN)/python -m pytest -q -s -m benchmark

test-lower-bounds: $(VENV)/ready ## the quick tests with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv $(VENV)-lowest
	VIRTUAL_ENV=$(VENV)-lowest $(BIN)/uv pip install -q --resolution lowest-direct -e ".[cpu,lab,pipeline,encoders,onnx,openvino]" --group dev
	$(VENV)-lowest/bin/python -m pytest -q -o filterwarnings=default -m "not nightly and not lock and not benchmark and not browser"

lint: $(VENV)/ready ## style, types, and notebooks without outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/nbstripout --verify --keep-id --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb

format: $(VENV)/ready ## tidy code and strip notebooks
	$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .
	$(BIN)/nbstripout --keep-id --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb

api: $(VENV)/ready ## make docs/api.md, docs/checks.md and docs/exit-codes.md of the code
	$(BIN)/python docs/api.py > docs/api.md
	$(BIN)/python docs/checks.py > docs/checks.md
	$(BIN)/python docs/exit_codes.py > docs/exit-codes.md

pictures: demo ## make the README's pictures anew, of synthetic lesions; needs Chromium
	@$(BIN)/melnb run 02c_segment_train -f params/02c_segment_train.demo.yaml
	$(BIN)/python docs/pictures.py

lab: $(VENV)/ready ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks --LabApp.news_url=None $(AS_ROOT)

lock: $(VENV)/uv ## pin every dependency for every supported Python and platform, with hashes and no addresses
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(EXTRAS) pyproject.toml -o requirements.lock

clean: ## forget the environment; outputs stay
	rm -rf $(VENV) $(VENV)-lowest

$(VENV)/uv:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "melnb needs Python 3.11-3.13, not %d.%d: set PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	touch $@

$(VENV)/ready: requirements.lock pyproject.toml | $(VENV)/uv
	$(UV) pip sync -q --require-hashes requirements.lock
	$(UV) pip install -q --no-deps -e .
	touch $@
