"""How long a fit lasts, how its learning rate goes, and after which steps it is checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from training.design.fit_settings import FitSettings

TIMED_SHARE = 0.05
"""Of the minutes, used to find out how many steps fit in; these steps are trained like all others."""
N_TIMED = 8
"""Steps that are timed at least, after the first two, which start everything."""
N_UNTIMED = 2

KEPT_SHARE = 0.95
"""Of the minutes, planned with: the machine may be busier later than it was while the steps were timed."""

N_CHECKS = 8
FIRST_CHECK = 0.6
"""The scorer is asked that often, at even distances from that share of all steps on: before, the learning rate is too
high for a network that anybody would want. From 0.3 on, the first check of one percussion run was its best by luck
(.06 against .00 of recall), and four worse ones ended the run before its rate had fallen."""
CHECKED_SHARE = 0.5
"""Of the time that is left, at most for checks; with longer streams there are fewer of them. A run that mostly listens
to itself has little to choose among."""
LEAST_CHECKS = 2
"""One would choose among nothing."""
TRAINED_SHARE = 0.4
"""Of the minutes, at least for steps, even where asking the scorer once has taken all: that run is late then, but its
network has learnt."""


@dataclass(frozen=True)
class Took:
    """Seconds that things took in a run."""

    step: float
    candidate: float
    """Copying and calibrating a network as it would be exported."""
    check: float
    """That, and asking the scorer; 0 without one."""


class Plan:
    """Of one run. With minutes it is open until steps were timed; then it is fixed, for who goes on from it, too."""

    def __init__(self, settings: FitSettings) -> None:
        self.n_steps = settings.n_steps
        """None while it is open."""
        self.n_checks = N_CHECKS
        self._minutes = settings.minutes
        self._learning_rate = settings.learning_rate
        self._n_rising = min(settings.n_rising, settings.n_steps // 5 if settings.n_steps else settings.n_rising)
        self._falls_from = self._n_rising

    def is_timed(self, n_steps: int, seconds: float) -> bool:
        """Tell whether so many steps, and seconds of the whole run, are enough to fix it."""
        return n_steps - N_UNTIMED >= N_TIMED and seconds >= TIMED_SHARE * self._budget

    def fix(self, step: int, seconds: float, took: Took) -> None:
        """Fix steps and checks by what fits into the minutes.

        Args:
            step: that was done last.
            seconds: that the run lasts so far, the check that was timed included.
            took: what steps, candidates and checks take.
        """
        left = KEPT_SHARE * self._budget - seconds
        self.n_checks = 0
        if took.check:
            self.n_checks = min(N_CHECKS, int(max(0.0, CHECKED_SHARE * left) / took.check))
            self.n_checks = self.n_checks if self.n_checks >= LEAST_CHECKS else 0
        # Without a check, the last weights are made a candidate.
        to_train = left - (self.n_checks * took.check or took.candidate)
        to_train = max(to_train, TRAINED_SHARE * self._budget - (seconds - took.check))
        self.n_steps = step + max(1, int(to_train / took.step))
        self._falls_from = max(step, self._n_rising)

    def is_check_due(self, step: int) -> bool:
        """Is this a step after which the scorer is asked?"""
        if self.n_steps is None:
            return False
        shares = (FIRST_CHECK + (1 - FIRST_CHECK) * i / (self.n_checks - 1) for i in range(self.n_checks))
        return step in {max(1, round(share * self.n_steps)) for share in shares}

    def learning_rate(self, step: int) -> float:
        """Rising at first, then falling as a cosine does, to 0 at the last step (https://arxiv.org/abs/1608.03983)."""
        rate = self._learning_rate * min(1.0, (step + 1) / max(1, self._n_rising))
        if self.n_steps is None or step < self._falls_from:
            return rate
        done = (step - self._falls_from) / max(1, self.n_steps - self._falls_from)
        return rate * (1 + math.cos(math.pi * done)) / 2

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"n_steps": self.n_steps, "n_checks": self.n_checks, "falls_from": self._falls_from}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what a checkpoint kept."""
        self.n_steps, self._falls_from = state["n_steps"], state["falls_from"]
        self.n_checks = state.get("n_checks", N_CHECKS)

    @property
    def _budget(self) -> float:
        return 60 * (self._minutes or 0.0)
