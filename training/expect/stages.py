"""What each stage of the simulator was worth: a fit without it against the fit with all, on conditions nobody drew.

Chance of a stage comes from a generator of its own, so both fits hear the same scenes but for what was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from training.expect.heard import Heard, Interval, difference
from training.prepare.simulation.recipe import Recipe

IN_ORDER = ("mix", "room", "level", "microphone", "speed", "gain", "self_noise", "agc", "codec", "clipping", "dropouts")
"""Stages as they are tried, those first that change most of what a network hears. Left out: dc, which the log-mel does
not see, and quantise, with which every recording comes."""

Fit = Callable[[Recipe], Heard]
"""Trains with a recipe and returns which sounds of the unseen conditions the finished model hears: the same sounds in
the same order on every call, and as many steps. Streams without sounds keep the whole recipe: they set the thresholds,
and need the stage `level`."""


@dataclass(frozen=True)
class Stage:
    """One stage left out."""

    name: str
    lost: float
    """Recall that went with it; negative where leaving it out helped."""
    interval: Interval | None
    """None where all held-out sounds are of one group."""

    @property
    def sentence(self) -> str:
        """What may be said of it."""
        name = self.name.replace("_", "-")
        if self.interval is None:
            return f"{name}: nothing can be said; all held-out sounds are of one group."
        low, high = self.interval
        between = f"95 % interval {100 * low:+.0f} to {100 * high:+.0f} %"
        if low > 0:
            return f"{name}: without it {100 * self.lost:.0f} % of the sounds more are missed ({between})."
        if high < 0:
            return f"{name}: without it {-100 * self.lost:.0f} % of the sounds fewer are missed ({between})."
        return f"{name}: these sounds show no difference ({between})."

    def as_reported(self) -> tuple[str, float, Interval | None]:
        """Return stage, recall lost and its interval, as report.json has them."""
        return self.name, self.lost, self.interval


def stages(recipe: Recipe, fit: Fit, names: Iterable[str] = IN_ORDER, whole: Heard | None = None) -> Iterator[Stage]:
    """Yield what each stage was worth, one fit each; whoever has no more time stops taking them.

    Args:
        recipe: of training; a stage that it lacks is passed over.
        fit: see Fit.
        names: of the stages, in the order in which they are tried.
        whole: what the fit with all stages gave, where it was made already.

    Raises:
        ValueError: a name that is no stage.
    """
    wanted = [(name, recipe.without(name)) for name in names]
    for name, less in wanted:
        if less == recipe:
            continue
        whole = whole if whole is not None else fit(recipe)
        without = fit(less)
        yield Stage(name, whole.recall - without.recall, difference(whole, without))
