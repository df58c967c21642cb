"""Windows of scenes, at the places where the daemon looks, and what is to be answered to each.

A window slides over a sound, as `aged_windows` says: it is just beginning, then heard, then fading out of the window's
begin. Its label is asked for where enough of it was heard, "none" where nothing sounds or a sound is but beginning.
What lies in between is nobody's to say, and is left out; so are windows with two labels, since only one can be
answered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.logmel import log_mel
from streamd.manifest import Manifest
from training.design.aged_windows import HEARD_SECONDS, UNHEARD_SECONDS
from training.prepare.simulation.scene import Placed, Scene

LEFT_OUT = -1


def windows_of(scene: Scene, facts: Manifest) -> NDArray[np.float32]:
    """Return the log-mel windows (n_windows, n_frames, n_mels) of a scene, a hop apart, all of them full.

    Raises:
        ValueError: the model is none of log-mel windows.
    """
    if facts.kind != "window" or facts.log_mel is None:
        raise ValueError(f"a {facts.kind} of {facts.input}; expected a window of log-mel frames")
    heard = np.clip(np.rint(scene.audio * 32768), -32768, 32767).astype(np.int16)
    frames = log_mel(heard, facts.log_mel)
    begins = range(0, len(frames) - facts.n_frames + 1, facts.hop_frames)
    return np.stack([frames[begin : begin + facts.n_frames] for begin in begins])


def answers(placed: Sequence[Placed], n_windows: int, facts: Manifest) -> NDArray[np.intp]:
    """Return what is to be answered (n_windows,): the number of a label, n_labels for none, or LEFT_OUT."""
    begins = range(0, n_windows * facts.hop_samples, facts.hop_samples)
    return np.array([_answer(placed, begin, facts) for begin in begins], np.intp)


def _answer(placed: Sequence[Placed], begin: int, facts: Manifest) -> int:
    end = begin + facts.span_samples
    inside = [one for one in placed if one.onset_sample < end and one.offset_sample > begin]
    unheard = UNHEARD_SECONDS * facts.sample_rate
    if all(end - one.onset_sample < unheard for one in inside):
        return len(facts.labels)
    labels = {one.label for one in inside}
    if len(labels) == 1 and any(_is_heard(one, begin, end, facts.sample_rate) for one in inside):
        return facts.labels.index(labels.pop())
    return LEFT_OUT


def _is_heard(one: Placed, begin: int, end: int, sample_rate: int) -> bool:
    """Return whether enough of a sound lies in a window: HEARD_SECONDS of it, or all of a shorter one."""
    asked = np.clip((one.offset_sample - one.onset_sample) / sample_rate, UNHEARD_SECONDS, HEARD_SECONDS)
    is_old_enough = end - one.onset_sample >= asked * sample_rate
    whole = one.onset_sample >= begin and one.offset_sample <= end
    lies_in = min(end, one.offset_sample) - max(begin, one.onset_sample)
    return is_old_enough and (whole or lies_in >= HEARD_SECONDS * sample_rate)
