"""The robustness matrix as tables: noise against SNR, then a row for each other thing that was varied."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from training.expect.pages.words import number
from training.expect.report import Cell


@dataclass(frozen=True)
class Table:
    """Cells that differ in one or two things."""

    title: str
    fixed: str
    """What they have in common, as a phrase."""
    columns: list[str]
    rows: list[tuple[str, list[Cell | None]]]
    """Name, and a cell a column; None where nobody measured."""


def tables(cells: Sequence[Cell]) -> list[Table]:
    """Return the cells in tables, each in at least one; none for none.

    The middle of room, microphone and distance is what most cells have; cells that are off in more than one of them
    are listed at the end.
    """
    if not cells:
        return []
    middle = {name: Counter(of(one) for one in cells).most_common(1)[0][0] for name, of in _OTHERS.items()}
    by_noise = [one for one in cells if not _off(one, middle)]
    found = [_noise_table(by_noise, _phrase(middle.values()))] if by_noise else []
    rest = [one for one in cells if _off(one, middle)]
    for name in _OTHERS:
        varied = [one for one in rest if _off(one, middle) == {name}]
        for noise in dict.fromkeys(_noise(one) for one in varied):
            same = [one for one in [*varied, *by_noise] if _noise(one) == noise]
            common = _phrase([noise, *(value for other, value in middle.items() if other != name)])
            found.append(_row_table(name, same, common))
    several = [one for one in rest if len(_off(one, middle)) > 1]
    if several:
        rows: list[tuple[str, list[Cell | None]]] = [
            (_phrase([_noise(one), *(of(one) for of in _OTHERS.values())]), [one]) for one in several
        ]
        found.append(Table("Several at once", "", ["recall"], rows))
    return found


def _noise_table(cells: Sequence[Cell], fixed: str) -> Table:
    ratios = sorted({one.snr_db for one in cells}, key=lambda snr: float("inf") if snr is None else snr)
    at = {(one.noise, one.snr_db): one for one in cells}
    noises = dict.fromkeys(one.noise for one in sorted(cells, key=lambda one: one.snr_db is None))
    rows = [
        (
            "no noise" if all(snr is None for name, snr in at if name == noise) else noise,
            [at.get((noise, snr)) for snr in ratios],
        )
        for noise in noises
    ]
    return Table("Noise", fixed, [_snr(snr) for snr in ratios], rows)


def _row_table(name: str, cells: Sequence[Cell], fixed: str) -> Table:
    of = _OTHERS[name]
    ordered = sorted({of(one): one for one in reversed(cells)}.items(), key=lambda item: _order(item[0]))
    return Table(name, fixed, [value for value, _ in ordered], [("recall", [one for _, one in ordered])])


def _off(one: Cell, middle: dict[str, str]) -> set[str]:
    # Without a room there is no distance, and that is no second change.
    return {name for name, of in _OTHERS.items() if of(one) != middle[name] and (of is not _distance or of(one))}


def _order(value: str) -> tuple[float, str]:
    """Numbers by size, names as they are."""
    found = re.search(r"\d+(\.\d+)?(?= )", value)
    return float(found[0]) if found else 0.0, value


def _snr(snr_db: float | None) -> str:
    return "no noise" if snr_db is None else f"{number(snr_db)} dB"


def _noise(one: Cell) -> str:
    return f"{one.noise} at {_snr(one.snr_db)}" if one.snr_db is not None else "no noise"


def _room(one: Cell) -> str:
    return f"RT60 {number(one.rt60_seconds)} s" if one.rt60_seconds else "no room"


def _distance(one: Cell) -> str:
    return "" if one.distance_m is None else f"{number(one.distance_m)} m"


def _phrase(values: Iterable[str]) -> str:
    return ", ".join(value for value in values if value)


_OTHERS: dict[str, Callable[[Cell], str]] = {
    "Room": _room,
    "Microphone": lambda one: "no microphone" if one.microphone == "none" else one.microphone,
    "Distance": _distance,
}
"""What is varied besides noise, and how a cell says it."""
