"""`python -m streamd.bench JOB PARENT`: how `streamd bench` starts its processes. JOB is JSON (jobs.py)."""

from __future__ import annotations

import logging
import os
import sys

from streamd.environment import many_files, prepare


def main(arguments: list[str]) -> int:
    """Do a job, and die with the process that asked for it."""
    prepare()
    import msgspec

    from streamd.bench.jobs import AloneJob, DaemonJob, Job
    from streamd.capture.parent import die_with

    text, parent = arguments
    die_with(int(parent))
    job = msgspec.json.decode(text, type=Job)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    many_files()
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    if isinstance(job, DaemonJob):
        from streamd.bench import parts

        return parts.run_daemon(job)
    if isinstance(job, AloneJob):
        from streamd.bench import alone

        return alone.run(job)
    from streamd.bench import load

    return load.run(job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
