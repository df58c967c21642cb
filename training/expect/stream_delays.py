"""How long after a sound begins and ends the decision says so, measured on labelled streams that were played.

The detector takes the manifest's delays off; here it is given a manifest without any, so that all of them is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.manifest import Manifest
from training.expect.delays import Delays
from training.expect.det import joined, with_threshold
from training.expect.event_match import Sound
from training.expect.play import Played, decide

REACH_SECONDS = 1.0
"""After the end of a sound an event may still begin because of it: a window of a second that half of it is in, say."""
HALF_WAY = 0.5
"""A rough threshold is this part of what the posterior typically rises to."""
LEAST_HEARD = 10
"""Sounds; of fewer the median says more of those few than of the model."""
LOWEST_THRESHOLD = 0.02
"""Of a rough one: posteriors of a network that says nothing move below it."""


def believable_delays(played: Sequence[Played], manifest: Manifest) -> Delays | None:
    """Return the delays of a model's own decisions, or of looser ones where those hear too few sounds for a median.

    Args are those of `measured_delays`; None if nothing is heard either way.
    """
    found = measured_delays(played, manifest)
    if found is not None and found.n_heard >= LEAST_HEARD:
        return found
    rough = dict(_rough_thresholds(played, manifest))
    looser = {
        label: with_threshold(spec, min(spec.onset_threshold, rough.get(label, 1.0)))
        for label, spec in ((label, manifest.decision_of(label)) for label in manifest.labels)
    }
    loosely = measured_delays(played, msgspec.structs.replace(manifest, label_decisions=looser))
    if found is None or (loosely is not None and loosely.n_heard > found.n_heard):
        return loosely
    return found


def measured_delays(played: Sequence[Played], manifest: Manifest) -> Delays | None:
    """Return the delays of a model's own decisions on streams; None if they hear none of the sounds.

    Args:
        played: by the model, with whatever decisions.
        manifest: of that model, with the decisions to be measured; its delays are not looked at.
    """
    sounding = [one for one in played if one.stream.sounds]
    bare = decide(sounding, msgspec.structs.replace(manifest, onset_delay=0, offset_delay=0))
    late_onsets: list[float] = []
    late_offsets: list[float] = []
    n_sounds = 0
    for one in bare:
        for label in {sound.label for sound in one.stream.sounds}:
            events = [event for event in one.events if event.label == label]
            for sound, end in _reached(one, label, manifest.decision_of(label)):
                n_sounds += 1
                own = [event for event in events if sound.onset_seconds <= event.onset_seconds < end]
                # What was heard in pieces has its end in the last one; what runs on into the next sound has none.
                if own and own[-1].offset_seconds < end:
                    late_onsets.append(own[0].onset_seconds - sound.onset_seconds)
                    late_offsets.append(own[-1].offset_seconds - sound.offset_seconds)
    if not late_onsets:
        return None
    rate = manifest.sample_rate
    onsets, offsets = ([round(late * rate) for late in all_late] for all_late in (late_onsets, late_offsets))
    return Delays.of(onsets, offsets, n_sounds, rate)


def rough_onset_delay(played: Sequence[Played], manifest: Manifest) -> int:
    """Return about how many samples after an onset the posterior rises; 0 if it never does.

    For a network whose thresholds are not chosen yet: for each label the threshold is half of the height that the
    posterior reaches at a typical sound.
    """
    rises: list[float] = []
    for label, threshold in _rough_thresholds(played, manifest):
        for posterior, late in _after_onsets(played, manifest, label):
            high = np.flatnonzero(posterior >= threshold)
            if len(high):
                rises.append(float(late[high[0]]))
    return round(float(np.median(rises)) * manifest.sample_rate) if rises else 0


def _rough_thresholds(played: Sequence[Played], manifest: Manifest) -> Iterator[tuple[str, float]]:
    """Yield the labels that there are sounds of, and half of what the posterior typically rises to at one."""
    for label in manifest.labels:
        peaks = [posterior.max() for posterior, _ in _after_onsets(played, manifest, label)]
        if peaks:
            yield label, max(LOWEST_THRESHOLD, HALF_WAY * float(np.median(peaks)))


def _after_onsets(
    played: Sequence[Played], manifest: Manifest, label: str
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Yield, for each sound of a label, the posteriors of the hops because of it, and how late each hop ends."""
    column = manifest.labels.index(label)
    for one in played:
        for sound, end in _reached(one, label, manifest.decision_of(label)):
            first, last = np.searchsorted(one.end_seconds, [sound.onset_seconds, end], "left")
            if first < last:
                yield one.posteriors[first:last, column], one.end_seconds[first:last] - sound.onset_seconds


def _reached(one: Played, label: str, spec: DecisionSpec) -> Iterator[tuple[Sound, float]]:
    """Yield the sounds of a label, and up to where in seconds an event is because of each."""
    sounds = joined([sound for sound in one.stream.sounds if sound.label == label], spec.min_silence_seconds)
    for sound, following in pairwise([*sounds, None]):
        if sound is not None:
            end = sound.offset_seconds + REACH_SECONDS
            yield sound, end if following is None else min(end, following.onset_seconds)
