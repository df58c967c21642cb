"""Claim: daemon, agent and journal with the default model need little memory together."""

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
    runs: list[dict[str, dict[str, float]]] = []
    strangers = 0
    with harness.fake_microphone() as environment:
        for _ in range(N_STARTS):
            with harness.daemon(CONFIG, environment) as daemon:
                daemon.wait_until_it_says("ready after")
                time.sleep(SECONDS)
                pids = daemon.pids()
                runs.append({name: megabytes(pid) for name, pid in pids.items()})
                strangers = max(strangers, n_strangers(list(pids.values())))
    heard = [run["daemon"]["Pss"] + run["agent"]["Pss"] for run in runs]
    figures = [
        harness.Figure.of("memory (PSS) of daemon + agent", heard, "MB", "≤ 150"),
        harness.Figure.of("memory (PSS) of their journal", [run["journal"]["Pss"] for run in runs], "MB"),
    ]
    table = [
        {"process": name, **{f"{kind}, MB": round(value, 1) for kind, value in found.items()}}
        for name, found in runs[-1].items()
    ]
    how = f"""PSS of the daemon, its agent and its journal, default model, fake microphone, {SECONDS:g} s after READY,
        {N_STARTS} runs; MB of 10^6 bytes. PSS divides a page by the number of processes that share it, so other Python
        programs of the same environment make it smaller: {strangers} others had numpy loaded."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()
