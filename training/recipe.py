"""A recipe: one experiment, one short YAML file of what differs from the default.

    licence: CC-BY-SA-4.0
    labels: {join: {hit: [kick, tom]}, drop: [noise]}
    simulation: {codec: false, mix: {snr_db: [0, 30]}}
    network: {name: crnn}
    fit: {minutes: 5}

Every mistake is told at once, each in a line with its place. An empty recipe is the default.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct
from msgspec.structs import asdict

from streamd import yaml_lines
from streamd.errors import ConfigError
from streamd.logmel import LogMelSpec, tables
from streamd.yaml_lines import Document
from training.design import vgg
from training.design.choose import MOST_RESIDUAL
from training.design.fit_settings import FitSettings
from training.prepare.labels import LabelRecipe
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.rooms import response_files
from training.prepare.trim import Trim
from training.process.augmentation.filter_augment import FilterAugment
from training.process.augmentation.mixup import Mixup
from training.process.augmentation.spec_augment import SpecAugment
from training.process.augmentation.trim_bands import TrimBands
from training.recipe_shape import filled, struct_of

NetworkName = Literal["vgg", "crnn", "tc-resnet", "pretrained", "fine-tuned"]
NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)
MOST_BLOCKS = {"vgg": len(vgg.CHANNELS), "tc-resnet": MOST_RESIDUAL}
"""Of the networks whose depth is a choice."""
UNSPECIFIED = "LicenseRef-unspecified"
"""The licence of weights on which nobody has decided yet, as SPDX writes it."""


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network; what is None is chosen from the data."""

    name: NetworkName | None = None
    blocks: int | None = None
    """Of a vgg or a tc-resnet: how deep."""


@dataclass(frozen=True)
class _Augmentation:
    """Effects on log-mel batches, as the fit's settings have them; None is off."""

    spec_augment: SpecAugment | None = field(default_factory=SpecAugment)
    filter_augment: FilterAugment | None = None
    mixup: Mixup | None = None
    trim_bands: TrimBands | None = None


@dataclass(frozen=True)
class TrainingRecipe:
    """All that a recipe may change."""

    labels: LabelRecipe = field(default_factory=LabelRecipe)
    trim: Trim = field(default_factory=Trim)
    log_mel: LogMelSpec | None = None
    """None: not a word of it, so that it may be chosen."""
    simulation: Recipe = field(default_factory=Recipe)
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    fit: FitSettings = field(default_factory=lambda: FitSettings(minutes=1.0))
    """With the effects of the section `augmentation`. Its minutes are those of the recipe only if `says_how_long`."""
    says_how_long: bool = False
    """Whether the recipe gives minutes or n_steps of the fit."""
    licence: str = UNSPECIFIED
    """Of the weights, an SPDX expression: somebody's decision, which follows from what they were trained on."""


_Licence = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9(][A-Za-z0-9.+() -]*$",
        max_length=200,
        title="an SPDX expression, such as CC-BY-SA-4.0 or GPL-3.0-or-later",
    ),
]
_Label = Annotated[str, Meta(min_length=1)]
_Labels = Annotated[tuple[_Label, ...], Meta(min_length=1)]


class _LabelSection(Struct, frozen=True, forbid_unknown_fields=True):
    join: dict[_Label, _Labels] = {}
    rename: dict[_Label, _Label] = {}
    drop: tuple[_Label, ...] = ()


class _LogMelSection(Struct, frozen=True, forbid_unknown_fields=True):
    sample_rate: Annotated[int, Meta(ge=4_000, le=192_000)] | UnsetType = UNSET
    n_fft: Annotated[int, Meta(ge=16, le=65_536)] | UnsetType = UNSET
    win_length: Annotated[int, Meta(ge=16, le=65_536)] | UnsetType = UNSET
    hop_length: Annotated[int, Meta(ge=1, le=65_536)] | UnsetType = UNSET
    n_mels: Annotated[int, Meta(ge=1, le=1_024)] | UnsetType = UNSET
    fmin: Annotated[float, Meta(ge=0, le=96_000)] | UnsetType = UNSET
    fmax: Annotated[float, Meta(gt=0, le=96_000)] | UnsetType = UNSET
    mel_scale: Literal["slaney", "htk"] | UnsetType = UNSET
    mel_triangle: Literal["hz", "mel"] | UnsetType = UNSET
    mel_norm: Literal["none", "slaney"] | UnsetType = UNSET
    power: Annotated[int, Meta(ge=1, le=2)] | UnsetType = UNSET
    log: Literal["db", "ln"] | UnsetType = UNSET
    floor: Annotated[float, Meta(gt=0, le=1)] | UnsetType = UNSET
    offset: Annotated[float, Meta(gt=0, le=1)] | UnsetType = UNSET


class _NetworkSection(Struct, frozen=True, forbid_unknown_fields=True):
    name: NetworkName | UnsetType = UNSET
    blocks: Annotated[int, Meta(ge=1, le=6)] | UnsetType = UNSET


