"""Claim: daemon and agent with the default model need little memory together."""

from __future__ import annotations

import time
from pathlib import Path

import _harness as harness

N_STARTS = 3
SECONDS = 6.0
"""How long it has been ready when memory is read."""
CONFIG = "sources: {microphone: {microphone: default}}\n"
LIBRARY = "_multiarray_umath"
"""numpy: of all that the two share with other Python programs, the largest part."""


def megabytes(pid: int) -> dict[str, float]:
    """Return the memory of a process by kind, in MB of 10^6 bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {line.partition(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}
    return {"Pss": found["Pss"], "private": found["Private_Clean"] + found["Private_Dirty"], "Rss": found["Rss"]}


def n_strangers(ours: list[int]) -> int:
    """Count other processes that use numpy's library: each takes its share of the pages it has in common with ours."""
    n_found = 0
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            n_found += int(maps.parent.name) not in ours and LIBRARY in maps.read_text()
        except OSError:  # it ended meanwhile
            continue
    return n_found


def main() -> None:
    """Measure the two processes while they work, in a few runs."""
    runs = []
    strangers = 0
    with harness.fake_microphone() as environment:
        for _ in range(N_STARTS):
            with harness.daemon(CONFIG, environment) as daemon:
                daemon.wait_until_it_says("ready after")
                time.sleep(SECONDS)
                [agent] = daemon.agents()
                runs.append((megabytes(daemon.process.pid), megabytes(agent)))
                strangers = max(strangers, n_strangers([daemon.process.pid, agent]))
    totals = [first["Pss"] + second["Pss"] for first, second in runs]
    table = [
        {"process": name, **{f"{kind}, MB": round(value, 1) for kind, value in runs[-1][i].items()}}
        for i, name in enumerate(("daemon", "agent"))
    ]
    how = f"""PSS of the daemon and its agent, default model, fake microphone, {SECONDS:g} s after READY, {N_STARTS}
        runs; MB of 10^6 bytes. PSS divides a page by the number of processes that share it, so other Python programs
        of the same environment make it smaller: {strangers} others had numpy loaded."""
    harness.save(__file__, how, [harness.Figure.of("memory (PSS) of daemon + agent", totals, "MB", "≤ 150")], table)


if __name__ == "__main__":
    main()
