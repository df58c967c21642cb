"""What becomes of the messages of a daemon: recordings, cut out of the audio of each take. No clock, no disk.

A recording begins pre_roll_seconds before its sound and ends post_roll_seconds after it, or where the audio of the take
has a hole or ends. It is never filled up with anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from streamd.events import Event, Time, at, slug
from streamd.recorder.kept import KeptAudio
from streamd.recorder.messages import Heard, High, Over, Pcm, RecorderSpec, Take, Told, ToRecorder
from streamd.recorder.near_misses import NearMiss, NearMisses

MOST_CLIPS = 32
"""Recordings that are being made at once; an event beyond them is kept without audio."""
LATE_SECONDS = 10.0
"""An event is told after its sound began, by as much as its model looks at, smooths and confirms; rarely by more."""

Kind = Literal["event", "near_miss"]


class AudioFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording holds."""

    sample_rate: int
    first_sample: int
    """Its first sample's position in the take."""
    n_samples: int
    first_time: Time
    """The same as wall time (UTC)."""
    onset_seconds: float
    """Where the sound begins in the recording; below 0 if its beginning is not in it."""
    offset_seconds: float
    is_whole: bool
    """Whether all that was asked for is in it: pre-roll, sound and post-roll."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON file of a recording."""

    format: int = 1
    kind: Kind
    audio: AudioFacts | None
    """None: the configuration asks for none of this label, or none was there."""
    event: Event | None = None
    """Of an event its offset, as it was published."""
    near_miss: NearMiss | None = None


@dataclass(frozen=True)
class Recording:
    """One to be written."""

    stem: str
    """Its name in the folder of its label, without a suffix."""
    label: str
    beside: Beside
    pcm: Pcm | None


@dataclass
class _Clip:
    """A recording that is being made."""

    sound: Event | NearMiss
    wanted_first: int
    wanted_end: int | None
    """None: the sound still sounds."""
    latest_end: int
    audio: tuple[KeptAudio, int, Pcm] | None = None
    """What it was cut from, its first sample, and its samples; known before the end of a sound that lasts too long."""


