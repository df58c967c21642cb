"""What `train` and `expect` found out: the contents of report.json, chapter by chapter.

Numbers only, as they were measured; the pages that people read (report.html, card.md) are made from this and add none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

Interval = tuple[float, float]
"""Lower and upper end, 95 %."""

Familiarity = Literal["seen", "interpolated", "extrapolated"]
"""Of a condition, beside what training drew: inside its 5 to 95 %, inside its ends, or outside (or never drawn)."""


class LabelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One label of the data set."""

    label: str
    n_clips: int
    n_recordings: int
    n_groups: int
    minutes: float
    median_seconds: float
    median_snr_db: float | None
    median_decay_seconds: float | None = None
    """RT60 heard in the clips; None where none could be measured."""
    answered_by: str | None = None
    """The label of the shipped model that answers to most of its clips; None: none does."""
    n_answered: int | None = None
    """To how many of its clips; None: nobody asked."""


class PrepareChapter(msgspec.Struct, frozen=True, kw_only=True):
    """Know your data."""

    data: str
    layout: str
    labels: list[LabelFacts]
    n_groups: int
    evidence: dict[str, int]
    """How groups were told apart: number of groups by kind of evidence."""
    split: str
    """Which groups train, tune and test, in a sentence."""
    background_minutes: float
    """Recordings without the sounds that the user gave; 0: the noise is generated."""
    findings: list[str]
    verdict: Literal["lucky", "meh", "ugh"]
    why: list[str]


class ProcessChapter(msgspec.Struct, frozen=True, kw_only=True):
    """What the network gets to see."""

    log_mel: dict[str, Any]
    band_hz: list[float]
    """Centre of each mel band."""
    separability: list[float]
    """Of each band, how well its level alone tells sound from background or label from label: AUC, 0.5 to 1."""
    probe: str | None = None
    """What a linear probe says of the range of interest, in a sentence."""
    suggestion: str | None = None
    """fmin, fmax and sample rate that would do, and why."""


class DesignChapter(msgspec.Struct, frozen=True, kw_only=True):
    """The network, and how it was fitted."""

    network: str
    why: list[str]
    n_parameters: int
    macs_per_second: float
    receptive_field_seconds: float
    event_seconds: float
    """90th percentile of event length."""
    pooling: str
    warning: str | None = None
    n_steps: int
    audio_hours: float
    """Simulated audio it was trained on."""
    fit_seconds: float
    losses: list[tuple[int, float]]
    """Step, and training loss averaged up to it since the one before."""
    checkpoints: list[dict[str, float]]
    """step, recall, alarms_per_hour: what each checkpoint was chosen by."""
    chosen_step: int
    gates: dict[str, str]
    """Each gate of the export and what it measured."""


class DetPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold."""

    threshold: float
    recall: float | None
    n_false_alarms: int
    hours: float


class LabelResult(msgspec.Struct, frozen=True, kw_only=True):
    """One label in one condition, at the model's threshold."""

    label: str
    threshold: float
    n_sounds: int
    n_groups: int
    n_heard: int
    recall: float | None
    recall_interval: Interval | None
    """By group; None with fewer than two groups: nothing can be said."""
    n_false_alarms: int
    """Events where no labelled sound is."""
    n_confused: int
    """Events on sounds of other labels."""
    hours: float
    """Of audio in which an event is a false alarm: without any labelled sound."""
    alarms: str
    """What may be said of false alarms an hour, given the hours."""
    f1: float | None
    """Event-based, onset and offset within the collar."""
    delay_seconds: tuple[float, float] | None
    """Median and 95th percentile, from the onset to the publication."""
    det: list[DetPoint]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Streams of one kind, played through the detector: real recordings or simulated scenes, never both."""

    name: str
    kind: Literal["real", "simulated"]
    background: Literal["given", "shipped", "generated"]
    """Recordings of the user, or recordings that come with the tools, or nothing recorded at all."""
    hours: float
    n_streams: int
    collar_seconds: float
    labels: list[LabelResult]
    confusion: list[tuple[str | None, str | None, int]]
    """Label of the sound, label of its event, how often; None: no sound, no event. A sound may have several events."""
    calibration: list[tuple[float, float, int]]
    """Mean posterior, share that was on, number of hops, bin by bin."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the robustness matrix: everything at its middle but what the cell names."""

    noise: str
    snr_db: float | None
    """None: no noise."""
    rt60_seconds: float
    microphone: str
    distance_m: float | None
    recall: float
    recall_interval: Interval | None
    familiarity: Familiarity
    n_sounds: int


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """One of the worst errors, to be heard."""

    kind: Literal["missed", "false alarm", "confused"]
    label: str
    taken_for: str | None
    score: float
    """Of the false alarm; of a missed sound, the highest while it lasted."""
    stream: str
    seconds: float
    clip: str | None
    flac: bytes
    """The error with a second before and after."""


class ExpectChapter(msgspec.Struct, frozen=True, kw_only=True):
    """What it will do."""

    alarms_per_hour: float
    """The budget that thresholds were chosen for."""
    thresholds: str
    """On what they were chosen and on what they are reported, in a sentence."""
    conditions: list[Condition]
    """Real ones first."""
    onset_delay_seconds: float
    offset_delay_seconds: float
    disjoint: str
    """What was compared by content, and that nothing is shared."""
    errors: list[Error]
    matrix: list[Cell] = []
    learning_curve: list[tuple[int, float, Interval | None]] = []
    """Number of groups trained on, recall, its interval."""
    shuffled: tuple[float, float] | None = None
    """Average precision of clips after training on shuffled labels, and chance."""
    seeds: list[tuple[int, float]] = []
    """Seed, and recall on simulated scenes after a fit that differs in nothing else."""
    stages: list[tuple[str, float, Interval | None]] = []
    """Stage of the simulator left out, recall lost by it."""
    feasible: Literal["yes", "partly", "no", "unknown"]
    level: str
    """At which level it answers: that it sounds, which one, what it means."""
    verdict: list[str]
    helps_most: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    format: Literal[1] = 1
    model: str
    """Name of the model."""
    model_sha256: str
    licence: str
    created_at: str
    command: str
    seconds: float
    versions: dict[str, str]
    sources: list[tuple[str, str, str]]
    """What it was trained on: name, licence, SHA-256 of its content."""
    prepare: PrepareChapter | None
    process: ProcessChapter | None
    design: DesignChapter | None
    """None, as the two before, where a finished model was evaluated."""
    expect: ExpectChapter
    left_out: list[str]
    """What did not fit into the time, and how to ask for it."""


def write(report: Report, path: Path) -> None:
    """Write report.json."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))


def read(path: Path) -> Report:
    """Return the report in a report.json; msgspec.ValidationError if it is none."""
    return msgspec.json.decode(path.read_bytes(), type=Report)
