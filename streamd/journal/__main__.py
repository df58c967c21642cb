"""`python -m streamd.journal START`: how the daemon starts its journal; START is JSON (contract.py)."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import NoReturn

import msgspec

from streamd.errors import MessageError, UsageError
from streamd.journal.contract import Start
from streamd.journal.server import Server

_STDIN, _STDOUT = 0, 1


def main(arguments: list[str]) -> NoReturn:
    """Run the journal until its input ends, and the process with it."""
    logging.basicConfig(level=logging.INFO, format="journal: %(message)s")
    try:
        start = msgspec.json.decode(arguments[0], type=Start)
    except (IndexError, msgspec.DecodeError) as error:
        logging.getLogger("streamd.journal").error("expected START, which is for the daemon to know: %s", error)
        sys.exit(UsageError.exit_code)
    # Only the end of its input ends it: whoever is asked to stop with the daemon still has what that said last.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    server = Server(start, _STDIN, _STDOUT)
    code = 0
    try:
        server.loop()
    except MessageError as error:
        logging.getLogger("streamd.journal").error("%s", error)
        code = error.exit_code
    logging.shutdown()
    # Not by the way of ZeroMQ, which would remove the path of its socket, though it may be that of the next journal.
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
