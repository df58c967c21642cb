"""Pictures of what the network is given: which bands tell something, and what a clip looks like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from streamd.logmel import LogMelSpec
from training.process.plot_style import MARK, SERIES, figure
from training.process.probe import Probe
from training.process.separability import centre_hz

TICKS_HZ = (50, 100, 250, 500, 1000, 2000, 4000, 8000, 16_000)


def of_bands(
    spec: LogMelSpec, separability: NDArray[np.float64], probe: Probe | None, suggested: tuple[float, float] | None
) -> Figure:
    """Return the separability of the network's bands, the probe's octaves beside it, the suggested range marked.

    Args:
        spec: of the network's log-mel.
        separability: of its bands, (n_mels,), 0.5 to 1.
        probe: None where groups were too few.
        suggested: fmin and fmax.
    """
    drawn = figure(6.5, 5.0 if probe else 3.0)
    axes = drawn.subplots(2 if probe else 1, 1, sharex=True, squeeze=False)[:, 0]
    hz = centre_hz(spec)
    axes[0].plot(hz, separability, color=SERIES[0].colour)
    axes[0].set(ylim=(0.45, 1.02), ylabel="AUC", title="One band's level alone")
    axes[0].axhline(0.5, color=SERIES[5].colour, linewidth=0.8, linestyle="dotted")
    if probe:
        middles = [float(np.sqrt(low * high)) for low, high, _ in probe.octaves]
        accuracies = [score.accuracy for _, _, score in probe.octaves]
        below = [max(0.0, s.accuracy - s.interval[0]) for _, _, s in probe.octaves]
        above = [max(0.0, s.interval[1] - s.accuracy) for _, _, s in probe.octaves]
        axes[1].errorbar(middles, accuracies, (below, above), color=SERIES[1].colour, marker="s", linestyle="none")
        axes[1].axhline(probe.chance, color=SERIES[5].colour, linewidth=0.8, linestyle="dotted")
        axes[1].text(hz[0], probe.chance, " chance", va="bottom", fontsize=8)
        axes[1].axhline(probe.whole.accuracy, color=SERIES[1].colour, linewidth=0.8, linestyle="dashed")
        axes[1].text(hz[0], probe.whole.accuracy, " all bands", va="bottom", fontsize=8)
        axes[1].set(
            ylim=(0, 1.02), ylabel="balanced accuracy", title="A linear probe on an octave alone, 95 % interval"
        )
    for one in axes:
        for edge in suggested or ():
            one.axvline(edge, color=MARK, linewidth=1.2)
    axes[-1].set(xscale="log", xlabel="Hz")
    _ticks(axes[-1])
    return drawn


def of_log_mel(
    log_mel: NDArray[np.float32], spec: LogMelSpec, marks_seconds: Sequence[tuple[str, float, float]]
) -> Figure:
    """Return a log-mel (n_frames, n_mels) as a picture, time to the right, with the labels of its sounds above."""
    drawn = figure(7.0, 3.2)
    axes = drawn.subplots()
    hop = spec.hop_length / spec.sample_rate
    picture = axes.imshow(
        log_mel.T, origin="lower", aspect="auto", cmap="magma", extent=(0, len(log_mel) * hop, 0, spec.n_mels)
    )
    hz = centre_hz(spec)
    shown = [tick for tick in TICKS_HZ if hz[0] <= tick <= hz[-1]]
    axes.set_yticks(
        np.interp(shown, hz, np.arange(spec.n_mels) + 0.5), [f"{tick:,}".replace(",", " ") for tick in shown]
    )
    axes.grid(visible=False)
    for label, onset, offset in marks_seconds:
        axes.plot(
            [onset, offset], [spec.n_mels + 0.5] * 2, color=MARK, linewidth=3, clip_on=False, solid_capstyle="butt"
        )
        axes.text(onset, spec.n_mels + 1.5, label, fontsize=8, va="bottom", clip_on=False)
    axes.set(xlabel="s", ylabel="Hz", ylim=(0, spec.n_mels))
    drawn.colorbar(picture, label="dB" if spec.log == "db" else "ln")
    return drawn


def _ticks(axes: Axes) -> None:
    low, high = axes.get_xlim()
    shown = [tick for tick in TICKS_HZ if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:,}".replace(",", " ") for tick in shown])
    axes.set_xticks([], minor=True)
