"""`python -m streamd.capture SOURCE ENDPOINT SPEC [--child-of PID]`: how the daemon starts an agent.

SPEC is JSON (specs.py). It is lighter than `streamd capture`, which is for people. A child holds a pipe
of its parent's as its standard input.
"""

from __future__ import annotations

import logging
import sys

from streamd.environment import prepare
from streamd.errors import RecordingError, StreamdError, UsageError


def main(arguments: list[str]) -> int:
    """Run an agent; return its exit code."""
    # What an agent captures or lacks is told by the daemon: said here too, every line would come twice.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    prepare()
    from streamd.capture import agent, specs

    try:
        match arguments:
            case [source, endpoint, spec]:
                return agent.run(source, specs.decode(spec), endpoint)
            case [source, endpoint, spec, "--child-of", pid] if pid.isdecimal():
                return agent.run(source, specs.decode(spec), endpoint, child_of=int(pid))
        raise UsageError("expected SOURCE ENDPOINT SPEC [--child-of PID]; people use `streamd capture`")
    except StreamdError as error:
        if isinstance(error, RecordingError) and "--child-of" in arguments:
            return error.exit_code  # the daemon was told why, and says it
        logging.getLogger("streamd.capture").error("%s: %s", arguments[0] if arguments else "capture", error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
