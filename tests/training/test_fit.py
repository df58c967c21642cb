"""Training: a task is learnt, what is cold is not, and a run that was killed ends like one that wasn't."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from streamd.errors import DataError  # noqa: E402
from tests.training import tones  # noqa: E402
from training.design import checkpoints  # noqa: E402
from training.design.fit import FitSettings, Score, fit  # noqa: E402
from training.design.learner import Learner  # noqa: E402
from training.design.pooling import Pooling  # noqa: E402
from training.design.targets import grid  # noqa: E402
from training.prepare.clips import Clip  # noqa: E402
from training.prepare.simulation.scene import Placed  # noqa: E402
from training.process.augmentation.filter_augment import FilterAugment  # noqa: E402
from training.process.augmentation.mixup import Mixup  # noqa: E402
from training.process.augmentation.spec_augment import SpecAugment  # noqa: E402
from training.process.log_mel import LogMel  # noqa: E402

CLIP = Clip(Path("low.wav"), "low", None, None, None, None)
ROOT = Path(__file__).parents[2]
UNHEARD = 100_000
"""Scenes from this number on are in no training here."""


def accuracy(network, delay_seconds=0.0):
    """Of warm outputs on scenes that training never heard: the mean over labels and targets of those that are right."""
    heard = list(tones.scenes(UNHEARD, 30))
    frames = LogMel(tones.SPEC)(torch.from_numpy(np.stack([scene.audio for scene in heard])))
    frames = frames[:, : frames.shape[1] // network.time_stride * network.time_stride]
    lies = grid(network, tones.SPEC, tones.LABELS, delay_seconds)
    with torch.no_grad():
        posteriors, _ = network(frames, network.initial_state(len(frames)))
    n_masked = lies.n_masked(is_fresh=True)
    targets = lies.targets([scene.labels for scene in heard], posteriors.shape[1])[:, n_masked:]
    right = ((posteriors[:, n_masked:] > 0.5) == (targets > 0.5)).numpy()
    on = targets.numpy() > 0.5
    return np.mean([right[..., i][on[..., i] == value].mean() for i in range(2) for value in (False, True)])


def equal(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(("kind", "n_steps"), [("vgg", 60), ("recurrent", 300)])
def test_two_tones_in_noise_are_learnt_within_seconds(kind, n_steps, tmp_path):
    fitted = tones.trained(kind, tmp_path, n_steps=n_steps, learning_rate=1e-2)
    assert accuracy(fitted.network) > 0.95
    assert fitted.n_steps == fitted.chosen_step == len(fitted.losses) == n_steps
    assert np.mean([loss for _, loss in fitted.losses[-10:]]) < 0.3 * fitted.losses[0][1]
    assert fitted.audio_seconds == n_steps * 8 * 1.5
    assert list(tmp_path.glob("events*"))


def test_with_labels_that_have_nothing_to_do_with_the_sounds_nothing_is_learnt(tmp_path):
    def shuffled(begin, n):
        for number, scene in enumerate(tones.scenes(begin, n), start=begin):
            onsets = np.random.default_rng(number).integers(0, tones.N_SAMPLES - 2000, len(tones.LABELS))
            scene.labels = [Placed(label, on, on + 2000, CLIP) for label, on in zip(tones.LABELS, onsets, strict=True)]
            yield scene

    settings = FitSettings(n_steps=60, batch=8, **tones.PLAIN)
    fitted = fit(tones.vgg(), tones.SPEC, tones.LABELS, shuffled, settings, tmp_path)
    assert 0.35 < accuracy(fitted.network) < 0.65


def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path):
    command = [sys.executable, "-m", "tests.training.tones", "recurrent", str(tmp_path / "killed")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if int(line) == 13:
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    assert 0 < checkpoints.load(tmp_path / "killed" / "checkpoint.pt")["learner"]["step"] < 24
    resumed = tones.trained("recurrent", tmp_path / "killed")
    unbroken = tones.trained("recurrent", tmp_path / "unbroken")
    assert equal(resumed.network.state_dict(), unbroken.network.state_dict())
    assert resumed.losses == unbroken.losses
    # And one that is done is not done again.
    again = tones.trained("recurrent", tmp_path / "killed")
    assert equal(again.network.state_dict(), unbroken.network.state_dict())


def test_a_folder_with_a_run_of_other_settings_is_refused(tmp_path):
    tones.trained("vgg", tmp_path, n_steps=1)
    with pytest.raises(DataError, match=r"is of another run \(n_steps 1, now 2\): give another folder"):
        tones.trained("vgg", tmp_path, n_steps=2)
    with pytest.raises(DataError, match=r"network Vgg of \d+ parameters, now StreamNetwork of \d+"):
        tones.trained("recurrent", tmp_path, n_steps=1)


def test_scenes_that_are_too_short_or_of_several_lengths_are_refused(tmp_path):
    def short(begin, n):
        for scene in tones.scenes(begin, n):
            scene.audio = scene.audio[:1000]
            yield scene

    def uneven(begin, n):
        for number, scene in enumerate(tones.scenes(begin, n)):
            scene.audio = scene.audio[number:]
            yield scene

    for scenes, told in ((short, r"scenes of 0\.12 s; this network needs"), (uneven, "expected one length")):
        with pytest.raises(DataError, match=told):
            fit(tones.vgg(), tones.SPEC, tones.LABELS, scenes, FitSettings(n_steps=1), tmp_path)


def learner(kind, **settings):
    network = tones.NETWORKS[kind]()
    settings = FitSettings(n_steps=9, batch=4, negative_share=0.0, **tones.PLAIN | settings)
    made = Learner(
        network, tones.SPEC, grid(network, tones.SPEC, tones.LABELS, settings.target_delay_seconds), settings
    )
    made.measure(list(tones.scenes(0, 4)), [])
    return made


@pytest.mark.parametrize("pooling", [Pooling.FRAME_WISE, Pooling.MEAN])
def test_what_is_labelled_while_the_network_is_cold_changes_nothing(pooling):
    n_cold = grid(tones.vgg(), tones.SPEC, tones.LABELS).n_cold
    losses, weights = [], []
    for labelled in (False, True):
        scenes = list(tones.scenes(10, 4))
        if labelled:
            for scene in scenes:
                end = (n_cold - 1) * 4 * tones.SPEC.hop_length
                scene.labels = [Placed("low", 0, end, CLIP), *scene.labels]
        made = learner("vgg", pooling=pooling)
        losses.append(made.learn(scenes, [], 1e-2))
        weights.append(made.network.state_dict())
    assert losses[0] == losses[1]
    assert equal(*weights)


@pytest.mark.parametrize("carry_over", [0.0, 1.0])
def test_a_network_that_carries_its_state_over_hears_scenes_as_one_recording(carry_over):
    made = learner("plain", carry_over=carry_over)
    original, heard, answered = made.network.logits, [], []

    def watched(frames, state):
        logits, after = original(frames, state)
        heard.append(frames)
        answered.append(logits.detach())
        return logits, after

    made.network.logits = watched
    for begin in (20, 24, 28):
        made.learn(list(tones.scenes(begin, 4)), [], 0.0)
    # With a learning rate of 0 it was the same network all the time.
    with torch.no_grad():
        whole, _ = original(torch.cat(heard, dim=1), made.network.initial_state(4))
    n_first = heard[0].shape[1]
    off = (torch.cat(answered, dim=1) - whole).abs()
    assert off[:, :n_first].max() < 1e-5
    assert (off.max() < 1e-5) == (carry_over == 1.0)


def test_of_all_negatives_the_hardest_are_kept_and_heard_again(tmp_path):
    def whistling(begin, n):
        for number in range(begin, begin + n):
            scene = tones.scene(number, quiet=True)
            if number % 10 == 0:
                scene.audio[4000:7000] += 0.1 * np.sin(2 * np.pi * 500 * np.arange(3000) / tones.RATE)
            yield scene

    network = tones.vgg()
    settings = FitSettings(n_steps=40, batch=8, negative_share=0.5)
    made = Learner(network, tones.SPEC, grid(network, tones.SPEC, tones.LABELS), settings)
    made.negatives.capacity = 6
    made.measure(list(tones.scenes(0, 8)), [])
    quiet = whistling(0, 1000)
    for step in range(40):
        made.learn(list(tones.scenes(10 + 4 * step, 4)), [next(quiet) for _ in range(2)], 3e-3)
    loud = [float(frames.amax(dim=1).max()) for frames in made.negatives.frames]
    usual = float(LogMel(tones.SPEC)(torch.from_numpy(tones.scene(1, quiet=True).audio)).max())
    assert len(loud) == 6
    assert sum(level > usual + 6 for level in loud) >= 5
    assert min(made.negatives.hardness) >= 0


def test_the_weights_that_the_scorer_likes_best_are_taken_and_false_alarms_come_first(tmp_path):
    assert Score(0.2, 0.1, True).rank > Score(0.9, 3.0, False).rank
    assert Score(0.9, 0.4, True).rank > Score(0.8, 0.0, True).rank
    assert Score(0.9, 0.3, True).rank > Score(0.9, 0.4, True).rank
    assert Score(0.5, 90.0, False).rank > Score(0.4, 3.0, False).rank
    assert Score(0.0, 3.0, False).rank > Score(0.0, 90.0, False).rank
    assert Score(0.0, 90.0, False).rank > Score(0.0, 0.0, False).rank  # deaf
    scores = [Score(0.5, 0.0, True), Score(0.7, 0.0, True), *[Score(0.6, 0.0, True)] * 9]
    seen = []

    def scorer(network):
        assert not network.training
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return scores[len(seen) - 1]

    fitted = tones.trained("vgg", tmp_path, n_steps=30, scorer=scorer)
    assert equal(fitted.network.state_dict(), seen[1])
    assert fitted.chosen_step == fitted.checkpoints[1][0]
    # Four checks without a better one end it early.
    assert len(fitted.checkpoints) == 6
    assert fitted.n_steps == fitted.checkpoints[-1][0] < 30
    assert [score for _, score in fitted.checkpoints] == scores[:6]


def test_minutes_become_a_number_of_steps_that_is_kept(tmp_path):
    settings = FitSettings(minutes=0.05, batch=8)
    fitted = fit(tones.vgg(), tones.SPEC, tones.LABELS, tones.scenes, settings, tmp_path)
    assert checkpoints.load(tmp_path / "checkpoint.pt")["n_steps"] == fitted.n_steps >= 10
    again = fit(tones.vgg(), tones.SPEC, tones.LABELS, tones.scenes, settings, tmp_path)
    assert again.n_steps == fitted.n_steps
    assert again.losses == fitted.losses


def test_where_one_check_takes_most_of_the_minutes_it_still_trains(tmp_path):
    def slow(network):
        time.sleep(2.0)
        return Score(1.0, 0.0, True)

    settings = FitSettings(minutes=0.05, batch=8)
    fitted = fit(tones.vgg(), tones.SPEC, tones.LABELS, tones.scenes, settings, tmp_path, slow)
    assert fitted.checkpoints == []
    plain = fit(tones.vgg(), tones.SPEC, tones.LABELS, tones.scenes, settings, tmp_path / "unchecked")
    assert fitted.n_steps > plain.n_steps / 5


class Heard:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def stepped(self, step, n_steps, loss, audio_seconds):
        self.told.append(step)

    def checked(self, step, told):
        self.told.append(told)

    def ended(self):
        self.told.append("ended")


def test_the_end_is_told_after_an_early_stop_and_after_an_error(tmp_path):
    early, failed = Heard(), Heard()
    scores = iter([Score(0.5, 0.0, True), *[Score(0.4, 0.0, True)] * 9])
    fitted = tones.trained("vgg", tmp_path / "a", n_steps=30, scorer=lambda _: next(scores), progress=early)
    assert fitted.n_steps < 30
    assert early.told[-1] == "ended"
    with pytest.raises(StopIteration):
        tones.trained("vgg", tmp_path / "b", n_steps=30, scorer=lambda _: next(iter(())), progress=failed)
    assert failed.told.count("ended") == 1
    assert failed.told[-1] == "ended"


@pytest.mark.parametrize(
    ("batch", "share"), [(3, 0.25), (3, 0.75), (4, 0.75), (5, 0.75), (8, 0.25), (1, 0.0), (2, 0.0)]
)
def test_every_batch_has_a_scene_in_it(batch, share, tmp_path):
    settings = FitSettings(n_steps=2, batch=batch, negative_share=share)
    fitted = fit(tones.vgg(), tones.SPEC, tones.LABELS, tones.scenes, settings, tmp_path, negatives=tones.negatives)
    assert fitted.audio_seconds == 2 * batch * 1.5


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_too_small_for_negatives_is_refused_in_one_line(batch):
    with pytest.raises(ValueError, match=rf"^batch {batch}; expected 3 or more.*negative_share 0\)$"):
        FitSettings(n_steps=1, batch=batch)


def test_augmentation_is_switched_on_by_settings_and_leaves_the_task_learnable(tmp_path):
    effects = {"spec_augment": SpecAugment(max_bands=2), "filter_augment": FilterAugment(), "mixup": Mixup()}
    settings = FitSettings(n_steps=40, batch=8, target_delay_seconds=0.08, learning_rate=1e-2, **effects)
    fitted = fit(tones.vgg(), tones.SPEC, tones.LABELS, tones.scenes, settings, tmp_path, negatives=tones.negatives)
    assert accuracy(fitted.network, 0.08) > 0.9


@pytest.mark.parametrize("wrong", [{}, {"minutes": 1, "n_steps": 1}, {"n_steps": 0}, {"n_steps": 1, "carry_over": 2}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        FitSettings(**wrong)
