"""Claim: a daemon may read its configuration again and again: 500 reloads leak nothing, and others hear on."""

from __future__ import annotations

import sys
from pathlib import Path

import _harness as harness
import numpy as np

N_RELOADS = 500
N_WARM_UP = 50
"""Reloads before memory is looked at: allocators find their size."""
QUIET_SECONDS = 20.0
"""How long the steady source is heard before the first reload, for comparison."""
CONFIG = """
sources: {{steady: {{recording: {file}, repeat: true}}, hall: {{recording: {file}, repeat: true}}}}
models:
  - {{file: yamnet, sources: [steady]}}
  - {{file: {model}, sources: [hall], labels: {{{label}: {{}}}}}}
"""
TURNS = [("yamnet", "Dog"), ("speech", "Speech"), ("yamnet", "Crow")]
"""What the second source is heard by, in turns: another model or another label, so that nothing of it is kept."""


def main() -> None:
    """Reload a daemon that hears, and look at its memory after each time."""
    from streamd.control import ask_reload, ask_status
    from streamd.lags import since
    from streamd.requests import LagReport

    recording = next((harness.ROOT / "streamd" / "demo").glob("*.flac"))
    configs = [CONFIG.format(file=recording, model=name, label=label) for name, label in TURNS]
    megabytes, seconds = [], []
    with harness.daemon(configs[0]) as daemon:

        def lags() -> LagReport:
            models = ask_status(daemon.control_at, 30).models
            found = next(model.lags for model in models if list(model.sources) == ["steady"])
            return found if found is not None else sys.exit("this daemon tells no lags")

        daemon.wait_until_it_says("ready after")
        file = Path(daemon.control_at.removeprefix("ipc://")).parent / "streamd.yaml"
        began = ask_status(daemon.control_at).uptime_seconds
        while ask_status(daemon.control_at).uptime_seconds < began + QUIET_SECONDS:
            daemon.process.cpu_percent(0.5)
        quiet = lags()
        for i in range(N_WARM_UP + N_RELOADS):
            file.write_text(configs[(i + 1) % len(configs)])
            report = ask_reload(daemon.control_at)
            if report.mistakes:
                sys.exit(f"refused: {report.mistakes}")
            seconds.append(1000 * (report.seconds or 0.0))
            megabytes.append(daemon.process.memory_info().rss / 1e6)
        busy = since(quiet, lags())
        lost = ask_status(daemon.control_at).sources[0].n_lost
        rest = f"{daemon.process.num_threads()} threads, {daemon.process.num_fds()} open files"
    counted = np.array(megabytes[N_WARM_UP:])
    slope, first = np.polyfit(np.arange(N_RELOADS), counted, 1)
    spread = counted - (slope * np.arange(N_RELOADS) + first)
    error = 3 * float(np.sqrt(np.mean(spread**2) * 12 / N_RELOADS**3)) * N_RELOADS
    growth = float(slope) * N_RELOADS
    late = [
        harness.Figure.of(f"lag of the steady source {when}, 99th percentile", [1000 * (each.p99_seconds or 0.0)], "ms")
        for when, each in (("without a reload", quiet), ("while reloads follow each other", busy))
    ]
    figures = [
        harness.Figure(f"growth over {N_RELOADS} reloads", growth, growth - error, growth + error, "MB", "≤ 2"),
        harness.Figure.of("one reload, beside what runs", seconds, "ms"),
        *late,
        harness.Figure.of("audio of the steady source that was lost", [lost], "samples", "≤ 0"),
    ]
    table = [
        {"reloads": i, "resident memory, MB": round(megabytes[i - 1], 1)} for i in (1, 50, 150, 250, 350, 450, 550)
    ]
    how = f"""A daemon hears two sources; the other one's model or label changes at each of {N_WARM_UP + N_RELOADS}
        reloads, {N_WARM_UP} of them to warm up, each begun when the one before had ended. Growth is the slope of a
        straight line through resident memory, ± three standard errors; at the end it had {rest}. The steady source
        is never changed: {quiet.n} hops before the reloads, {busy.n} among them."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()
