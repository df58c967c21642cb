"""How to train, every default with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.design.pooling import Pooling
from training.process.augmentation.filter_augment import FilterAugment
from training.process.augmentation.mixup import Mixup
from training.process.augmentation.spec_augment import SpecAugment
from training.process.augmentation.trim_bands import TrimBands

LEAST_BATCH = 3
"""With negatives."""


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit.

    Raises:
        ValueError: a number out of range, or not one of minutes and n_steps.
    """

    minutes: float | None = None
    """Wall time in all, checks and calibration included. The first steps are timed, then the number of steps is fixed
    for good."""
    n_steps: int | None = None
    """Steps, in place of minutes."""
    batch: int = 8
    """Scenes in a step, negatives included: of few minutes, many small steps make more than few large ones."""
    learning_rate: float = 5e-3
    """At its highest; AdamW's usual 1e-3 is for longer runs than ten minutes."""
    n_rising: int = 30
    """Steps in which the learning rate rises, but a fifth of all at most: AdamW's averages mean nothing before."""
    target_delay_seconds: float = 0.08
    """By how much the network may answer late: it has then heard more of a sound than its beginning. At 8 false alarms
    an hour 0.88 of the recordings of examples/one_fault were heard so, 0.63 without and 0.67 with twice as much (four,
    four and two seeds: examples/one_fault/compare_settings.py)."""
    pooling: Pooling = Pooling.FRAME_WISE
    """From frames to a scene; frame-wise where onsets are known, as they are in simulated scenes."""
    seed: int = 0
    device: str = "cpu"
    n_threads: int = 1
    """Of the processor: scenes are made at the same time, and threads that find no free core wait for each other (on
    two busy cores, two threads took five times as long as one). Another number rounds otherwise."""
    carry_over: float = 0.5
    """Share of steps in which a recurrent network goes on from the scenes before, as it does in a stream."""
    negative_share: float = 0.25
    """Of a batch, where there are negatives: half of them new, half the hardest so far."""
    scene_weight: float = 0.3
    """Of the loss of whole scenes beside that of frames, where the loss is frame-wise: the surest frame of a scene
    without the sound is a false alarm, and weighs nothing among hundreds of frames that are right. 0 where nearly every
    scene has the sound. What it is worth: examples/one_fault/compare_settings.py."""
    patience: int = 4
    """Checks in a row without a better score, after which the run ends early."""
    spec_augment: SpecAugment | None = field(default_factory=SpecAugment)
    """On: it found more of the sounds in unseen simulated places, 0.24 against 0.08 at 2 false alarms an hour (four
    seeds of the same script)."""
    filter_augment: FilterAugment | None = None
    mixup: Mixup | None = None
    trim_bands: TrimBands | None = None
    """The three are off: they were not seen to help on conditions that training never drew (docs/development.md)."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.n_steps is None):
            raise ValueError(f"minutes {self.minutes} and n_steps {self.n_steps}; expected one of the two")
        for name in (
            "minutes",
            "n_steps",
            "batch",
            "learning_rate",
            "n_rising",
            "n_threads",
            "patience",
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} {value}; expected a positive number")
        for name, most in (("carry_over", 1.0), ("negative_share", 0.75), ("scene_weight", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} {getattr(self, name)}; expected 0 to {most}")
        if self.negative_share and self.batch < LEAST_BATCH:
            raise ValueError(
                f"batch {self.batch}; expected {LEAST_BATCH} or more: a scene, a new negative and a hard one"
                " (or negative_share 0)"
            )
