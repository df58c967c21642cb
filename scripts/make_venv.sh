#!/bin/sh
# Makes .venv with the Python of the first argument, or says in one line why it can't.
set -eu
python=$1

if [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1; then
    exit 0
fi
if ! command -v "$python" >/dev/null; then
    echo "set-up: found no $python; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "set-up: $python is $("$python" --version); streamd needs 3.11 or newer: make PYTHON=python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "set-up: $python can't make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
fi
rm -rf .venv
"$python" -m venv .venv
