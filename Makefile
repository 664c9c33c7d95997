# `make run` and `make test` install what is missing into .venv; nothing else is needed than
# Python 3.11 or newer. Plain PyPI serves the CUDA build of torch on Linux (gigabytes); for the
# small CPU build: make run TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
TORCH_INDEX_URL ?=
# Options of the program: make run ARGS="--workers 2"; of pytest: make test ARGS="-k stream"
ARGS ?=
# How many test processes run at once; 0: one test after the other, without processes of their own.
TEST_PROCESSES ?= 2
# What `make eval` measures, and where its report goes: with pictures of the dataset.
DATASET ?=
CHECKPOINT ?= models/plate-obb.pt
OUT ?= build/eval

DASHBOARD := deploy/monitoring/grafana/dashboards/plate-detect.json

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && { echo $$python; break; }; done)

.PHONY: run test chaos flood eval bench scale docs check lint types imports deploy-check format lock clean

run: $(VENV)/.installed ## start everything; Ctrl-C stops it
	@$(BIN)/plate-detect run $(ARGS)

# Marked as slow: most acceptance tests, the corpus, and short forms of chaos, flood and the benchmarks.
.PHONY: test-slow test-all coverage
test: $(VENV)/.installed-dev ## the tests that take minutes: all but those marked as slow
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-dev ## what `make test` leaves out
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile -m slow $(ARGS)

test-all: test test-slow ## all tests, as in .ci/run

coverage: $(VENV)/.installed-dev ## line and branch coverage of `make test`, with the processes that tests start
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(TEST_PROCESSES) --dist worksteal -m "not slow" $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

chaos: $(VENV)/.installed-dev ## ten minutes of kills, stops and cuts; writes its figures into docs/
	$(BIN)/python -m tests.stress.chaos --write $(ARGS)
	$(BIN)/python -m tests.stress.chaos --recovery --write

flood: $(VENV)/.installed-dev ## ten minutes of overload; writes the memory of the processes into docs/
	$(BIN)/python -m tests.stress.flood --write $(ARGS)

eval: $(VENV)/.installed-dev ## measure the detector: make eval DATASET=folder [CHECKPOINT=file.pt] [OUT=folder]
	@test -n "$(DATASET)" || { echo "Name a YOLO-OBB folder: make eval DATASET=folder" >&2; exit 1; }
	$(BIN)/python -m models.evaluate "$(DATASET)" --checkpoint "$(CHECKPOINT)" --out "$(OUT)" $(ARGS)

bench: $(VENV)/.installed-dev ## throughput, latency and memory beside a naive service's
	$(BIN)/python -m tests.bench --baseline tests/bench/naive.py $(ARGS)

scale: $(VENV)/.installed-dev ## cost and throughput with up to 64 workers; writes its figures into docs/
	$(BIN)/python -m tests.bench.scale --write $(ARGS)

# With pre-commit installed, `pre-commit install` makes git run these before each commit.
check: lint types imports deploy-check ## everything but the tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev ## who may import whom (pyproject.toml, tool.importlinter)
	$(BIN)/lint-imports --no-logo

deploy-check: $(VENV)/.installed-dev ## the Dockerfile, and the compose file where compose is installed
	$(BIN)/hadolint deploy/Dockerfile
	@if docker compose version >/dev/null 2>&1; then compose="docker compose"; \
	elif command -v docker-compose >/dev/null; then compose=docker-compose; \
	else echo "docker compose is not installed: docker-compose.yml was not checked"; exit 0; fi; \
	echo "$$compose config"; $$compose config >/dev/null

.PHONY: images
images: $(VENV)/.installed-dev ## build the image and run the compose file, on the Docker engine or, as root, on one of its own
	$(BIN)/pytest -m slow -s tests/deploy/images $(ARGS)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev ## write all files that are generated from the code
	$(BIN)/python -m schemas.generate
	$(BIN)/python -m producer.docs
	$(BIN)/plate-detect settings --env > .env.example
	$(BIN)/plate-detect settings --names > schemas/settings/names.txt
	$(BIN)/python -m tests.support.documents
	$(BIN)/python deploy/monitoring/dashboard.py > $(DASHBOARD)

.PHONY: pictures
pictures: $(VENV)/.installed-dev ## make the pictures of the pages in docs/images; needs Chromium
	$(BIN)/python -m tests.support.page_pictures

.PHONY: audit release
audit: $(VENV)/.installed-dev ## known vulnerabilities of the locked packages; needs the network
	$(BIN)/python deploy/audit.py $(ARGS)

release: audit ## what a release publishes, into dist/ (RELEASING.md)
	rm -rf dist
	$(BIN)/python -m tests.support.release dist

lock: ## rewrite constraints.txt from the newest versions that pyproject.toml allows
	deploy/lock $(PYTHON) $(TORCH_INDEX_URL)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

# A stamp is touched only after a complete install, so an interrupted one is taken up again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found." \
		"Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c '$(SUPPORTED)' || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13." >&2; exit 1; }
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@$(BIN)/python -c '$(SUPPORTED)' 2>/dev/null && $(PIP) --version >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) cannot make a virtual" \
		"environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -z "$(TORCH_INDEX_URL)" || $(PIP) install --no-deps --index-url "$(TORCH_INDEX_URL)" \
		$$(grep -E '^torch(vision)?==' constraints.txt)
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed client/pyproject.toml schemas/version.py
	@$(PIP) install -c constraints.txt -e '.[dev]' -e client
	@touch $@
