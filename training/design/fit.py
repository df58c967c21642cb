"""The training loop: scenes in, a network out that is as good as the minutes allow.

Read it top to bottom: `fit` is the whole, `_Run` is one step of it and what a checkpoint keeps. A run that was killed
goes on from its folder and ends with the weights of an unbroken one, bit for bit (on a CPU, with as many threads):
scenes are known by their numbers, chance by seed and step, and all else is in the checkpoint.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from streamd.errors import DataError
from streamd.logmel import LogMelSpec
from training.design import checkpoints
from training.design.calibrate_batch_norm import calibrate
from training.design.fit_settings import FitSettings
from training.design.learner import Learner
from training.design.plan import N_UNTIMED, Plan, Took
from training.design.progress import Progress, telling
from training.design.streaming import StreamNetwork
from training.design.targets import grid
from training.prepare.simulation.scene import Scene

__all__ = ["FitSettings", "Fitted", "FittedNetwork", "Scenes", "Score", "Scorer", "fit"]

Scenes = Callable[[int, int], Iterator[Scene]]
"""(begin, n) → scenes number begin to begin + n − 1 of a list without end; a number is always the same scene. Far more
are asked for than are taken, so they must be made when they are wanted; the iterator is closed after."""

ENDLESS = 1 << 40
"""Scenes asked for: how many will be wanted is known only when the first steps were timed."""

N_CHECKPOINTS = 20
"""Written in a run besides those after each check: a kill costs a twentieth of it at most."""


LAX_WEIGHT = 3.0
"""Of the recall at laxer budgets, which is a mean of so many, beside that at the budget."""


@dataclass(frozen=True)
class Score:
    """What a scorer found."""

    recall: float
    """0 to 1, mean of the labels at the thresholds that the budget of false alarms allows: 0 where it allows none."""
    alarms_per_hour: float
    keeps_budget: bool
    """Every label hears something within the budget; one that is deaf to it keeps nothing."""
    lax_recall: float = 0.0
    """0 to 1, the same mean at budgets that allow more: it tells networks apart to which the budget leaves nothing."""

    @property
    def rank(self) -> tuple[float, float, float]:
        """Higher is better: the budget is kept; then recall, at the budget and at laxer ones; then fewer alarms.

        The laxer ones weigh more: what one budget of no alarm in minutes leaves is mostly luck. Where the budget is not
        kept, no alarm at all means that a label is deaf: that is worse than any alarms.
        """
        deaf = not self.keeps_budget and self.alarms_per_hour == 0
        alarms = -math.inf if deaf else -self.alarms_per_hour
        return float(self.keeps_budget), self.recall + LAX_WEIGHT * self.lax_recall, alarms

    def __str__(self) -> str:
        kept = "within" if self.keeps_budget else "not every label within"
        return f"recall {self.recall:.3f}, {self.alarms_per_hour:.2f} false alarms an hour, {kept} the budget"


Scorer = Callable[[StreamNetwork], Score]
"""Scores a network on the CPU in evaluation mode, its batch norms calibrated, on streams that training never hears."""


AnyNetwork_co = TypeVar("AnyNetwork_co", bound=nn.Module, covariant=True)


@dataclass(frozen=True)
class FittedNetwork(Generic[AnyNetwork_co]):
    """A trained network of some kind, and how it came about."""

    network: AnyNetwork_co
    """On the CPU, in evaluation mode, its batch norms calibrated."""
    n_steps: int
    """Done."""
    audio_seconds: float
    """Heard in training."""
    seconds: float
    """Wall time, with that of runs that were cut off and gone on from."""
    losses: list[tuple[int, float]]
    """(step, loss of its batch)"""
    checkpoints: list[tuple[int, Score]]
    """(step, score), in order."""
    chosen_step: int
    """After which the weights were taken."""


Fitted = FittedNetwork[StreamNetwork]


def fit(
    network: StreamNetwork,
    spec: LogMelSpec,
    labels: Sequence[str],
    scenes: Scenes,
    settings: FitSettings,
    folder: Path,
    scorer: Scorer | None = None,
    negatives: Scenes | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Train a network, or go on where a run in the same folder was cut off.

    Args:
        network: with its first weights; it is changed.
        spec: its log-mel.
        labels: of its outputs, in order.
        scenes: to learn from, all of one length, at least `targets.least_seconds`.
        settings: how.
        folder: made if it isn't there; holds checkpoint.pt, and a log for TensorBoard.
        scorer: says after which step the weights were best; without one the last are taken.
        negatives: scenes of that length without any of the sounds: hard ones are found in them.
        progress: told of each step, and of the end.

    Raises:
        DataError: scenes that don't fit the network, or a folder that holds a run of other settings.
        ValueError: labels or bands that aren't the network's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if negatives is None:
        settings = replace(settings, negative_share=0.0)
    # Chance is the fit's own while it lasts.
    with torch.random.fork_rng(devices=[]), _threads(settings.n_threads):
        torch.manual_seed(settings.seed)
        on_grid = grid(network, spec, labels, settings.target_delay_seconds)
        run = _Run(Learner(network.to(settings.device), spec, on_grid, settings), settings, folder / "checkpoint.pt")
        run.begin(scenes, negatives)
        with SummaryWriter(str(folder), purge_step=run.learner.step + 1) as log, telling(progress) as told:
            _train(run, scenes, negatives, scorer, told, log)
        chosen = run.chosen()
    return Fitted(
        network=chosen,
        n_steps=run.learner.step,
        audio_seconds=run.learner.audio_seconds,
        seconds=run.seconds,
        losses=list(enumerate(run.losses, start=1)),
        checkpoints=run.checks,
        chosen_step=run.best_step or run.learner.step,
    )


def _train(
    run: _Run,
    scenes: Scenes,
    negatives: Scenes | None,
    scorer: Scorer | None,
    progress: Progress,
    log: SummaryWriter,
) -> None:
    """Do what is left of a run."""
    learner = run.learner
    if run.is_done:
        return
    with (
        closing(_batches(scenes, learner.n_scenes, learner.n_first[0], learner.step)) as sounding,
        closing(_batches(negatives, learner.n_new_negatives, learner.n_first[1], learner.step)) as quiet,
    ):
        while not run.is_done:
            rate = run.plan.learning_rate(learner.step)
            loss = learner.learn(next(sounding), next(quiet), rate)
            run.losses.append(loss)
            log.add_scalar("loss", loss, learner.step)
            log.add_scalar("learning rate", rate, learner.step)
            progress.stepped(learner.step, run.plan.n_steps, loss, learner.audio_seconds)
            if run.plan.n_steps is None:
                run.fix_plan(scorer)
            if scorer is not None and run.plan.is_check_due(learner.step):
                score = run.check(scorer)
                log.add_scalar("recall", score.recall, learner.step)
                log.add_scalar("false alarms per hour", score.alarms_per_hour, learner.step)
                progress.checked(learner.step, str(score))
            if run.is_checkpoint_due:
                run.save()


def _batches(scenes: Scenes | None, n: int, begin: int, n_done: int = 0) -> Generator[list[Scene]]:
    """Yield n scenes for each step after the first n_done, whose first scene was number `begin`; none without any."""
    if scenes is None or not n:
        while True:
            yield []
    source = scenes(begin + n_done * n, ENDLESS)
    try:
        while True:
            yield [next(source) for _ in range(n)]
    finally:
        close = getattr(source, "close", None)
        if close:
            close()


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Let torch work with n threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Run:
    """Where a run is: its plan, its checks, its best weights; what the checkpoint keeps of all that."""

    def __init__(self, learner: Learner, settings: FitSettings, path: Path) -> None:
        self.learner = learner
        self.settings = settings
        self.path = path
        self.plan = Plan(settings)
        self.losses: list[float] = []
        self.checks: list[tuple[int, Score]] = []
        self.best: dict[str, Any] | None = None
        self.best_step: int | None = None
        self._begun = time.monotonic()
        self._times: list[float] = []
        self._seconds_before = 0.0

    @property
    def seconds(self) -> float:
        """Wall time so far, that of runs which were cut off included."""
        return self._seconds_before + time.monotonic() - self._begun

    def begin(self, scenes: Scenes, negatives: Scenes | None) -> None:
        """Measure the first scenes, and take up what a checkpoint has kept."""
        learner = self.learner
        n_scenes, n_negatives = learner.n_first
        with closing(_batches(scenes, n_scenes, 0)) as sounding, closing(_batches(negatives, n_negatives, 0)) as quiet:
            learner.measure(next(sounding), next(quiet))
        kept = checkpoints.load(self.path)
        if kept is None:
            return
        found, wanted = kept["made_with"], self._made_with
        other = [f"{name} {found.get(name)}, now {value}" for name, value in wanted.items() if found.get(name) != value]
        if other:
            raise DataError(f"{self.path} is of another run ({'; '.join(other)}): give another folder, or remove it")
        learner.restore(kept["learner"])
        self.plan.restore(kept)
        self._seconds_before = kept["seconds"]
        self.losses, self.checks = kept["losses"], [(step, Score(*found)) for step, *found in kept["checks"]]
        self.best, self.best_step = kept["best"], kept["best_step"]

    @property
    def _made_with(self) -> dict[str, str]:
        network = self.learner.network
        n_weights = sum(weight.numel() for weight in network.parameters())
        settings = {field.name: repr(getattr(self.settings, field.name)) for field in fields(self.settings)}
        return {
            **settings,
            "labels": ", ".join(self.learner.grid.labels),
            "log-mel": repr(self.learner.spec),
            "network": f"{type(network).__name__} of {n_weights} parameters",
        }

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "made_with": self._made_with,
            "learner": self.learner.state(),
            **self.plan.state(),
            "seconds": self.seconds,
            "losses": self.losses,
            "checks": [(step, *astuple(score)) for step, score in self.checks],
            "best": self.best,
            "best_step": self.best_step,
        }
        checkpoints.save(state, self.path)

    @property
    def is_done(self) -> bool:
        """All steps are done, or the last checks were all worse than one before."""
        if self.plan.n_steps is not None and self.learner.step >= self.plan.n_steps:
            return True
        return len([step for step, _ in self.checks if step > (self.best_step or 0)]) >= self.settings.patience

    @property
    def is_checkpoint_due(self) -> bool:
        """Not before the plan is fixed: from then on a run that goes on ends like one that wasn't cut."""
        if self.plan.n_steps is None:
            return False
        every = max(1, self.plan.n_steps // N_CHECKPOINTS)
        step = self.learner.step
        return step % every == 0 or self.is_done or self.plan.is_check_due(step)

    def fix_plan(self, scorer: Scorer | None) -> None:
        """Fix how many steps and checks fit into the minutes, once enough steps were timed."""
        self._times.append(time.monotonic())
        if not self.plan.is_timed(len(self._times), self.seconds):
            return
        begun = time.monotonic()
        candidate = self.candidate()
        candidate_seconds = check_seconds = time.monotonic() - begun
        if scorer is not None:
            scorer(candidate)
            check_seconds = time.monotonic() - begun
        timed = self._times[N_UNTIMED - 1 :]
        took = Took((timed[-1] - timed[0]) / (len(timed) - 1), candidate_seconds, check_seconds if scorer else 0.0)
        self.plan.fix(self.learner.step, self.seconds, took)
        self.save()

    def candidate(self) -> StreamNetwork:
        """Return the network as it would be exported now: a copy on the CPU, its batch norms calibrated."""
        network = copy.deepcopy(self.learner.network)
        calibrate(network, self.learner.first)
        return network.to("cpu").eval()

    def chosen(self) -> StreamNetwork:
        """Return the best network of those that were scored; the last, where none was."""
        if self.best is None:
            return self.candidate()
        network = copy.deepcopy(self.learner.network).to("cpu").eval()
        network.load_state_dict(self.best)
        return network

    def check(self, scorer: Scorer) -> Score:
        """Ask the scorer, and keep the weights if they are the best so far; of equals the later."""
        candidate = self.candidate()
        score = scorer(candidate)
        ranks = [one.rank for _, one in self.checks]
        if not ranks or score.rank >= max(ranks):
            self.best, self.best_step = candidate.state_dict(), self.learner.step
        self.checks.append((self.learner.step, score))
        return score
