"""What every effect on log-mel batches promises: chance apart from applying, seeds, physics, labels."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamd.logmel import LogMelSpec  # noqa: E402
from training.process.augmentation.filter_augment import FilterAugment, Responses  # noqa: E402
from training.process.augmentation.mixup import Mixture, Mixup  # noqa: E402
from training.process.augmentation.spec_augment import SpecAugment  # noqa: E402
from training.process.augmentation.trim_bands import TrimBands  # noqa: E402
from training.process.log_mel import LogMel, from_log  # noqa: E402

DEFAULT = LogMelSpec()
YAMNET = LogMelSpec(
    win_length=400, fmin=125, fmax=7500, mel_scale="htk", mel_triangle="mel", power=1, log="ln", floor=None, offset=1e-3
)
SPECS = pytest.mark.parametrize("spec", [DEFAULT, YAMNET], ids=["default", "yamnet"])
MANY = range(300)


def noise(n_items: int, seed: int = 0, level: float = 0.1) -> torch.Tensor:
    return level * torch.randn(n_items, 16_000, generator=torch.Generator().manual_seed(seed))


def drawn(effect: SpecAugment | FilterAugment | Mixup | TrimBands, seeds: list[int]) -> list[np.ndarray]:
    if isinstance(effect, Mixup):
        return [effect.draw(seeds).weight]
    sizes = (100, 64) if isinstance(effect, SpecAugment) else (64,)
    return list(vars(effect.draw(seeds, *sizes)).values())


@pytest.mark.parametrize(
    "effect",
    [SpecAugment(), FilterAugment(), Mixup(probability=1), TrimBands(probability=1)],
    ids=lambda e: type(e).__name__,
)
def test_an_item_is_drawn_from_its_own_seed_in_any_batch(effect):
    for together, other in zip(drawn(effect, [7, 8, 9]), drawn(effect, [1, 9]), strict=True):
        assert np.array_equal(together[2], other[1])
        assert not np.array_equal(together[0], together[1])


@SPECS
def test_applying_holds_no_chance_and_leaves_its_input_alone(spec):
    batch = LogMel(spec)(noise(4))
    before = batch.clone()
    masks = SpecAugment().draw(range(4), batch.shape[1], spec.n_mels)
    responses, mixture = FilterAugment().draw(range(4), spec.n_mels), Mixup().draw(range(4))
    for change in (
        masks.apply,
        TrimBands(probability=1).draw(range(4), spec.n_mels).apply,
        lambda b: responses.apply(b, spec),
        lambda b: mixture.apply(b, spec),
    ):
        once = change(batch)
        assert once.dtype == torch.float32
        assert once.shape == batch.shape
        assert torch.equal(once, change(batch))
        assert not torch.equal(once, batch)
    assert torch.equal(batch, before)


def test_masks_are_never_larger_than_allowed_and_reach_everywhere():
    effect = SpecAugment(n_band_masks=1, n_frame_masks=1)
    masks = effect.draw(MANY, 100, 64)
    assert set(masks.bands.sum(axis=1)) == set(range(9))
    assert set(masks.frames.sum(axis=1)) == set(range(11))
    for covered in (masks.bands, masks.frames):
        edges = np.abs(np.diff(np.pad(covered, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1)
        assert set(edges) == {0, 2}, "one mask is one run"
        assert covered.any(axis=0).all()
    assert effect.draw(MANY, 20, 64).frames.sum(axis=1).max() == 4, "at most a fifth of twenty frames"


def test_what_is_covered_has_the_mean_of_its_item_and_the_rest_stays():
    batch = LogMel(DEFAULT)(noise(8))
    masks = SpecAugment().draw(range(8), batch.shape[1], 64)
    changed = masks.apply(batch)
    for item in range(8):
        covered = torch.from_numpy(masks.frames[item][:, None] | masks.bands[item][None, :])
        assert torch.equal(changed[item][~covered], batch[item][~covered])
        torch.testing.assert_close(changed[item][covered].unique(), batch[item].mean().reshape(-1)[: covered.any()])


def test_a_response_is_smooth_and_inside_its_gains():
    gain_db = FilterAugment().draw(MANY, 64).gain_db
    assert np.abs(gain_db).max() <= 6
    assert gain_db.max() > 5.5
    assert gain_db.min() < -5.5
    assert np.abs(np.diff(gain_db, axis=1)).max() <= 12 / 6 + 1e-5, "at most 12 dB over a stretch of 6 bands"
    corners = (np.abs(np.diff(gain_db, n=2, axis=1)) > 1e-3).sum(axis=1)
    assert set(corners) <= {2, 3, 4}


def test_a_response_fits_into_few_bands():
    assert FilterAugment().draw(MANY, 5).gain_db.shape == (300, 5)


@SPECS
def test_a_flat_response_is_a_gain_of_the_audio(spec):
    audio = noise(3)
    front_end = LogMel(spec)
    responses = Responses(np.full((3, spec.n_mels), -6, np.float32))
    changed = responses.apply(front_end(audio), spec)
    torch.testing.assert_close(changed, front_end(audio * 10 ** (-6 / 20)), atol=1e-3, rtol=0)


@SPECS
def test_silence_stays_silence_through_any_response(spec):
    silence = LogMel(spec)(torch.zeros(3, 16_000))
    responses = Responses(np.full((3, spec.n_mels), 6, np.float32))
    torch.testing.assert_close(responses.apply(silence, spec), silence, atol=1e-4, rtol=0)


@SPECS
def test_mixing_log_mels_is_mixing_audio_but_for_the_phases(spec):
    first, second = noise(1, seed=1, level=0.1), noise(1, seed=2, level=0.05)
    front_end = LogMel(spec)
    mixture = Mixture(np.array([1, 0]), np.array([0.3, 0.3], np.float32))
    mixed = mixture.apply(front_end(torch.cat([first, second])), spec)[0]
    truth = front_end(0.3**0.5 * first + 0.7**0.5 * second)[0]
    # A frame differs by the chance of its phases; the mean power of a second's does not.
    mixed_power, true_power = (float((from_log(x, spec) ** (2 / spec.power)).mean()) for x in (mixed, truth))
    assert 10 * np.log10(mixed_power / true_power) == pytest.approx(0, abs=0.2)


@SPECS
def test_silence_mixed_in_only_lowers_the_level(spec):
    sound = LogMel(spec)(torch.cat([noise(1), torch.zeros(1, 16_000)]))
    mixture = Mixture(np.array([1, 1]), np.array([0.5, 1], np.float32))
    mixed = mixture.apply(sound, spec)
    torch.testing.assert_close(mixed[0], LogMel(spec)(noise(1) * 0.5**0.5)[0], atol=1e-3, rtol=0)
    assert torch.equal(mixed[1], sound[1]), "what isn't mixed changes by no bit"


def test_half_are_mixed_never_with_themselves_and_both_are_heard():
    mixture = Mixup().draw(MANY)
    mixed = mixture.weight < 1
    assert 0.4 < mixed.mean() < 0.6
    assert (mixture.partner[mixed] != np.arange(300)[mixed]).all()
    assert (mixture.partner[~mixed] == np.arange(300)[~mixed]).all()
    assert mixture.weight[mixed].min() >= 0.1
    assert mixture.weight[mixed].max() <= 0.9 + 1e-6


def test_one_item_alone_is_never_mixed():
    assert Mixup(probability=1).draw([3]).weight.tolist() == [1]


def test_labels_of_frames_are_united_and_excluding_labels_are_weighted():
    labels = torch.tensor([[[1.0, 0], [1, 0]], [[0, 0], [0, 1]]])  # (batch, n_frames, n_labels)
    mixture = Mixture(np.array([1, 1]), np.array([0.75, 1], np.float32))
    assert mixture.union(labels).tolist() == [[[1, 0], [1, 1]], [[0, 0], [0, 1]]]
    tags = torch.tensor([[1.0, 0], [0, 1]])
    assert mixture.weighted(tags).tolist() == [[0.75, 0.25], [0, 1]]


@SPECS
def test_a_gradient_passes_every_effect_and_silence_does_not_break_it(spec):
    batch = LogMel(spec)(torch.cat([noise(4), torch.zeros(2, 16_000)])).requires_grad_()
    changed = SpecAugment().draw(range(6), batch.shape[1], spec.n_mels).apply(batch)
    changed = FilterAugment().draw(range(6), spec.n_mels).apply(changed, spec)
    Mixup(probability=1).draw(range(6)).apply(changed, spec).sum().backward()
    assert torch.isfinite(batch.grad).all()
    assert batch.grad[:4].any()


def test_trimmed_bands_are_the_lowest_and_the_highest_and_no_more_than_allowed():
    kept = TrimBands(probability=1).draw(MANY, 64).kept
    n_low, n_high = kept.argmax(axis=1), kept[:, ::-1].argmax(axis=1)
    assert (n_low.min(), n_low.max()) == (1, 9)
    assert (n_high.min(), n_high.max()) == (1, 25)
    assert (kept.sum(axis=1) == 64 - n_low - n_high).all(), "between them nothing is trimmed"


def test_half_of_the_ends_stay_whole():
    kept = TrimBands().draw(range(2000), 64).kept
    assert kept[:, 0].mean() == pytest.approx(0.5, abs=0.05)
    assert kept[:, -1].mean() == pytest.approx(0.5, abs=0.05)
    assert TrimBands(probability=0).draw(MANY, 64).kept.all()
    assert TrimBands(probability=1, max_low_share=0.0).draw(MANY, 64).kept[:, 0].all()


def test_where_bands_are_trimmed_there_is_what_is_quietest_and_the_rest_stays():
    batch = LogMel(DEFAULT)(noise(4))
    trims = TrimBands(probability=1).draw(range(4), 64)
    changed = trims.apply(batch)
    for item in range(4):
        kept = torch.from_numpy(trims.kept[item])
        assert torch.equal(changed[item][:, kept], batch[item][:, kept])
        assert (changed[item][:, ~kept] == batch[item].min()).all()