class Desk:
    """Takes in messages and hands out recordings as soon as all of their audio is there."""

    def __init__(self, spec: RecorderSpec) -> None:
        self._spec = spec
        self._kept: dict[Take, KeptAudio] = {}
        self._clips: dict[Take, dict[str, _Clip]] = {}
        """By take and event_id."""
        self._near_misses = NearMisses(spec.longest_seconds)

    def take_in(self, message: ToRecorder, pcm: Pcm) -> list[Recording]:
        """Take in a message; return the recordings that are done by it."""
        match message:
            case Heard():
                return self._hear(message, pcm)
            case Told():
                return self._tell(message.event)
            case High():
                self._near_misses.high(message)
                return []
            case Over():
                return self._end((message.source, message.take))

    def close(self) -> list[Recording]:
        """Return what is left, cut off where the audio ends."""
        return [done for take in {**self._kept, **self._clips} for done in self._end(take)]

    def _hear(self, heard: Heard, pcm: Pcm) -> list[Recording]:
        this = heard.source, heard.take
        kept = self._kept.get(this)
        done = []
        if kept is not None and heard.first_sample != kept.end_sample:
            done = self._break_off(this)
            kept = None
        if kept is None:
            for take, other in list(self._kept.items()):  # their ends may have been lost
                if (take[0], other.sample_rate) == (heard.source, heard.sample_rate):
                    done += self._end(take)
            kept = self._kept[this] = KeptAudio(heard)
        kept.push(heard, pcm)
        self._look_for_near_misses(this, kept, kept.end_sample)
        done += self._finish(this)
        self._forget(this, kept)
        return done

    def _break_off(self, take: Take) -> list[Recording]:
        """The audio of a take has a hole here, or ends."""
        kept = self._kept.get(take)
        if kept is not None:
            self._look_for_near_misses(take, kept, None)
        for clip in self._clips.get(take, {}).values():
            self._cut(clip, kept)
        done = self._finish(take)
        self._kept.pop(take, None)
        return done

    def _end(self, take: Take) -> list[Recording]:
        done = self._break_off(take)
        return done + [_recording(clip) for clip in self._clips.pop(take, {}).values()]

    def _look_for_near_misses(self, take: Take, kept: KeptAudio, position: int | None) -> None:
        for miss in self._near_misses.over(take, kept.sample_rate, position):
            if self._has_room():
                key = f"{miss.model}/{miss.label}/{miss.onset_sample}"
                self._clips.setdefault(take, {})[key] = self._clip(miss)

    def _tell(self, event: Event) -> list[Recording]:
        take = event.source, event.take
        self._near_misses.told(take, event.model, event.label)
        if not self._spec.wants(event.label):
            return []
        clips = self._clips.setdefault(take, {})
        known = clips.get(event.event_id)
        if known is not None:
            known.sound, known.wanted_end = event, self._clip(event).wanted_end
        elif self._spec.wants_audio(event.label) and self._has_room():
            clips[event.event_id] = self._clip(event)
        elif event.phase == "offset":
            return [_recording(self._clip(event))]
        if take not in self._kept and event.phase == "offset":
            return [_recording(clips.pop(event.event_id))]
        return self._finish(take)

    def _has_room(self) -> bool:
        return sum(map(len, self._clips.values())) < MOST_CLIPS

    def _clip(self, sound: Event | NearMiss) -> _Clip:
        pre, longest, post = (
            round(seconds * sound.sample_rate)
            for seconds in (self._spec.pre_roll_seconds, self._spec.longest_seconds, self._spec.post_roll_seconds)
        )
        return _Clip(
            sound,
            wanted_first=max(0, sound.onset_sample - pre),
            wanted_end=None if sound.offset_sample is None else sound.offset_sample + post,
            latest_end=sound.onset_sample + longest + post,
        )

    def _finish(self, take: Take) -> list[Recording]:
        """Hand out what has all of its audio; a sound that still sounds waits for its offset."""
        kept, clips = self._kept.get(take), self._clips.get(take, {})
        done = []
        for key, clip in list(clips.items()):
            end = clip.latest_end if clip.wanted_end is None else min(clip.wanted_end, clip.latest_end)
            if kept is not None and kept.end_sample >= end:
                self._cut(clip, kept, end)
            if clip.wanted_end is not None and clip.audio is not None:
                done.append(_recording(clips.pop(key)))
        return done

    @staticmethod
    def _cut(clip: _Clip, kept: KeptAudio | None, end: int | None = None) -> None:
        """Give a clip its audio, if it has none yet; up to the end of what there is, if no other is given."""
        if clip.audio is None and kept is not None:
            end = min(clip.latest_end, clip.wanted_end or clip.latest_end) if end is None else end
            first = max(clip.wanted_first, kept.first_sample)
            clip.audio = kept, first, kept.cut(first, end)

    def _forget(self, take: Take, kept: KeptAudio) -> None:
        pre = round(self._spec.pre_roll_seconds * kept.sample_rate)
        late = round(LATE_SECONDS * kept.sample_rate)
        begun = self._near_misses.needed_from(take, kept.end_sample)
        clips = [clip.wanted_first for clip in self._clips.get(take, {}).values() if clip.audio is None]
        kept.forget_before(min(kept.end_sample - pre - late, begun - pre, *clips))


def _recording(clip: _Clip) -> Recording:
    sound = clip.sound
    facts = pcm = None
    if clip.audio is not None and len(clip.audio[2]):
        kept, first, pcm = clip.audio
        rate, end = kept.sample_rate, first + len(pcm)
        facts = AudioFacts(
            sample_rate=rate,
            first_sample=first,
            n_samples=len(pcm),
            first_time=at(kept.wall_seconds(first)),
            onset_seconds=(sound.onset_sample - first) / rate,
            offset_seconds=((end if sound.offset_sample is None else sound.offset_sample) - first) / rate,
            is_whole=(first, end) == (clip.wanted_first, clip.wanted_end),
        )
    if isinstance(sound, Event):
        stem = f"{_stamp(sound.onset_time)}-{sound.source}-{sound.event_id}"
        return Recording(stem, sound.label, Beside(kind="event", audio=facts, event=sound), pcm)
    begin = at(0) if facts is None else facts.first_time + timedelta(seconds=facts.onset_seconds)
    stem = f"{_stamp(begin)}-{sound.source}-{slug(sound.model)}-{sound.onset_sample}"
    return Recording(stem, sound.label, Beside(kind="near_miss", audio=facts, near_miss=sound), pcm)


def _stamp(when: datetime) -> str:
    """A time as file names have it: they sort by it, and the quota goes by it."""
    return when.strftime("%Y%m%dT%H%M%S.") + f"{when.microsecond // 1000:03d}Z"
