#!/bin/sh
# Runs all tests: those of training, which only compute, on one core, and beside them the others, which mostly wait.
# Usage: run_tests.sh PYTHON
set -u
python=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$python" -m pytest tests/training >"$log" 2>&1 &
training=$!
trap 'kill "$training"; exit 130' INT TERM
"$python" -m pytest --ignore tests/training
others=$?
wait "$training"
result=$?
cat "$log"
[ "$others" -eq 0 ] && [ "$result" -eq 0 ]
