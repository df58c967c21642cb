"""A pretrained network: windows of scenes with their answers, a head fitted on them, gates and the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from streamd.decision import DecisionSpec  # noqa: E402
from streamd.errors import DataError  # noqa: E402
from streamd.logmel import log_mel  # noqa: E402
from streamd.manifest import Golden, Manifest  # noqa: E402
from streamd.model import Model  # noqa: E402
from training.design import fine_tune as fine_tune_module  # noqa: E402
from training.design import yamnet  # noqa: E402
from training.design.choose import choose_network, cost_of  # noqa: E402
from training.design.fit_pretrained import fit_pretrained  # noqa: E402
from training.design.fit_settings import FitSettings  # noqa: E402
from training.design.gates import export_proved  # noqa: E402
from training.design.pretrained_network import PretrainedNetwork  # noqa: E402
from training.design.scene_windows import LEFT_OUT, answers, windows_of  # noqa: E402
from training.design.yamnet_layers import LOG_MEL, N_BELOW, NARROW, YamnetLayers, window_facts  # noqa: E402
from training.prepare.clips import Clip  # noqa: E402
from training.prepare.simulation.scene import Placed, Scene  # noqa: E402

# An export starts a process that imports torch, and a machine may have other things to do.
pytestmark = pytest.mark.timeout(400)

RATE = LOG_MEL.sample_rate
LABELS = ("high", "low")
FACTS = Manifest(
    name="tones",
    version="1",
    licence="Apache-2.0",
    description="Two tones.",
    labels=LABELS,
    default_labels=LABELS,
    onset_delay=0,
    offset_delay=0,
    decision=DecisionSpec(),
    label_decisions={},
    expected={},
    training={},
    golden=Golden(seed=0, n_samples=0, posterior=b""),
    **window_facts(),
)


def _placed(label: str, onset: float, offset: float, source: str = "kit") -> Placed:
    clip = Clip(Path(f"{source}-{label}.wav"), label, None, None, source, None)
    return Placed(label, round(onset * RATE), round(offset * RATE), clip)


def _scene(number: int, *, quiet: bool = False) -> Scene:
    """Four seconds of noise with one of two sweeps in it, or with neither."""
    random = np.random.default_rng([number, int(quiet)])
    audio = 0.01 * random.standard_normal(4 * RATE)
    if quiet:
        return Scene(audio.astype(np.float32), RATE, [])
    label, onset = LABELS[number % 2], float(random.uniform(1.2, 2.5))
    time = np.arange(round(0.5 * RATE)) / RATE
    sweep = (2000 if label == "high" else 300) * (1 + time) * random.uniform(0.95, 1.05)
    begin = round(onset * RATE)
    audio[begin : begin + len(time)] += 0.2 * np.sin(2 * np.pi * sweep * time)
    return Scene(audio.astype(np.float32), RATE, [_placed(label, onset, onset + 0.5, f"kit{number // 2 % 3}")])


def _scenes(begin: int, n: int):
    return (_scene(number) for number in range(begin, begin + n))


def _negatives(begin: int, n: int):
    return (_scene(number, quiet=True) for number in range(begin, begin + n))


@cache
def _fitted(seed: int = 0):
    settings = FitSettings(n_steps=2, batch=8, seed=seed)
    return fit_pretrained(PretrainedNetwork(len(LABELS)), FACTS, _scenes, settings, _negatives)


def _answered(*placed: Placed, n_windows: int = 26) -> list[tuple[float, int]]:
    """Return where each window ends, in seconds, and its answer."""
    found = answers(placed, n_windows, FACTS)
    ends = (FACTS.span_samples + np.arange(n_windows) * FACTS.hop_samples) / RATE
    return list(zip(ends.tolist(), found.tolist(), strict=True))


def test_a_label_is_asked_for_while_enough_of_its_sound_lies_in_the_window() -> None:
    short, long = _answered(_placed("low", 2.0, 2.3)), _answered(_placed("high", 1.5, 6.0))
    for end, answer in short:
        assert answer == (2 if end < 2.2 or end - 0.975 >= 2.3 else 1 if 2.3 <= end <= 2.975 else LEFT_OUT), end
    for end, answer in long:
        assert answer == (2 if end < 1.7 else 0 if end >= 1.85 else LEFT_OUT), end


def test_windows_with_two_labels_are_nobodys_to_answer() -> None:
    both = dict(_answered(_placed("low", 1.0, 1.4), _placed("high", 1.6, 2.0)))
    assert {LEFT_OUT} == {answer for end, answer in both.items() if 1.65 < end < 2.3}


def test_windows_are_those_of_the_log_mel_a_hop_apart() -> None:
    scene = _scene(0)
    windows = windows_of(scene, FACTS)
    frames = log_mel(np.rint(scene.audio * 32768).astype(np.int16), LOG_MEL)
    assert len(windows) == (len(frames) - 96) // 16 + 1
    np.testing.assert_array_equal(windows[3], frames[48 : 48 + 96])


def test_the_head_learns_from_scenes_and_the_same_seed_gives_the_same() -> None:
    fitted = _fitted()
    assert (fitted.n_steps, fitted.audio_seconds) == (2, 64.0)
    with torch.inference_mode():
        for number in (101, 102):
            scene = _scene(number)
            windows = torch.from_numpy(windows_of(scene, FACTS))
            posteriors = fitted.network(windows).numpy()
            target = answers(scene.labels, len(windows), FACTS)
            sounding = np.isin(target, (0, 1))
            assert (posteriors[sounding].argmax(axis=1) == target[sounding]).all()
            assert posteriors[sounding].max(axis=1).mean() > posteriors[target == 2].max(axis=1).mean() + 0.3
    again = _fitted.__wrapped__().network
    assert all(torch.equal(one, other) for one, other in zip(fitted.network.weights, again.weights, strict=True))


def test_tuned_layers_have_learnt_and_the_network_is_frozen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tune_module, "N_STEPS", 12)
    network = PretrainedNetwork(len(LABELS), is_tuned=True)
    before = network.embedding.network.conv1.conv.weight.clone()
    fitted = fit_pretrained(network, FACTS, _scenes, FitSettings(n_steps=2, batch=8), _negatives).network
    assert not torch.equal(before, fitted.embedding.network.conv1.conv.weight)
    assert not any(weight.requires_grad for weight in fitted.parameters())
    windows, target = _asked(range(101, 109))
    with torch.inference_mode():
        tuned, frozen = (net(windows).numpy() for net in (fitted, _fitted().network))
    assert _loss(tuned, target) < _loss(frozen, target)


def _asked(numbers):
    """Windows of some scenes that have an answer."""
    windows = [windows_of(_scene(number), FACTS) for number in numbers]
    target = np.concatenate(
        [answers(_scene(number).labels, len(some), FACTS) for number, some in zip(numbers, windows, strict=True)]
    )
    known = target != LEFT_OUT
    return torch.from_numpy(np.concatenate(windows)[known]), target[known]


def _loss(posteriors: np.ndarray, target: np.ndarray) -> float:
    is_label = target[:, None] == np.arange(posteriors.shape[1])
    return float(-np.log(np.where(is_label, posteriors, 1 - posteriors)).mean())


def test_scenes_without_one_of_the_labels_are_refused() -> None:
    def only_low(begin: int, n: int):
        return (_scene(2 * number + 1) for number in range(begin, begin + n))

    with pytest.raises(DataError, match="no window with high"):
        fit_pretrained(PretrainedNetwork(2), FACTS, only_low, FitSettings(n_steps=1, batch=4))


def test_the_file_passes_the_gates_of_a_window_and_answers_as_torch_does(tmp_path: Path) -> None:
    heard = np.concatenate([np.rint(32767 * scene.audio).astype(np.int16) for scene in _scenes(50, 4)])
    written, told = export_proved(_fitted().network, FACTS, tmp_path / "tones.onnx", heard)
    assert set(told) == {"golden answer", "torch = onnxruntime", "events"}
    assert float(told["golden answer"].split()[4]) >= 0.2
    assert Model(tmp_path / "tones.onnx", "cpu").manifest == written


def test_the_narrow_front_end_hears_the_very_bands_of_yamnet() -> None:
    frames = log_mel(np.random.default_rng(0).normal(0, 3000, 16_000).astype(np.int16), NARROW)[:96]
    layers = YamnetLayers(NARROW)
    with torch.no_grad():
        embedding = layers(torch.from_numpy(frames)[None])
        _, last = yamnet.load()(torch.from_numpy(frames[:, N_BELOW:])[None])
    assert embedding.shape == (1, sum(layers.parts))
    torch.testing.assert_close(embedding[:, -1024:], last)


def test_it_is_chosen_by_name_and_its_cost_is_told() -> None:
    chosen = choose_network([0.4] * 5, LOG_MEL, 1, "pretrained")
    assert "YAMNet's layers" in chosen.why[0]
    assert chosen.depth.receptive_field_seconds == pytest.approx(0.975)
    cost = cost_of(chosen.network, LOG_MEL)
    assert 60e6 < cost.macs_per_second * cost.hop_seconds < 80e6
    assert (cost.n_state, round(cost.hop_seconds, 6)) == (0, 0.16)
