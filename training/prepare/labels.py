"""What a recipe makes of a data set's labels: joined, renamed, dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from streamd.errors import DataError
from streamd.spelling import did_you_mean
from training.prepare.clips import Clip


@dataclass(frozen=True)
class LabelRecipe:
    """Changes to labels; by default there are none."""

    join: dict[str, list[str]] = field(default_factory=dict)
    """New label: those that become it."""
    rename: dict[str, str] = field(default_factory=dict)
    """Label: its new name."""
    drop: list[str] = field(default_factory=list)
    """Labels whose clips are left out. They don't become background: a recipe doesn't know what else is heard there."""


def relabelled(clips: Iterable[Clip], recipe: LabelRecipe) -> list[Clip]:
    """Return clips with the labels of a recipe, each clip once: two labels of one sound may have been joined.

    Raises:
        DataError: the recipe names a label that no clip has, or one label twice, or renames one to another that stays.
    """
    clips = list(clips)
    known = {clip.label for clip in clips if clip.label is not None}
    changes = [(old, new) for new, olds in recipe.join.items() for old in olds]
    changes += list(recipe.rename.items())
    named = [old for old, _ in changes] + recipe.drop
    for old in named:
        if old not in known:
            raise DataError(f"the recipe names the label {old!r}, which no clip has{did_you_mean(old, known)}")
        if named.count(old) > 1:
            raise DataError(f"the recipe names the label {old!r} twice; join, rename or drop it")
    for old, new in recipe.rename.items():
        if new in known - set(named):
            raise DataError(f"the recipe renames {old!r} to {new!r}, which is another label; join them to make one")
    new_labels = dict(changes)
    dropped = set(recipe.drop)
    kept = [clip for clip in clips if clip.label not in dropped]
    return list(
        dict.fromkeys(c if c.label is None else replace(c, label=new_labels.get(c.label, c.label)) for c in kept)
    )
