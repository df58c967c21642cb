"""How long after a sound begins and ends the decision says so, measured on labelled streams that were played.

The detector takes the manifest's delays off; here it is given a manifest without any, so that all of them is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from streamd.decision import DecisionSpec
from streamd.manifest import Manifest
from training.expect.delays import Delays
from training.expect.det import joined
from training.expect.event_match import Sound
from training.expect.play import Played, decide

REACH_SECONDS = 1.0
"""After the end of a sound an event may still begin because of it: a window of a second that half of it is in, say."""
HALF_WAY = 0.5
"""A rough threshold is this part of what the posterior typically rises to."""
LOWEST_THRESHOLD = 0.02
"""Of a rough one: posteriors of a network that says nothing move below it."""


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
    for column, label in enumerate(manifest.labels):
        heard = []
        for one in played:
            for sound, end in _reached(one, label, manifest.decision_of(label)):
                begin = np.searchsorted(one.end_seconds, sound.onset_seconds, "left")
                hops = slice(int(begin), int(np.searchsorted(one.end_seconds, end, "left")))
                if hops.start < hops.stop:
                    late = one.end_seconds[hops] - sound.onset_seconds
                    heard.append((one.posteriors[hops, column], late))
        if not heard:
            continue
        threshold = max(LOWEST_THRESHOLD, HALF_WAY * float(np.median([posterior.max() for posterior, _ in heard])))
        for posterior, late in heard:
            high = np.flatnonzero(posterior >= threshold)
            if len(high):
                rises.append(float(late[high[0]]))
    return round(float(np.median(rises)) * manifest.sample_rate) if rises else 0


def _reached(one: Played, label: str, spec: DecisionSpec) -> Iterator[tuple[Sound, float]]:
    """Yield the sounds of a label, and up to where in seconds an event is because of each."""
    sounds = joined([sound for sound in one.stream.sounds if sound.label == label], spec.min_silence_seconds)
    for sound, following in pairwise([*sounds, None]):
        if sound is not None:
            end = sound.offset_seconds + REACH_SECONDS
            yield sound, end if following is None else min(end, following.onset_seconds)
