"""Claim: a daemon may read its configuration again and again: 500 reloads leak nothing and hold no hop up."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import _harness as harness
import numpy as np

N_RELOADS = 500
N_WARM_UP = 50
"""Reloads before memory is looked at: allocators find their size."""
CONFIG = """
sources: {{steady: {{recording: {file}, repeat: true}}, hall: {{recording: {file}, repeat: true}}}}
models:
  - {{file: yamnet, sources: [steady]}}
  - {{file: {model}, sources: [hall], labels: {{{label}: {{}}}}}}
"""
TURNS = [("yamnet", "Dog"), ("speech", "Speech"), ("yamnet", "Crow")]
"""What the second source is heard by, in turns: another model or another label, so that nothing of it is kept."""


def main() -> None:
    """Reload a daemon that hears, and print what it costs."""
    from streamd.control import ask_reload, ask_status

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=N_RELOADS, help="reloads after the warm-up")
    n_reloads = parser.parse_args().n
    recording = next(harness.ROOT.glob("streamd/demo/*.flac"))
    configs = [CONFIG.format(file=recording, model=name, label=label) for name, label in TURNS]
    memory, seconds = [], []
    with harness.daemon(configs[0]) as daemon:
        daemon.wait_until_it_says("ready after")
        file = Path(daemon.control_at.removeprefix("ipc://")).parent / "streamd.yaml"
        for i in range(N_WARM_UP + n_reloads):
            file.write_text(configs[(i + 1) % len(configs)])
            report = ask_reload(daemon.control_at)
            if report.mistakes:
                sys.exit(f"refused: {report.mistakes}")
            seconds.append(report.seconds or 0.0)
            memory.append(daemon.process.memory_info().rss / 1e6)
            time.sleep(0.02)
        status = ask_status(daemon.control_at)
        ends = daemon.process.num_threads(), daemon.process.num_fds()
    lags = next(model.lags for model in status.models if model.sources == ["steady"])
    slope = 1000 * float(np.polyfit(np.arange(n_reloads), memory[N_WARM_UP:], 1)[0])
    print(lags.n, lags.p50_seconds, lags.p99_seconds, lags.max_seconds, ends, status.sources)
    print(f"rss {memory[0]:.1f} {memory[N_WARM_UP]:.1f} {memory[-1]:.1f} slope {slope:.1f} kB/reload")
    print(f"median {np.median(seconds):.3f} s max {max(seconds):.3f}")


if __name__ == "__main__":
    main()