def read_recipe(file: Path | None) -> TrainingRecipe:
    """Return what a recipe says; of None, the default.

    Raises:
        ConfigError: the file can't be read, or has mistakes: all of them, a line each.
    """
    if file is None:
        return TrainingRecipe()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: can't be read ({error.strerror}); expected a recipe (YAML)") from error
    return parse(data, str(file))


def parse(data: bytes, file: str) -> TrainingRecipe:
    """Return what the bytes of a recipe say; as `read_recipe`."""
    read, document = yaml_lines.read(data, file, _shape())
    default = TrainingRecipe()
    fit = _fit(read.fit, document)
    augmentation = filled(_Augmentation(), read.augmentation, document, ("augmentation",))
    recipe = TrainingRecipe(
        _labels(read.labels, document),
        filled(default.trim, read.trim, document, ("trim",)),
        _log_mel(read, document),
        _simulation(read.simulation, file, document),
        _network(read.network, document),
        replace(fit or default.fit, **vars(augmentation)),
        fit is not None and (read.fit.minutes is not UNSET or read.fit.n_steps is not UNSET),
        read.licence,
    )
    document.check()
    return recipe


def _shape() -> Any:
    """Return the struct of a whole recipe."""
    sections = {
        "labels": _LabelSection,
        "trim": struct_of(Trim),
        "log_mel": _LogMelSection,
        "simulation": struct_of(Recipe),
        "network": _NetworkSection,
        "fit": struct_of(FitSettings, leave_out=tuple(one.name for one in fields(_Augmentation))),
        "augmentation": struct_of(_Augmentation),
    }
    return defstruct(
        "Recipe",
        [("licence", _Licence, UNSPECIFIED), *((name, section, section()) for name, section in sections.items())],
        frozen=True,
        forbid_unknown_fields=True,
    )


def _labels(read: _LabelSection, document: Document) -> LabelRecipe:
    """Return the changes of labels; one that is named twice is a mistake on the second line."""
    named: list[tuple[str, yaml_lines.Path]] = [
        (old, ("labels", "join", new, i)) for new, olds in read.join.items() for i, old in enumerate(olds)
    ]
    named += [(old, ("labels", "rename", old)) for old in read.rename]
    named += [(old, ("labels", "drop", i)) for i, old in enumerate(read.drop)]
    seen: Counter[str] = Counter()
    for old, path in named:
        seen[old] += 1
        if seen[old] == 2:
            document.mistake(path, f"the label {old!r} is named twice; join, rename or drop it")
    return LabelRecipe({new: list(olds) for new, olds in read.join.items()}, dict(read.rename), list(read.drop))


def _simulation(read: Any, file: str, document: Document) -> Recipe:
    """Return the stages of scenes; a folder of recorded rooms is named from where the recipe lies."""
    recipe = filled(Recipe(), read, document, ("simulation",))
    if recipe.room is None or recipe.room.recorded is None:
        return recipe
    folder = Path(file).absolute().parent / recipe.room.recorded
    if not response_files(folder):
        document.mistake(
            ("simulation", "room", "recorded"), f"found no WAV or FLAC in {folder}; expected impulse responses"
        )
    return replace(recipe, room=replace(recipe.room, recorded=str(folder)))


def _network(read: _NetworkSection, document: Document) -> NetworkRecipe:
    recipe = NetworkRecipe(**{key: value for key, value in asdict(read).items() if value is not UNSET})
    if recipe.name is not None and recipe.blocks is not None:
        most = MOST_BLOCKS.get(recipe.name, 0)
        if recipe.blocks > most:
            expected = f"at most {most}" if most else f"none: only {' and '.join(MOST_BLOCKS)} have a depth to choose"
            document.mistake(("network", "blocks"), f"found {recipe.blocks} for a {recipe.name}; expected {expected}")
    return recipe


def _log_mel(whole: Any, document: Document) -> LogMelSpec | None:
    given = {key: value for key, value in asdict(whole.log_mel).items() if value is not UNSET}
    if not given:
        return None
    if whole.network.name in ("pretrained", "fine-tuned"):
        document.mistake(
            ("log_mel",),
            f"a {whole.network.name} network brings its own log-mel; leave this out, or take another network",
        )
        return None
    if "offset" in given and "floor" not in given:
        given["floor"] = None
    default = LogMelSpec()
    # A lower rate or a longer window alone is no mistake.
    given.setdefault("fmax", min(default.fmax, given.get("sample_rate", default.sample_rate) / 2))
    given.setdefault("n_fft", max(default.n_fft, given.get("win_length", 0)))
    given.setdefault("win_length", min(default.win_length, given["n_fft"]))
    try:
        spec = LogMelSpec(**given)
        tables(spec)
    except ValueError as error:
        document.mistake(("log_mel",), str(error))
        return None
    return spec


def _fit(read: Any, document: Document) -> FitSettings | None:
    minutes, n_steps = read.minutes, read.n_steps
    if minutes is not UNSET and n_steps is not UNSET:
        document.mistake(("fit", "n_steps"), "minutes are given, too; one of the two has to go")
        return None
    base = FitSettings(n_steps=1) if n_steps is not UNSET else FitSettings(minutes=1.0)
    return filled(base, read, document, ("fit",))
