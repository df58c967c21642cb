#!/bin/sh
# Makes .venv/peers/detectors with the Python of .venv: what benchmarks/ compares streamd with, in versions of its own.
set -eu
cd "$(dirname "$0")/../.."
venv=.venv/peers/detectors

.venv/bin/python -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --requirement benchmarks/peers/requirements.txt
