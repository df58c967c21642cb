"""The likely spelling of a word that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'Dog'?" for the known word nearest to `word`, or "" if none is near."""
    by_folded = {choice.casefold(): choice for choice in known}
    near = difflib.get_close_matches(word[:80].casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[near[0]]!r}?" if near else ""
