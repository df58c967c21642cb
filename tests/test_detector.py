"""The detector, heard on tones that really begin and end: equal to the model's plain answer and the plain decision."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamd.bound import BoundRun
from streamd.decision import DecisionSpec
from streamd.detector import Detection, Detector, Hop
from streamd.errors import DeviceLostError
from streamd.model import Model
from streamd.rows import Rows
from tests import tiny_models
from tests.decision_reference import ReferenceDecision
from tests.tiny_models import TONES, tone

Int16 = NDArray[np.int16]
HOP = 320
LABELS = tuple(TONES)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    files = [
        tiny_models.build(folder, kind, which) for kind in ("window", "stream") for which in ("log_mel", "samples")
    ]
    loaded = [Model(file, "cpu") for file in files]
    assert all(model.manifest.hop_samples == HOP for model in loaded)
    return {model.manifest.name: model for model in loaded}


names = st.sampled_from(tiny_models.NAMES)
every_model = pytest.mark.parametrize("name", tiny_models.NAMES)


def with_delays(model: Model, onset_delay: int, offset_delay: int) -> Model:
    """The same session under a manifest with other delays."""
    other = copy.copy(model)
    other.manifest = msgspec.structs.replace(model.manifest, onset_delay=onset_delay, offset_delay=offset_delay)
    return other


class Heard(NamedTuple):
    """What an onset or an offset says but for its number, score and peak."""

    label: str
    onset_sample: int
    offset_sample: int | None
    end_reason: str | None


def heard(detections: list[Detection]) -> list[Heard]:
    return [Heard(one.label, one.onset_sample, one.offset_sample, one.end_reason) for one in detections]


def detections_of(hops: Iterable[Hop]) -> list[Detection]:
    return [detection for hop in hops for detection in hop.detections]


# What is played: noise far below the tones all the time, tones that come and go.


def quiet(n_samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1e-3, n_samples).astype(np.float32)


def as_int16(samples: NDArray[np.float32]) -> Int16:
    return (samples.clip(-0.99, 0.99) * 32768).astype(np.int16)


@st.composite
def recordings(draw: st.DrawFn, head: int = 0) -> Int16:
    """Up to 4 s in which at least one tone is loud for half a second: an event for certain."""
    sure = (draw(st.sampled_from(LABELS)), draw(st.integers(4_000, 6_000)), 0.5)
    other = st.tuples(
        st.sampled_from([*LABELS, "nothing"]), st.integers(200, 4_000), st.sampled_from([0.05, 0.1, 0.15, 0.3, 0.6])
    )
    parts = [*draw(st.lists(other, max_size=3)), ("nothing", 3_000, 0.0), sure, *draw(st.lists(other, max_size=3))]
    sounds = [np.zeros(head, np.float32)]
    sounds += [np.zeros(n, np.float32) if label == "nothing" else tone(n, label, level) for label, n, level in parts]
    samples = np.concatenate(sounds)
    return as_int16(samples + quiet(len(samples), seed=draw(st.integers(0, 99))))


decision_specs = st.builds(
    DecisionSpec,
    smoothing_seconds=st.sampled_from([0.0, 0.08, 0.12]),
    onset_threshold=st.sampled_from([0.5, 0.6, 0.7]),
    n_confirm=st.integers(1, 3),
    offset_threshold=st.sampled_from([0.2, 0.35, 0.5]),
    min_silence_seconds=st.sampled_from([0.0, 0.08, 0.2]),
    refractory_seconds=st.sampled_from([0.0, 0.1, 0.2]),
)
decisions = st.fixed_dictionaries(dict.fromkeys(LABELS, decision_specs))


def far_from_thresholds(hops: list[Hop], specs: dict[str, DecisionSpec]) -> bool:
    """No score lies where the rounding of another batch could move it over a threshold."""
    limits = [(spec.onset_threshold, spec.offset_threshold) for spec in specs.values()]
    return all(
        abs(score - limit) > 1e-4
        for hop in hops
        for score, pair in zip(hop.scores, limits, strict=True)
        for limit in pair
    )


def play(detector: Detector, samples: Int16, cuts: list[int], source: str = "kitchen") -> list[Hop]:
    """Push a recording in pieces, stepping after each of them."""
    hops = []
    for block in np.split(samples, sorted(cut % (len(samples) + 1) for cut in cuts)):
        detector.push(source, block)
        hops += detector.step()
    return hops


def started(model: Model, specs: dict[str, DecisionSpec] | None = None, *sources: str, **options: Any) -> Detector:
    detector = Detector(model, specs, **options)
    for source in sources or ("kitchen",):
        detector.start(source)
    return detector


cuts = st.lists(st.integers(0, 60_000), max_size=30)


@settings(max_examples=60)
@given(name=names, samples=recordings(), specs=decisions, first=cuts, second=cuts, data=st.data())
def test_any_chunking_gives_identical_hops_and_events(
    models: dict[str, Model],
    name: str,
    samples: Int16,
    specs: dict[str, DecisionSpec],
    first: list[int],
    second: list[int],
    data: st.DataObject,
) -> None:
    one, other = started(models[name], specs), started(models[name], specs)
    hops = play(one, samples, first)
    for block in np.split(samples, sorted(cut % (len(samples) + 1) for cut in second)):
        other.push("kitchen", block)
    hops_at_once = list(other.step())
    assert [hop.end_sample for hop in hops] == [hop.end_sample for hop in hops_at_once]
    for ours, theirs in zip(hops, hops_at_once, strict=True):
        assert ours.posteriors.tobytes() == theirs.posteriors.tobytes()
        assert ours.scores.tobytes() == theirs.scores.tobytes()
        assert ours.detections == theirs.detections
    assert one.flush() == other.flush()
    assert any(detection.offset_sample is None for detection in detections_of(hops))


def test_int16_and_float_samples_give_the_same_events(models: dict[str, Model]) -> None:
    samples = as_int16(np.concatenate([quiet(4_000), tone(4_000, "Low tone"), quiet(4_000)]))
    for model in models.values():
        one, other = started(model), started(model)
        one.push("kitchen", samples)
        other.push("kitchen", samples / np.float32(32768))
        found = detections_of(one.step())
        assert len(found) == 2
        assert found == detections_of(other.step())


@every_model
@settings(max_examples=15)
@given(samples=recordings(), pieces=cuts)
def test_posteriors_are_the_models_answer_to_the_whole_recording(
    models: dict[str, Model], name: str, samples: Int16, pieces: list[int]
) -> None:
    model = models[name]
    hops = play(started(model), samples, pieces)
    _, expected = model.answer(samples[model.manifest.lead_samples :])
    assert len(hops) > 10
    np.testing.assert_allclose([hop.posteriors for hop in hops], expected, rtol=0, atol=1e-5)


def expected_of(model: Model, specs: dict[str, DecisionSpec], stretches: list[tuple[int, Int16]]) -> list[Heard]:
    """What should be heard in unbroken stretches (first sample, samples) with gaps between, from the design alone."""
    facts = model.manifest
    references = {label: ReferenceDecision(spec, facts.hop_seconds) for label, spec in specs.items()}
    found: list[Heard] = []
    onsets: dict[str, int] = {}
    offsets: dict[str, int] = {}

    def ends(label: str, end_of: dict[int, int], last: int, newest: int, reason: str) -> Heard:
        onset = onsets.pop(label)
        earliest = max(end_of[last] - facts.offset_delay, onset + facts.hop_samples)
        offsets[label] = min(earliest, end_of[newest])
        return Heard(label, onset, offsets[label], reason)

    for i, (begin, samples) in enumerate(stretches):
        _, posteriors = model.answer(samples[facts.lead_samples :])
        end_of = {k: begin + facts.first_score_samples + k * facts.hop_samples for k in range(len(posteriors))}
        for k, row in enumerate(posteriors):
            for label, reference in references.items():
                decided = reference.step(row[facts.labels.index(label)])
                if decided is None:
                    continue
                if decided.is_onset:
                    # What was before the stretch was not heard.
                    onset = max(end_of[decided.hop] - facts.onset_delay, begin, offsets.get(label, 0))
                    onsets[label] = onset
                    found.append(Heard(label, onset, None, None))
                else:
                    found.append(ends(label, end_of, decided.hop, k, "silence"))
        for label, reference in references.items():
            decided = reference.reset()
            if decided:
                reason = "gap" if i < len(stretches) - 1 else "end"
                found.append(ends(label, end_of, decided.hop, len(posteriors) - 1, reason))
    return found


@settings(max_examples=60)
@given(
    name=names,
    samples=recordings(),
    specs=decisions,
    lost=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 5_000)), max_size=3),
    delays=st.tuples(st.sampled_from([0, 100, 1_000, 4_000]), st.sampled_from([0, 300, 2_000])),
    first_sample=st.sampled_from([0, 12_345]),
    pieces=cuts,
)
def test_events_and_their_places_are_those_of_the_design(
    models: dict[str, Model],
    name: str,
    samples: Int16,
    specs: dict[str, DecisionSpec],
    lost: list[tuple[int, int]],
    delays: tuple[int, int],
    first_sample: int,
    pieces: list[int],
) -> None:
    model = with_delays(models[name], *delays)
    detector = Detector(model, specs)
    detector.start("kitchen", first_sample)
    found: list[Detection] = []
    stretches = []
    begin = 0
    for at, n_lost in [*sorted((at % len(samples), n_lost) for at, n_lost in lost), (len(samples), 0)]:
        stretch = samples[begin : max(begin, at)]
        stretches.append((first_sample + begin, stretch))
        found += detections_of(play(detector, stretch, pieces))
        begin = max(begin, at) + n_lost
        if n_lost:
            gone = detector.gap("kitchen", n_lost)
            assert all(detection.end_reason == "gap" for detection in gone)
            found += gone
            assert detector.position("kitchen") == first_sample + begin
        else:
            found += detector.flush()
    hops = play(started(model, specs), samples, pieces)
    assume(far_from_thresholds(hops, specs))
    assert heard(found) == expected_of(model, specs, stretches)
    assert lost or found


@every_model
def test_events_of_a_label_never_overlap_however_long_the_onset_delay_is(models: dict[str, Model], name: str) -> None:
    model = with_delays(models[name], 4_000, 0)
    beeps = [part for _ in range(3) for part in (tone(3_000, "Low tone"), quiet(2_500))]
    detector = started(model)
    found = detections_of(play(detector, as_int16(np.concatenate([quiet(8_000), *beeps])), [])) + detector.flush()
    first, second, third = [(onset.onset_sample, offset.offset_sample) for onset, offset in pairs(found)]
    assert second[0] == first[1]
    assert third[0] == second[1]


@every_model
def test_an_offset_is_a_hop_after_its_onset_and_never_in_the_future(models: dict[str, Model], name: str) -> None:
    """A long offset delay would put the end of a short sound before its beginning."""
    model = with_delays(models[name], 0, 30_000)
    samples = as_int16(np.concatenate([quiet(8_000), tone(4_000, "Low tone"), quiet(4_000)]))
    onset, offset = detections_of(play(started(model), samples, []))
    assert offset.offset_sample == onset.onset_sample + HOP
    detector = started(model)
    for i in range(0, len(samples), HOP):
        detector.push("kitchen", samples[i : i + HOP])
        if detections_of(detector.step()):
            break
    (cut_off,) = detector.gap("kitchen", 1)
    assert cut_off.offset_sample == cut_off.onset_sample == i + HOP


def pairs(detections: list[Detection]) -> Iterator[tuple[Detection, Detection]]:
    """Onsets with their offsets; fails where one is missing, comes twice or too early."""
    onsets: dict[int, Detection] = {}
    ended = set()
    for detection in detections:
        if detection.offset_sample is None:
            assert detection.end_reason is None
            assert detection.number not in onsets
            onsets[detection.number] = detection
        else:
            assert detection.number not in ended
            ended.add(detection.number)
            yield onsets[detection.number], detection
    assert ended == set(onsets)


@settings(max_examples=60)
@given(
    name=names,
    samples=st.lists(recordings(), min_size=2, max_size=2),
    specs=decisions,
    actions=st.lists(st.sampled_from(["gap", "device", "start", "silence", "nothing"]), min_size=40, max_size=40),
    sizes=st.lists(st.integers(1, 2_000), min_size=40, max_size=40),
    reason=st.sampled_from(["end", "shutdown", "reload"]),
)
def test_every_onset_has_exactly_one_offset_whatever_happens(
    models: dict[str, Model],
    name: str,
    samples: list[Int16],
    specs: dict[str, DecisionSpec],
    actions: list[Any],
    sizes: list[int],
    reason: Any,
) -> None:
    sources = ("kitchen", "porch")
    detector = started(models[name], specs, *sources)
    played = dict.fromkeys(sources, 0)
    found: list[Detection] = []
    for i, (action, size) in enumerate(zip(actions, sizes, strict=True)):
        source = sources[i % 2]
        block = samples[i % 2][played[source] : played[source] + size]
        played[source] += size
        detector.push(source, block)
        if action != "nothing":
            found += detections_of(detector.step())
        if action == "gap" and size > 1_500:
            found += detector.gap(source, size)
        if action == "device" and size > 1_800:
            found += detector.end(source, "device")
        if action == "start" and size > 1_800:
            found += detector.end(source, "restart")
            detector.start(source)
    found += detector.flush(reason)
    for onset, offset in pairs(found):
        assert (onset.source, onset.label) == (offset.source, offset.label)
        assert onset.onset_sample == offset.onset_sample
        assert offset.offset_sample is not None
        assert offset.offset_sample >= offset.onset_sample >= 0
        assert offset.peak >= onset.peak >= onset.score >= onset.onset_threshold == specs[onset.label].onset_threshold
        assert offset.end_reason is not None
    assert detector.flush(reason) == []


@settings(max_examples=20)
@given(name=names, n_lost=st.lists(st.integers(1, 20_000), min_size=1, max_size=6), size=st.integers(1, 9_000))
def test_a_gap_in_quiet_audio_makes_nothing(models: dict[str, Model], name: str, n_lost: list[int], size: int) -> None:
    detector = started(models[name], dict.fromkeys(LABELS, DecisionSpec(onset_threshold=0.2, offset_threshold=0.1)))
    for i, n in enumerate(n_lost):
        hops = play(detector, as_int16(quiet(size, seed=i)), [])
        assert detections_of(hops) == []
        assert all(hop.posteriors.max() < 0.1 for hop in hops)
        assert detector.gap("kitchen", n) == []
    assert detector.flush() == []


@settings(max_examples=30)
@given(name=names, cut=st.integers(8_000, 24_000), n_lost=st.integers(1, 10_000), onset_delay=st.integers(0, 9_000))
def test_no_event_lies_in_a_gap_or_spans_one(
    models: dict[str, Model], name: str, cut: int, n_lost: int, onset_delay: int
) -> None:
    """A tone goes on through the gap: one event ends before it, another begins after the warm-up."""
    model = with_delays(models[name], onset_delay, 0)
    detector = started(model)
    samples = as_int16(np.concatenate([quiet(3_000), tone(36_000, "High tone")]))
    found = detections_of(play(detector, samples[:cut], []))
    found += detector.gap("kitchen", n_lost)
    after = play(detector, samples[-12_000:], [])
    _, fresh = model.answer(samples[-12_000:][model.manifest.lead_samples :])
    np.testing.assert_allclose([hop.posteriors for hop in after], fresh, rtol=0, atol=1e-5)
    assert after[0].end_sample == cut + n_lost + model.manifest.first_score_samples
    found += detections_of(after) + detector.flush()
    (_, first), (second, last) = pairs(found)
    assert first.end_reason == "gap"
    assert first.offset_sample is not None
    assert first.offset_sample <= cut
    assert second.onset_sample >= cut + n_lost
    assert last.end_reason == "end"


@settings(max_examples=30)
@given(name=names, samples=recordings(head=9_000), n_hops=st.integers(1, 40), specs=decisions, pieces=cuts)
def test_audio_shifted_by_some_hops_shifts_the_events_by_as_many(
    models: dict[str, Model],
    name: str,
    samples: Int16,
    n_hops: int,
    specs: dict[str, DecisionSpec],
    pieces: list[int],
) -> None:
    late = np.concatenate([as_int16(quiet(n_hops * HOP, seed=5)), samples])
    one, other = started(models[name], specs), started(models[name], specs)
    hops, late_hops = play(one, samples, pieces), play(other, late, pieces)
    assume(far_from_thresholds(hops, specs))
    found = heard(detections_of(hops) + one.flush())
    assert found
    shift = n_hops * HOP
    assert heard(detections_of(late_hops) + other.flush()) == [
        event._replace(
            onset_sample=event.onset_sample + shift,
            offset_sample=None if event.offset_sample is None else event.offset_sample + shift,
        )
        for event in found
    ]


@settings(max_examples=40)
@given(
    name=names,
    samples=st.lists(recordings(), min_size=2, max_size=5),
    specs=decisions,
    max_batch=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)
def test_sources_together_give_what_each_gives_alone(
    models: dict[str, Model],
    name: str,
    samples: list[Int16],
    specs: dict[str, DecisionSpec],
    max_batch: int,
    seed: int,
) -> None:
    alone = {}
    for i, recording in enumerate(samples):
        detector = started(models[name], specs, f"s{i}")
        hops = play(detector, recording, [], f"s{i}")
        assume(far_from_thresholds(hops, specs))
        alone[f"s{i}"] = (hops, detections_of(hops) + detector.flush())
    together = started(models[name], specs, *alone, max_batch=max_batch)
    rng = np.random.default_rng(seed)
    blocks = [
        (source, block)
        for source, recording in zip(alone, samples, strict=True)
        for block in np.split(recording, np.sort(rng.integers(0, len(recording), 12)))
    ]
    # In any order between sources; the blocks of one source stay in order.
    turns = rng.permutation([source for source, _ in blocks])
    waiting = {source: [block for name, block in blocks if name == source] for source in alone}
    hops = []
    for turn in turns:
        together.push(str(turn), waiting[turn].pop(0))
        if rng.random() < 0.5:
            hops += together.step()
    hops += together.step()
    flushed = together.flush()
    for source, (hops_alone, found_alone) in alone.items():
        mine = [hop for hop in hops if hop.source == source]
        assert [hop.end_sample for hop in mine] == [hop.end_sample for hop in hops_alone]
        np.testing.assert_allclose(
            [hop.posteriors for hop in mine], [hop.posteriors for hop in hops_alone], rtol=0, atol=1e-6
        )
        found = [one for one in detections_of(hops) + flushed if one.source == source]
        assert heard(found) == heard(found_alone)
        assert found_alone


@every_model
def test_the_first_score_comes_exactly_when_the_manifest_says(models: dict[str, Model], name: str) -> None:
    model = models[name]
    first = model.manifest.first_score_samples
    detector = started(model)
    detector.push("kitchen", as_int16(quiet(first - 1)))
    assert list(detector.step()) == []
    detector.push("kitchen", np.zeros(1, np.int16))
    (hop,) = detector.step()
    assert hop.end_sample == first


@settings(max_examples=30)
@given(name=names, n_before=st.integers(0, 9_000), n_lost=st.integers(1, 9_000), n_after=st.integers(0, 9_000))
def test_hops_end_on_multiples_of_the_hop_after_a_reset(
    models: dict[str, Model], name: str, n_before: int, n_lost: int, n_after: int
) -> None:
    detector = started(models[name])
    first = models[name].manifest.first_score_samples
    hops = play(detector, as_int16(quiet(n_before)), [])
    assert [hop.end_sample for hop in hops] == list(range(first, n_before + 1, HOP))
    detector.gap("kitchen", n_lost)
    begin = n_before + n_lost
    hops = play(detector, as_int16(quiet(n_after)), [])
    assert [hop.end_sample - begin for hop in hops] == list(range(first, n_after + 1, HOP))
    assert first % HOP == 0


@pytest.mark.parametrize(("asked", "of_manifest", "expected"), [(3, None, 3), (3, 2, 2), (2, 3, 2), (16, 1, 1)])
def test_no_round_is_larger_than_allowed_and_sources_take_turns(
    models: dict[str, Model], asked: int, of_manifest: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copy.copy(models["tiny-stream-samples"])
    model.manifest = msgspec.structs.replace(model.manifest, max_batch=of_manifest)
    sources = [f"s{i}" for i in range(5)]
    detector = started(model, None, *sources, max_batch=asked)
    for source in sources:
        detector.push(source, as_int16(quiet(10 * HOP)))
    sizes = []
    run = BoundRun.__call__
    monkeypatch.setattr(BoundRun, "__call__", lambda self: (sizes.append(len(self.inputs)), run(self))[1])
    hops = list(detector.step())
    assert max(sizes) == expected
    assert sum(sizes) == 5 * 10
    assert len(sizes) == -(-5 * 10 // expected)
    done: Counter[str] = Counter()
    for hop in hops:
        done[hop.source] += 1
        # Nobody is a second hop ahead of who waits for the first.
        assert max(done.values()) - min(done[source] for source in sources) <= 1


def test_the_source_that_waits_longest_is_first(models: dict[str, Model]) -> None:
    model = models["tiny-stream-samples"]
    first = model.manifest.first_score_samples
    detector = started(model, None, "a", "b", "c", max_batch=1)
    for source in ("c", "a", "b"):
        detector.push(source, np.zeros(first, np.int16))
    assert [hop.source for hop in detector.step()] == ["c", "a", "b"]


def test_a_source_that_leaves_is_closed_and_who_comes_into_its_row_knows_nothing_of_it(
    models: dict[str, Model],
) -> None:
    model = models["tiny-stream-log_mel"]
    specs = dict.fromkeys(LABELS, DecisionSpec(refractory_seconds=9.0))
    loud = as_int16(np.concatenate([quiet(4_000), tone(6_000, "Low tone")]))
    detector = started(model, specs, "kitchen", "porch")
    onsets = detections_of(play(detector, loud, []))
    [offset] = detector.leave("kitchen")
    assert [one.number for one in onsets] == [offset.number]
    assert offset.end_reason == "end"
    assert offset.offset_sample is not None
    detector.start("attic")
    alone = started(model, specs, "attic")
    assert heard(detections_of(play(detector, loud, [], "attic"))) == heard(
        detections_of(play(alone, loud, [], "attic"))
    )
    with pytest.raises(KeyError):
        detector.push("kitchen", loud)


def test_samples_may_change_after_they_were_pushed(models: dict[str, Model]) -> None:
    """An array that is filled again for every block, as sound libraries do."""
    model = models["tiny-window-samples"]
    samples = as_int16(np.concatenate([quiet(4_000), tone(6_000, "Low tone"), quiet(4_000)]))
    reused, expected = started(model), started(model)
    buffer = np.zeros(1_000, np.int16)
    for begin in range(0, len(samples), 1_000):
        buffer[:] = samples[begin : begin + 1_000]
        reused.push("kitchen", buffer)
    buffer[:] = 0
    assert heard(detections_of(reused.step())) == heard(detections_of(play(expected, samples, [])))


def test_what_was_ready_before_a_gap_and_not_stepped_is_dropped(models: dict[str, Model]) -> None:
    model = models["tiny-window-log_mel"]
    detector = started(model, None, "kitchen", "porch")
    for source in ("kitchen", "porch"):
        detector.push(source, as_int16(quiet(8_000)))
    detector.gap("kitchen", 100)
    assert {hop.source for hop in detector.step()} == {"porch"}


def test_a_new_take_begins_with_fresh_positions(models: dict[str, Model]) -> None:
    model = models["tiny-stream-log_mel"]
    samples = as_int16(np.concatenate([quiet(4_000), tone(4_000, "Low tone"), quiet(4_000)]))
    detector = started(model)
    before = heard(detections_of(play(detector, samples, [])))
    detector.end("kitchen", "restart")
    detector.start("kitchen")
    assert heard(detections_of(play(detector, samples, []))) == before
    assert len(before) == 2


def test_only_the_labels_that_are_on_are_decided_and_all_are_in_the_posteriors(models: dict[str, Model]) -> None:
    detector = started(models["tiny-window-log_mel"], {"High tone": DecisionSpec(), "Low tone": DecisionSpec()})
    assert detector.labels == ("High tone", "Low tone")
    sounds = [part for label in LABELS for part in (quiet(4_000), tone(4_000, label))]
    hops = play(detector, as_int16(np.concatenate([*sounds, quiet(4_000)])), [])
    assert {detection.label for detection in detections_of(hops)} == {"High tone", "Low tone"}
    for hop in hops:
        assert hop.posteriors.shape == (3,)
        np.testing.assert_allclose(hop.scores, hop.posteriors[[2, 0]], rtol=1e-6)
    assert max(float(hop.posteriors[1]) for hop in hops) > 0.8


def test_the_models_own_decisions_are_the_default(models: dict[str, Model]) -> None:
    model = copy.copy(models["tiny-window-log_mel"])
    special = DecisionSpec(onset_threshold=0.9)
    model.manifest = msgspec.structs.replace(
        model.manifest, default_labels=("High tone", "Middle tone"), label_decisions={"High tone": special}
    )
    assert Detector(model).decisions == {"High tone": special, "Middle tone": model.manifest.decision}


def test_a_tone_is_found_within_a_hop_of_where_it_lies(models: dict[str, Model]) -> None:
    """With the delays measured on this very tone, as an exporter measures them."""
    samples = as_int16(np.concatenate([quiet(8_000), tone(8_000, "Middle tone"), quiet(8_000)]))
    for model in models.values():
        onset, offset = detections_of(play(started(with_delays(model, 0, 0)), samples, []))
        assert onset.label == offset.label == "Middle tone"
        assert 8_000 <= onset.onset_sample <= 8_000 + model.manifest.first_score_samples
        late_onset, late_offset = onset.onset_sample - 8_000, (offset.offset_sample or 0) - 16_000
        shifted = np.concatenate([as_int16(quiet(150)), samples])
        _, found = detections_of(play(started(with_delays(model, late_onset, late_offset)), shifted, []))
        assert abs(found.onset_sample - 8_150) <= HOP
        assert abs((found.offset_sample or 0) - 16_150) <= HOP


def test_an_hour_pushed_at_once_takes_time_in_proportion(models: dict[str, Model]) -> None:
    """Ten thousand hops wait at once; looking through them for every round would take minutes."""
    detector = started(models["tiny-stream-samples"], None, "a", "b")
    for source in ("a", "b"):
        detector.push(source, np.zeros(10_000 * HOP, np.int16))
    assert len(list(detector.step())) == 2 * (10_000 - models["tiny-stream-samples"].manifest.n_warmup_hops)


class BreakableRows(Rows):
    """Runs as often as they are allowed to."""

    n_runs_left = 10**9

    def run(self, rows: NDArray[np.intp], samples: NDArray[np.float32], ages: NDArray[np.int64]) -> NDArray[np.float32]:
        """Hear a hop, or fail as a GPU does that is lost."""
        if self.n_runs_left == 0:
            raise DeviceLostError("the device is gone")
        self.n_runs_left -= 1
        return super().run(rows, samples, ages)


@every_model
@pytest.mark.parametrize("n_runs", [0, 1, 26, 31])
def test_when_a_run_fails_what_was_found_is_told_and_what_was_not_heard_is_heard_by_the_next_session(
    models: dict[str, Model], name: str, n_runs: int
) -> None:
    """One source, a tone that begins in the 14th hop: with 31 runs its event is open, and ends at the exchange."""
    model = models[name]
    samples = as_int16(np.concatenate([quiet(4_100), tone(9_000, "Low tone"), quiet(4_000)]))
    made: list[BreakableRows] = []

    def rows_of(model: Model, max_batch: int) -> BreakableRows:
        made.append(BreakableRows(model, max_batch))
        return made[-1]

    detector = started(model, rows_of=rows_of)
    made[0].n_runs_left = n_runs
    detector.push("kitchen", samples)
    before: list[Hop] = []
    with pytest.raises(DeviceLostError):
        before.extend(detector.step())
    assert len(before) == max(0, n_runs - model.manifest.n_cold_hops - model.manifest.n_warmup_hops)
    closed = detector.exchange(model)
    open_before = [one for one in detections_of(before) if one.offset_sample is None]
    assert bool(open_before) == (n_runs > 20)
    assert [one.number for one in open_before] == [one.number for one in closed]
    assert all(one.end_reason == "device" and (one.offset_sample or 0) <= n_runs * HOP for one in closed)

    anew = started(model)
    anew.start("kitchen", n_runs * HOP)
    expected = play(anew, samples[n_runs * HOP :], [])
    after = list(detector.step())
    assert [hop.end_sample for hop in after] == [hop.end_sample for hop in expected]
    np.testing.assert_array_equal([hop.posteriors for hop in after], [hop.posteriors for hop in expected])
    assert heard(detections_of(after)) == heard(detections_of(expected))
    assert detector.position("kitchen") == len(samples)


def test_an_exchange_that_fails_changes_nothing(models: dict[str, Model]) -> None:
    model = models["tiny-stream-log_mel"]
    samples = as_int16(np.concatenate([quiet(4_000), tone(6_000, "Low tone"), quiet(4_000)]))
    calls: list[int] = []

    def rows_of(model: Model, max_batch: int) -> Rows:
        if calls:
            raise DeviceLostError("no memory left")
        calls.append(1)
        return Rows(model, max_batch)

    detector, expected = started(model, rows_of=rows_of), started(model)
    hops = play(detector, samples[:7_000], [])
    with pytest.raises(DeviceLostError):
        detector.exchange(model)
    hops += play(detector, samples[7_000:], [])
    assert heard(detections_of(hops)) == heard(detections_of(play(expected, samples, [])))
