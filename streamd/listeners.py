"""From a configuration to what listens: every model loaded once, and a detector for each entry."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamd.blocks import LONGEST_BLOCK_SECONDS, Want, block_take
from streamd.config import Config, ModelUse
from streamd.config_models import check_against_models
from streamd.decision import DecisionSpec
from streamd.detector import Detector, Hop
from streamd.errors import ConfigError, DeviceError, ModelError
from streamd.lags import Lags
from streamd.manifest import Manifest
from streamd.model import CPU, Device, Model
from streamd.requests import ModelReport

log = logging.getLogger("streamd")


@dataclass(eq=False)
class Listener:
    """One entry of the configuration's models: a detector and the sources it hears."""

    index: int
    """No other listener of this run has it; makes event ids unique."""
    detector: Detector
    sources: tuple[str, ...]
    """A reload may exchange them."""

    @property
    def model(self) -> Model:
        """The model as it runs now: another session of it, after a GPU was lost."""
        return self.detector.model

    lags: Lags = field(default_factory=Lags)
    """Of its hops, where they can be told: live sources on our clock."""

    work_seconds: float = 0.0
    """What `step` has taken so far."""

    def step(self) -> Iterator[Hop]:
        """Run what is ready, as `Detector.step`, and count the time it takes, not that of who asks for the hops."""
        hops = self.detector.step()
        while True:
            began = time.perf_counter()
            hop = next(hops, None)
            self.work_seconds += time.perf_counter() - began
            if hop is None:
                return
            yield hop

    def report(self) -> ModelReport:
        """Return how the model fares, for `status`."""
        model = self.model
        return ModelReport(
            name=model.manifest.name,
            version=model.manifest.version,
            sha256=model.sha256,
            file=str(model.file),
            provider=model.provider,
            run_seconds=round(model.run_seconds, 6),
            labels_on=self.detector.labels,
            sources=self.sources,
            lags=self.lags.report(),
            n_runs=self.detector.n_runs,
            work_seconds=round(self.work_seconds, 6),
        )


def wants_of(listeners: Sequence[Listener], take: str) -> list[Want]:
    """Return what these want of a take of one source: one format for each rate that a model needs.

    A block is as long as the shortest hop, because a wake-up costs more than its arithmetic; of a hop that is longer
    than a second it is a part that it can be divided into, so that a source is heard of all the time.
    """
    hops: dict[int, int] = {}
    for listener in listeners:
        facts = listener.model.manifest
        hops[facts.sample_rate] = min(facts.hop_samples, hops.get(facts.sample_rate, facts.hop_samples))
    return [
        Want(take=take, block_take=block_take(take, rate), sample_rate=rate, n_samples=_block_samples(hop, rate))
        for rate, hop in hops.items()
    ]


def _block_samples(hop_samples: int, sample_rate: int) -> int:
    """Return how long the blocks of a hop are: decisions fall on ends of blocks wherever that can be."""
    fewest = -(-hop_samples // round(LONGEST_BLOCK_SECONDS * sample_rate))
    n_parts = next((n for n in range(fewest, 2 * fewest + 1) if hop_samples % n == 0), fewest)
    return -(-hop_samples // n_parts)


def load_listeners(
    config: Config,
    running: Sequence[Listener] = (),
    open_model: Callable[[Path], Model] | None = None,
    first_index: int = 0,
) -> list[Listener]:
    """Load every model of a configuration once, and make a detector for each entry.

    Args:
        config: the configuration.
        running: listeners that may be kept: one whose model and decisions an entry has, too, is returned as it is, and
            the sources it hears are still its old ones.
        open_model: returns the verified model in a file, one of a running listener if it is that; None: opens it.
        first_index: the listeners that are made are numbered from here on, each by its place among the entries.

    Raises:
        ConfigError: models that are refused, labels that their models don't have, decisions that can't be: all of
            them, each with its line.
        DeviceError: the device that was asked for is not there.
    """
    models = _open_models(config, open_model or (lambda file: Model(file, config.device)))
    free = list(running)
    listeners = []
    for i, use in enumerate(config.models):
        model = models[use.file]
        decisions = _decisions(use, model.manifest)
        same = [one for one in free if one.model is model and one.detector.decisions == decisions]
        if same:
            kept = max(same, key=lambda one: len(set(one.sources) & set(use.sources)))
            free.remove(kept)
            listeners.append(kept)
            continue
        try:
            detector = _detector(model, decisions, config.device)
        except ModelError as error:
            raise ConfigError(f"{config.document.where(('models', i, 'file'))}: {error}") from error
        listeners.append(Listener(first_index + i, detector, use.sources))
    return listeners


def _open_models(config: Config, open_model: Callable[[Path], Model]) -> dict[Path, Model]:
    """Return the models of a configuration by their files; raises ConfigError with all that is wrong with them."""
    models: dict[Path, Model] = {}
    refused: dict[Path, str] = {}
    for i, use in enumerate(config.models):
        if use.file in models or use.file in refused:
            continue
        try:
            models[use.file] = open_model(use.file)
        except ModelError as error:
            refused[use.file] = f"{config.document.where(('models', i, 'file'))}: {error}"
    mistakes = check_against_models(config, {file: model.manifest for file, model in models.items()})
    if refused or mistakes:
        raise ConfigError([*refused.values(), *mistakes])
    return models


def _detector(model: Model, decisions: dict[str, DecisionSpec], device: Device) -> Detector:
    """Return a detector on the device that was asked for; where any will do, on the processor if not on a GPU."""
    try:
        return Detector(model, decisions)
    except (DeviceError, ModelError) as error:
        if device != "auto" or model.provider == CPU:
            raise
        log.warning("%s; it runs on the CPU", error)
    return Detector(Model(model.file, "cpu"), decisions)


def _decisions(use: ModelUse, facts: Manifest) -> dict[str, DecisionSpec]:
    """Return the labels that an entry switches on, each with its decision."""
    if use.labels == "all":
        return {label: facts.decision_of(label) for label in facts.labels}
    if use.labels is None:
        return {label: facts.decision_of(label) for label in facts.default_labels}
    return {label: override.apply(facts.decision_of(label)) for label, override in use.labels.items()}
