"""The manifest: kept whole as JSON, refused in one line, and the numbers that follow from it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamd.decision import DecisionSpec
from streamd.errors import ModelError
from streamd.logmel import LogMelSpec, log_mel
from streamd.manifest import Golden, Manifest, decode, encode
from tests.tiny_models import manifest

ALL = [manifest(kind, which) for kind in ("window", "stream") for which in ("log_mel", "samples")]


@pytest.mark.parametrize("facts", ALL, ids=lambda facts: facts.name)
def test_a_manifest_survives_json(facts: Manifest) -> None:
    golden = Golden(seed=3, n_samples=9, log_mel=b"\0\0\x80?" * 4, posterior=b"\xff\0\0\0")
    whole = msgspec.structs.replace(
        facts,
        golden=golden,
        label_decisions={"Low tone": DecisionSpec(onset_threshold=0.9, n_confirm=3)},
        expected={"false_alarms_per_hour": 0.5, "recall": None},
    )
    assert decode(encode(whole)) == whole
    assert decode(encode(whole).encode()) == whole


def test_the_true_spelling_of_a_label_survives() -> None:
    labels = ("Hündin", "Fire engine, fire truck (siren)", "犬 dog")
    facts = manifest("window", "log_mel", labels=labels, default_labels=labels[:1])
    assert decode(encode(facts)).labels == labels


REQUIRED = [field.name for field in msgspec.structs.fields(Manifest) if field.required]


@pytest.mark.parametrize("missing", [*REQUIRED, "format", "golden.posterior", "golden.seed"])
def test_a_missing_field_is_named(missing: str) -> None:
    facts = json.loads(encode(manifest("stream", "log_mel")))
    *parents, last = missing.split(".")
    for parent in parents:
        facts[parent] = facts[parent].copy()
    del (facts[parents[0]] if parents else facts)[last]
    with pytest.raises(ModelError, match=last) as error:
        decode(json.dumps(facts))
    assert "\n" not in str(error.value)


def test_every_fact_that_the_daemon_needs_has_to_be_said() -> None:
    # What may be left out means nothing: no state, and a state of zeros.
    assert {field.name for field in msgspec.structs.fields(Manifest)} - set(REQUIRED) == {
        "format",
        "n_state",
        "initial_state",
    }


def with_format(value: Any) -> str:
    return json.dumps({**json.loads(encode(ALL[0])), "format": value})


@pytest.mark.parametrize("found", [2, 0, "1", 1.5, [1]])
def test_an_unknown_format_says_what_this_version_reads(found: Any) -> None:
    with pytest.raises(ModelError, match="this version reads 1: use a newer streamd"):
        decode(with_format(found))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"format"', "{}", b"\xff\xfe", b'{"format": "\xff"}', '{"format":' + "[" * 99_999],
)
def test_what_is_no_manifest_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(ModelError) as error:
        decode(text)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_bytes_raise_anything_but_a_model_error(text: str | bytes) -> None:
    with pytest.raises(ModelError):
        decode(text)


@pytest.mark.parametrize(
    ("kind", "which", "changed", "word"),
    [
        ("window", "log_mel", {"labels": (), "default_labels": ()}, "no labels"),
        (
            "window",
            "log_mel",
            {"labels": ("Dog bark", "dog-bark"), "default_labels": ()},
            "one and the same in a topic",
        ),
        ("window", "log_mel", {"labels": ("Dog", "犬"), "default_labels": ()}, "a topic could not name"),
        ("window", "log_mel", {"default_labels": ("Cat",)}, "Cat"),
        ("window", "log_mel", {"label_decisions": {"Cat": DecisionSpec()}}, "Cat"),
        ("window", "log_mel", {"log_mel": None}, "log_mel"),
        ("window", "samples", {"log_mel": LogMelSpec()}, "log_mel"),
        ("window", "log_mel", {"sample_rate": 16_000}, "sample_rate 16000"),
        ("window", "log_mel", {"n_frames": 0}, "n_frames 0"),
        ("window", "log_mel", {"hop_frames": 0}, "hop_frames 0"),
        ("window", "log_mel", {"hop_frames": 16}, "hop longer than the window"),
        ("window", "log_mel", {"warmup_frames": 14}, "warmup_frames 14"),
        ("window", "log_mel", {"warmup_frames": 16}, "warm-up"),
        ("window", "log_mel", {"n_state": 3}, "state"),
        ("stream", "log_mel", {"n_state": 0, "initial_state": b""}, "without state"),
        ("stream", "log_mel", {"initial_state": b"\0" * 8}, "initial_state of 8 bytes for 3 numbers"),
        ("stream", "log_mel", {"n_frames": 8}, "hop_frames"),
        ("stream", "log_mel", {"warmup_frames": 3}, "warmup_frames 3"),
        ("stream", "samples", {"max_batch": 0}, "max_batch 0"),
        ("stream", "samples", {"golden": Golden(seed=0, n_samples=9, posterior=b"\0" * 5)}, "golden"),
        ("stream", "samples", {"golden": Golden(seed=0, n_samples=10**15, posterior=b"")}, "golden signal of 10"),
        ("stream", "samples", {"golden": Golden(seed=0, n_samples=-1, posterior=b"")}, "golden signal of -1"),
    ],
    ids=str,
)
def test_a_contradiction_is_refused_in_one_line(kind: Any, which: Any, changed: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word) as error:
        manifest(kind, which, **changed)
    assert "\n" not in str(error.value)


def test_an_empty_mel_band_stops_the_load() -> None:
    facts = json.loads(encode(manifest("window", "log_mel")))
    facts["log_mel"]["n_mels"] = 120
    with pytest.raises(ModelError, match="holds no bin"):
        decode(json.dumps(facts))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    kind = draw(st.sampled_from(["window", "stream"]))
    which = draw(st.sampled_from(["log_mel", "samples"]))
    hop_frames = draw(st.integers(1, 40))
    n_frames = hop_frames if kind == "stream" else draw(st.integers(hop_frames, 200))
    changed: dict[str, Any] = {}
    if which == "log_mel":
        win_length = draw(st.integers(100, 256))
        spec = LogMelSpec(
            sample_rate=8_000,
            n_fft=256,
            win_length=win_length,
            hop_length=draw(st.integers(1, 256)),
            n_mels=4,
            fmax=4_000,
        )
        changed = {"log_mel": spec}
    warmup_frames = n_frames if kind == "window" else draw(st.integers(n_frames, 500))
    return manifest(kind, which, n_frames=n_frames, hop_frames=hop_frames, warmup_frames=warmup_frames, **changed)


@given(facts=manifests())
def test_decisions_fall_on_multiples_of_the_hop_as_early_as_they_can(facts: Manifest) -> None:
    hop, step = facts.hop_samples, facts.log_mel.hop_length if facts.log_mel else 1
    assert hop == facts.hop_frames * step
    assert 0 <= facts.lead_samples < hop
    assert (facts.lead_samples + facts.span_samples) % hop == 0
    assert facts.first_score_samples % hop == 0
    # Frames that the first believed run has seen, itself included: enough, and with one hop less too few.
    seen = facts.n_frames + facts.n_warmup_hops * facts.hop_frames
    assert seen >= facts.warmup_frames
    assert facts.n_warmup_hops == 0 or seen - facts.hop_frames < facts.warmup_frames
    width = facts.log_mel.win_length if facts.log_mel else 1
    assert facts.first_score_samples == facts.lead_samples + (seen - 1) * step + width


@given(facts=manifests(), n_more=st.integers(-1, 1))
def test_the_first_window_needs_exactly_its_span(facts: Manifest, n_more: int) -> None:
    assume(facts.log_mel is not None)
    frames = log_mel(np.zeros(facts.span_samples + n_more, np.float32), facts.log_mel or LogMelSpec())
    assert (len(frames) >= facts.n_frames) == (n_more >= 0)


def test_a_label_without_its_own_decision_has_the_models() -> None:
    special = DecisionSpec(onset_threshold=0.9)
    facts = manifest("window", "log_mel", label_decisions={"High tone": special})
    assert facts.decision_of("High tone") == special
    assert facts.decision_of("Low tone") == facts.decision


def test_the_initial_state_is_zeros_where_none_is_given() -> None:
    np.testing.assert_array_equal(manifest("stream", "samples").initial_row(), np.full(3, -60, np.float32))
    np.testing.assert_array_equal(
        manifest("stream", "samples", initial_state=b"").initial_row(), np.zeros(3, np.float32)
    )
