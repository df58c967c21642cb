"""A configuration held against the models that it names, once they are known: labels, decisions, names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from streamd.config import Config
from streamd.errors import ConfigError
from streamd.events import slug
from streamd.manifest import Manifest
from streamd.recorder.configured import label_mistakes
from streamd.spelling import did_you_mean


def check_against_models(config: Config, manifests: Mapping[Path, Manifest]) -> list[str]:
    """Return what is wrong with the models and labels of a configuration, now that the models are known.

    Args:
        config: the configuration.
        manifests: the manifests of the files that config.models names, as far as they could be loaded.
    """
    mistakes = _namesakes(config, manifests)
    for i, use in enumerate(config.models):
        manifest = manifests.get(use.file)
        if manifest is None or not isinstance(use.labels, Mapping):
            continue
        for label, override in use.labels.items():
            where = config.document.where(("models", i, "labels", label))
            if label not in manifest.labels:
                guess = did_you_mean(label, manifest.labels)
                hint = guess or f"; `streamd model {use.file}` lists its {len(manifest.labels)} labels"
                mistakes.append(f"{where}: model {manifest.name} has no such label{hint}")
                continue
            try:
                override.apply(manifest.decision_of(label))
            except ConfigError as error:
                mistakes += error.mistakes
    if config.recorder is not None and all(use.file in manifests for use in config.models):
        mistakes += label_mistakes(config.recorder, manifests.values(), config.document)
    return mistakes


def _namesakes(config: Config, manifests: Mapping[Path, Manifest]) -> list[str]:
    """Return which models have the name of another on a source: topics, ids of scores and metrics know them by it."""
    mistakes = []
    known = [(i, use, manifests[use.file].name) for i, use in enumerate(config.models) if use.file in manifests]
    for (_, first, name), (i, second, other) in combinations(known, 2):
        both = [source for source in second.sources if source in first.sources]
        if both and first.file != second.file and slug(name) == slug(other):
            where = config.document.where(("models", i, "file"))
            mistakes.append(
                f"{where}: its name is {other!r}, that of {first.file} is {name!r}, and both listen to"
                f" {', '.join(both)}; expected names that differ in letters or digits: rename one model, or give each"
                " sources of its own"
            )
    return mistakes
