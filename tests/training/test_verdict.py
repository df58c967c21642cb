"""Lucky, meh or ugh: each rule alone turns the word, and says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.prepare.audit import BACKGROUND, Audit, LabelRow
from training.prepare.hears import Answer, Hearing, Hearings
from training.prepare.verdict import verdict

ROW = LabelRow("drip", 60, 60, 12, 60.0, 1.0, 35.0, 0.2)
PLACE = LabelRow(BACKGROUND, 1, 1, 1, 3600.0, 3600.0, None, None)
LUCKY = Audit([ROW, PLACE], [], {}, clean_share=1.0, dry_share=0.95)
OTHER = replace(ROW, label="splash")


def test_many_groups_clean_dry_and_balanced_is_lucky():
    found = verdict(replace(LUCKY, rows=[ROW, OTHER, PLACE]))
    assert found.word == "lucky"
    assert found.why == [
        "many clips (60 or more of a label) of many groups, balanced",
        "clean: 100 % of the clips that show a floor have it 20 dB below",
        "dry: 95 % of the clips are of groups that fall by 60 dB within 0.4 s",
        "60 min of background",
    ]


@pytest.mark.parametrize(
    ("known", "word", "why"),
    [
        (replace(LUCKY, rows=[replace(ROW, n_groups=1), PLACE]), "ugh", "'drip' comes from one recording or session"),
        (replace(LUCKY, rows=[replace(ROW, n_groups=4), PLACE]), "ugh", "'drip' comes from 4 groups"),
        (replace(LUCKY, rows=[replace(ROW, n_groups=5), PLACE]), "meh", "'drip' comes from 5 groups: 10 would"),
        (replace(LUCKY, rows=[replace(ROW, n_clips=19), PLACE]), "ugh", "'drip' has 19 clips: too few"),
        (replace(LUCKY, rows=[replace(ROW, n_clips=49), PLACE]), "meh", "'drip' has 49 clips: with 50"),
        (
            replace(LUCKY, rows=[ROW, replace(OTHER, n_clips=241), PLACE]),
            "meh",
            "'splash' has 241 clips and 'drip' 60: not balanced",
        ),
        (replace(LUCKY, clean_share=0.4), "ugh", "noisy: 60 % of the clips"),
        (replace(LUCKY, clean_share=0.8), "meh", "20 % of the clips have their noise"),
        (replace(LUCKY, clean_share=None), "meh", "no clip shows a floor"),
        (replace(LUCKY, dry_share=0.0), "ugh", "reverberant, or ringing: 100 % of the clips"),
        (replace(LUCKY, dry_share=0.8), "meh", "20 % of the clips bring a room of over 0.4 s"),
        (replace(LUCKY, dry_share=None), "meh", "no clip's decay can be told"),
        (replace(LUCKY, rows=[ROW]), "meh", "no background: noise is generated"),
        (replace(LUCKY, rows=[ROW, replace(PLACE, seconds=90.0)]), "meh", "1.5 min of background"),
    ],
)
def test_one_shortcoming_turns_the_word_and_is_told_first(known, word, why):
    found = verdict(known)
    assert found.word == word
    assert len(found.why) == 1, "what is good is not told beside it"
    assert found.why[0].startswith(why)


def test_the_worst_decides_and_all_are_told():
    found = verdict(replace(LUCKY, rows=[replace(ROW, n_clips=30)], dry_share=0.1, clean_share=0.1))
    assert found.word == "ugh"
    assert [line.split(" ")[0] for line in found.why] == ["noisy:", "reverberant,", "'drip'", "no"]


ANSWER = Answer("Dog", 0.3, 60, 58, 0.8, 0, 0, 0.0, 0, None)


def heard(answer: Answer) -> Hearings:
    return Hearings("yamnet", [Hearing("drip", answer, answer)], 60, 0)


def test_a_sound_that_the_shipped_model_knows_is_lucky_whatever_the_clips_are_like():
    found = verdict(replace(LUCKY, rows=[ROW], clean_share=0.1), heard(ANSWER))
    assert found.word == "lucky"
    assert found.why == [
        (
            "no training is needed for 'drip': yamnet answers 'Dog' to 58 of 60 clips; whether it also answers to what"
            " is no such sound, nothing here can tell: add background"
        ),
        "noisy: 90 % of the clips have their noise less than 20 dB below",
    ]


def test_what_the_known_label_also_answers_to_is_told():
    answer = replace(ANSWER, n_others=40, n_others_answered=1, background_seconds=1200.0, n_false_alarms=2)
    (line,) = verdict(LUCKY, heard(answer)).why
    assert line.endswith("58 of 60 clips, and to 1 of 40 others, with 2 false alarms in 20 min of background")


def test_an_answer_that_does_not_suffice_changes_nothing():
    assert verdict(LUCKY, heard(replace(ANSWER, n_answered=40))) == verdict(LUCKY)
