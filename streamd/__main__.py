"""`python -m streamd` is the command `streamd`."""

from __future__ import annotations

import sys

from streamd.environment import prepare

prepare()

from streamd.cli import main  # noqa: E402  # what it imports reads the environment that prepare() made

if __name__ == "__main__":
    sys.exit(main())
