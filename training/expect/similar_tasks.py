"""Tasks that others have solved, so that a number has something to be held against.

Only figures that could be read in a public source are here. Each is of its own data and its own measure: they say what
is usual for a kind of task, not what a model here should reach.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SolvedTask:
    """One published result."""

    task: str
    result: str
    source: str

    @property
    def sentence(self) -> str:
        """The three in a row."""
        return f"{self.task}: {self.result} ({self.source})"


ONE_LABEL = (
    SolvedTask(
        "one wake word, many real speakers",
        "2 % missed at 0.12 false alarms an hour",
        "microWakeWord's README on Okay Nabu",
    ),
    SolvedTask(
        "one wake word learned from synthetic voices",
        "86 % heard at 0.08 false alarms an hour",
        "livekit-wakeword 0.3.0, its own benchmark",
    ),
)
WHICH_CLIP = (
    SolvedTask(
        "which of 12 spoken commands, clip by clip",
        "98.0 % right",
        "BC-ResNet-8 on Speech Commands v1",
    ),
    SolvedTask(
        "which of 50 everyday sounds, clip by clip",
        "95 % right",
        "a pretrained CNN14, fine-tuned on ESC-50 by PaddleSpeech",
    ),
)
WHICH_EVENT = (
    SolvedTask(
        "which of ten sounds at home, and from when to when",
        "event F1 41 %, with a large pretrained network 57 %",
        "the baselines of DCASE 2024 task 4 on DESED",
    ),
)


def similar_tasks(n_labels: int) -> tuple[SolvedTask, ...]:
    """Return solved tasks that ask for as much: whether one sound is there, or which of several it is."""
    return ONE_LABEL if n_labels == 1 else (*WHICH_CLIP, *WHICH_EVENT)
