"""The talk's verdict on a data set: lucky, meh or ugh, and why.

Every rule is a line with its reason. One that says ugh decides; without any, one that says meh does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from training.prepare.audit import BACKGROUND, CLEAN_DB, DRY_SECONDS, Audit, LabelRow
from training.prepare.groups import N_FOLDS, Group
from training.prepare.hears import Hearings

Word = Literal["lucky", "meh", "ugh"]

FEWEST_CLIPS = 20
"""Of a label: with five folds, four clips a test. Below, one clip more or less is a quarter of the score."""
ENOUGH_CLIPS = 50
"""With ten clips a test fold a recall jumps in tenths."""
MANY_GROUPS = 10
"""All of ten groups heard still may mean 72 % of all there are (Wilson's interval); of five, 57 %."""
NEARLY_ALL = 0.9
"""Of the clips are to be clean, or dry: a few others do no harm."""
HALF = 0.5
"""Where most clips are noisy, or in rooms, nothing clean is left to simulate from."""
BALANCED = 4.0
"""Times as many clips may one label have as another; beyond, the rare one is heard too seldom in training."""
BACKGROUND_MINUTES = 10.0
"""A false alarm every ten minutes is the least that can be seen in it."""


@dataclass(frozen=True)
class Verdict:
    """A word and its reasons."""

    word: Word
    why: list[str]
    """A line each, what decided first."""


def verdict(known: Audit, hearings: Hearings | None = None, groups: Sequence[Group] = ()) -> Verdict:
    """Return what an audit promises; and what the shipped model knows already, if it was asked.

    groups: of the audit; they say whether anything tells recordings apart.
    """
    rows = [row for row in known.rows if row.label != BACKGROUND]
    background = next((row for row in known.rows if row.label == BACKGROUND), None)
    found = sorted(
        [*_of_amount(rows), *_of_evidence(groups), *_of_quality(known), *_of_background(background)],
        key=lambda rule: ("ugh", "meh", "lucky").index(rule[0]),
    )
    if hearings is not None and hearings.configuration is not None:
        return Verdict("lucky", [*_of_hearings(hearings), *(text for word, text in found if word == "ugh")])
    word = found[0][0]
    # Good news beside bad news would only hide it.
    return Verdict(word, [text for kind, text in found if kind != "lucky" or word == "lucky"])


Rule = tuple[Word, str]


def _of_hearings(hearings: Hearings) -> Iterator[str]:
    for one in hearings.labels:
        if one.answers is None:
            continue
        found = one.answers
        text = f"no training is needed for {one.label!r}: {hearings.model} answers {found.known!r} to"
        text += f" {found.n_answered} of {found.n_clips} clips"
        if found.n_others:
            text += f", and to {found.n_others_answered} of {found.n_others} others"
        if found.background_seconds:
            text += (
                f", with {found.n_false_alarms} false alarms in {found.background_seconds / 60:.0f} min of background"
            )
        if not found.compared:
            text += "; whether it also answers to what is no such sound, nothing here can tell: add background"
        yield text


def _of_amount(rows: Sequence[LabelRow]) -> Iterator[Rule]:
    """Yield what numbers of groups and clips say."""
    for row in rows:
        if row.n_groups == 1:
            yield "ugh", f"{row.label!r} comes from one recording or session: nothing can be said of any other"
        elif row.n_groups < N_FOLDS:
            yield "ugh", f"{row.label!r} comes from {row.n_groups} groups: the interval of any score on them is wide"
        elif row.n_groups < MANY_GROUPS:
            yield (
                "meh",
                f"{row.label!r} comes from {row.n_groups} groups: {MANY_GROUPS} would tell more of the next one",
            )
        if row.n_clips < FEWEST_CLIPS:
            yield (
                "ugh",
                f"{row.label!r} has {row.n_clips} clips: too few to learn from, and to see whether it was learned",
            )
        elif row.n_clips < ENOUGH_CLIPS:
            yield "meh", f"{row.label!r} has {row.n_clips} clips: with {ENOUGH_CLIPS}, scores would jump less"
    counts = Counter({row.label: row.n_clips for row in rows})
    (most, n_most), (least, n_least) = counts.most_common()[0], counts.most_common()[-1]
    if n_most > BALANCED * n_least:
        yield "meh", f"{most!r} has {n_most} clips and {least!r} {n_least}: not balanced"
    if (
        all(row.n_groups >= MANY_GROUPS and row.n_clips >= ENOUGH_CLIPS for row in rows)
        and n_most <= BALANCED * n_least
    ):
        balanced = ", balanced" if len(rows) > 1 else ""
        yield "lucky", f"many clips ({n_least} or more of a label) of many groups{balanced}"


def _of_evidence(groups: Sequence[Group]) -> Iterator[Rule]:
    """Yield whether it is known which clips are of one recording."""
    sounding = [group for group in groups if any(clip.label is not None for clip in group.clips)]
    alone = sum(group.evidence == "alone" for group in sounding)
    if alone > HALF * len(sounding):
        text = f"nothing tells which clips are of one recording: of {len(sounding)} groups {alone} are one clip alone."
        text += " If they were cut from one, every score is of that recording; say it in labels.csv (path, source)"
        yield "ugh", text


def _of_quality(known: Audit) -> Iterator[Rule]:
    """Yield what noise and rooms in the clips say."""
    clean, dry = known.clean_share, known.dry_share
    if clean is None:
        yield "meh", "no clip shows a floor: how noisy they are can't be told"
    elif clean < HALF:
        yield "ugh", f"noisy: {_percent(1 - clean)} of the clips have their noise less than {CLEAN_DB:.0f} dB below"
    elif clean < NEARLY_ALL:
        yield "meh", f"{_percent(1 - clean)} of the clips have their noise less than {CLEAN_DB:.0f} dB below"
    else:
        yield "lucky", f"clean: {_percent(clean)} of the clips that show a floor have it {CLEAN_DB:.0f} dB below"
    if dry is None:
        yield "meh", "no clip's decay can be told: whether rooms are in them already is unknown"
    elif dry < HALF:
        yield (
            "ugh",
            f"reverberant, or ringing: {_percent(1 - dry)} of the clips take over {DRY_SECONDS:g} s to fall by 60 dB",
        )
    elif dry < NEARLY_ALL:
        yield "meh", f"{_percent(1 - dry)} of the clips bring a room of over {DRY_SECONDS:g} s, or ring as long"
    else:
        yield "lucky", f"dry: {_percent(dry)} of the clips are of groups that fall by 60 dB within {DRY_SECONDS:g} s"


def _of_background(row: LabelRow | None) -> Iterator[Rule]:
    if row is None:
        yield "meh", "no background: noise is generated, and no false-alarm figure is a promise for your room"
    elif row.seconds < 60 * BACKGROUND_MINUTES:
        yield "meh", f"{row.seconds / 60:.1f} min of background: an hour of the place itself would help most"
    else:
        yield "lucky", f"{row.seconds / 60:.0f} min of background"


def _percent(share: float) -> str:
    """Return a share in words: never 100 % of what is only nearly all, nor 0 % of what is not nothing."""
    if 0.99 < share < 1:
        return "over 99 %"
    return "under 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")
