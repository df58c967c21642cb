"""From a configuration to what listens: every model loaded once, and a detector for each entry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamd.config import Config, ModelUse, check_against_models
from streamd.decision import DecisionSpec
from streamd.detector import Detector
from streamd.errors import ConfigError, ModelError
from streamd.manifest import Manifest
from streamd.model import Model


@dataclass(frozen=True, eq=False)
class Listener:
    """One entry of the configuration's models: a model, its decisions and the sources it hears."""

    index: int
    """Place among the entries; makes event ids unique."""
    model: Model
    detector: Detector
    sources: tuple[str, ...]


def load_listeners(config: Config) -> list[Listener]:
    """Load every model of a configuration once, and make a detector for each entry.

    Raises:
        ConfigError: models that are refused, labels that their models don't have, decisions that can't be: all of
            them, each with its line.
        DeviceError: the device that was asked for is not there.
    """
    models: dict[Path, Model] = {}
    refused: dict[Path, str] = {}
    for i, use in enumerate(config.models):
        if use.file in models or use.file in refused:
            continue
        try:
            models[use.file] = Model(use.file, config.device)
        except ModelError as error:
            refused[use.file] = f"{config.document.where(('models', i, 'file'))}: {error}"
    mistakes = check_against_models(config, {file: model.manifest for file, model in models.items()})
    if refused or mistakes:
        raise ConfigError([*refused.values(), *mistakes])
    listeners = []
    for i, use in enumerate(config.models):
        model = models[use.file]
        listeners.append(Listener(i, model, Detector(model, _decisions(use, model.manifest)), use.sources))
    return listeners


def _decisions(use: ModelUse, facts: Manifest) -> dict[str, DecisionSpec]:
    """Return the labels that an entry switches on, each with its decision."""
    if use.labels == "all":
        return {label: facts.decision_of(label) for label in facts.labels}
    if use.labels is None:
        return {label: facts.decision_of(label) for label in facts.default_labels}
    return {label: override.apply(facts.decision_of(label)) for label, override in use.labels.items()}
