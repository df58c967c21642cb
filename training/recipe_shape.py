"""The shape of a recipe, made from the dataclasses that it fills: what they can hold is what may be written.

`streamd.yaml_lines` reads msgspec structs with bounds; dataclasses have neither. So each gets a struct of its fields,
and back: a key that isn't written keeps the dataclass's own default.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta

from streamd.yaml_lines import Document, Path
from training.prepare.simulation.chance import Range
from training.prepare.simulation.microphone import KINDS, MicrophoneRange
from training.prepare.simulation.recipe import Recipe

_Number = Annotated[float, Meta(ge=-1e6, le=1e6, title="a number")]
_Fraction = Annotated[float, Meta(ge=0, le=1, title="a number from 0 to 1")]
_Positive = Annotated[float, Meta(gt=0, le=1e6, title="a number above 0")]
_Count = Annotated[int, Meta(ge=0, le=1_000_000, title="a whole number from 0 on")]
_SceneSeconds = Annotated[float, Meta(gt=0, le=600, title="seconds, above 0 and up to 600")]
_Range = Annotated[tuple[_Number, ...], Meta(title="a list of two numbers, [lowest, highest]")]

_FRACTIONS = {"on", "dry", "clean", "from_a_point", "probability", "min_weight", "max_frames_share", "carry_over"}
"""Fields that are a part of all items, or of one."""
_POSITIVE = {"minutes", "learning_rate", "alpha", "longest_gap_seconds"}
_POSITIVE_RANGES = {
    *("factor", "low_hz", "high_hz", "ceiling", "knee", "attack_seconds", "release_seconds", "a_minute", "n_talkers"),
    *("seconds", "pause_seconds"),
}
"""Ranges of what can't be 0 or less."""

_T = TypeVar("_T")


@cache
def struct_of(cls: type, leave_out: tuple[str, ...] = ()) -> Any:
    """Return the struct of a dataclass, all its fields UNSET; some may be left out, as they are written elsewhere."""
    hints = get_type_hints(cls)
    return msgspec.defstruct(
        cls.__name__,
        [(one.name, _type(cls, one.name, hints[one.name]), UNSET) for one in fields(cls) if one.name not in leave_out],
        frozen=True,
        forbid_unknown_fields=True,
    )


def filled(default: _T, read: Any, document: Document, path: Path) -> _T:
    """Return a dataclass instance with the values that were read, each mistake noted in the document."""
    hints = get_type_hints(type(default))
    values: dict[str, Any] = {}
    for one in fields(default):  # type: ignore[arg-type]
        found = getattr(read, one.name, UNSET)
        if found is not UNSET:
            own = getattr(default, one.name)
            values[one.name] = _value(hints[one.name], own, found, document, (*path, one.name))
    if not values:
        return default
    kept = {one.name: getattr(default, one.name) for one in fields(default)}  # type: ignore[arg-type]
    try:
        return type(default)(**{**kept, **values})
    except ValueError as error:
        document.mistake(path, str(error))
        return default


def _type(cls: type, name: str, hint: Any) -> Any:
    """Return the type of a struct's field."""
    options = [one for one in get_args(hint) if one is not types.NoneType]
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = options
        shape = _type(cls, name, inner)
        return bool | shape if is_dataclass(inner) else shape
    if (cls, name) == (MicrophoneRange, "kinds"):
        return _tuple_of(_literal(KINDS))
    if hint is Range:
        return _Range
    if is_dataclass(hint) and isinstance(hint, type):
        return struct_of(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _literal([one.value for one in hint])
    if (cls, name) == (Recipe, "seconds"):
        return _SceneSeconds
    if hint is float:
        return _Fraction if name in _FRACTIONS else _Positive if name in _POSITIVE else _Number
    if hint is int:
        return _Count
    if get_origin(hint) in (tuple, Sequence):
        return _tuple_of(_type(cls, name, options[0]))
    return hint  # bool, str, Literal


def _literal(values: Iterable[str]) -> Any:
    return Literal.__getitem__(tuple(values))


def _tuple_of(item: Any) -> Any:
    return Annotated[tuple.__class_getitem__((item, ...)), Meta(min_length=1)]


def _value(hint: Any, own: Any, found: Any, document: Document, path: Path) -> Any:
    """Return what a field gets."""
    inner: Any = next((one for one in get_args(hint) if is_dataclass(one)), hint)
    if isinstance(found, bool) and hint is not bool:
        # false leaves a stage out; true takes it in as it is by default.
        return None if not found else (own if own is not None else inner())
    if inner is Range:
        return _range(own, found, document, path)
    if isinstance(inner, type) and issubclass(inner, Enum):
        return inner(found)
    if is_dataclass(inner):
        make: Any = inner
        return filled(own if own is not None else make(), found, document, path)
    if get_origin(hint) is tuple and get_args(hint)[-1] is not Ellipsis and len(found) != len(get_args(hint)):
        document.mistake(path, f"found a list of {len(found)}; expected one of {len(get_args(hint))}")
        return own
    return found


def _range(own: Range, found: Sequence[float], document: Document, path: Path) -> Range:
    if len(found) != 2:
        document.mistake(path, f"found a list of {len(found)}; expected two numbers, [lowest, highest]")
        return own
    if path[-1] in _POSITIVE_RANGES and min(found) <= 0:
        document.mistake(path, f"found {min(found):g}; expected numbers above 0")
        return own
    try:
        return Range(*found)
    except ValueError as error:
        document.mistake(path, str(error))
        return own
