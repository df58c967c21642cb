"""Rows: what a model answers to each source is what it answers to that source alone, whoever else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamd.logmel import LogMelSpec, log_mel
from streamd.model import Model
from streamd.rows import Frames, Rows
from tests import tiny_models
from tests.sounds import uneven_noise

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    return tiny_models.of_every_kind(tmp_path_factory.mktemp("models"))


class Player:
    """Plays a recording of its own to each row, hop by hop, and keeps what is answered."""

    def __init__(self, model: Model, max_batch: int) -> None:
        self.model = model
        self.rows = Rows(model, max_batch)
        self.heard: dict[int, list[Floats]] = {}
        self.takes: dict[int, tuple[Floats, list[Floats]]] = {}

    def begin(self, row: int, seed: int) -> None:
        """Begin a recording in a row, anew where one is playing: the row forgets."""
        facts = self.model.manifest
        self.rows.join(row)
        n_hops = facts.n_cold_hops + 12
        self.takes[row] = uneven_noise(n_hops * facts.hop_samples, seed), []

    def run(self, rows: list[int]) -> None:
        """Play the next hop of these rows, in one batch."""
        hop = self.model.manifest.hop_samples
        ages = np.array([len(self.takes[row][1]) for row in rows])
        audio = np.stack([self.takes[row][0][age * hop :][:hop] for row, age in zip(rows, ages, strict=True)])
        found = self.rows.run(np.array(rows), audio, ages)
        for row, posterior in zip(rows, found, strict=True):
            self.takes[row][1].append(posterior)

    def check(self) -> int:
        """Compare each row with the plain answer of the model to its recording; return how many were compared."""
        facts, n = self.model.manifest, 0
        for audio, posteriors in self.takes.values():
            for cold in posteriors[: facts.n_cold_hops]:
                assert not cold.any()
            warm = posteriors[facts.n_cold_hops + facts.n_warmup_hops :]
            if warm:
                heard = audio[facts.lead_samples : len(posteriors) * facts.hop_samples]
                np.testing.assert_allclose(warm, self.model.answer(heard)[1], atol=1e-6)
                n += len(warm)
        return n


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(tiny_models.NAMES), data=st.data())
def test_each_row_is_answered_as_if_it_were_alone(models: dict[str, Model], name: str, data: st.DataObject) -> None:
    """Whatever the batches are, in whatever order, and whoever begins anew meanwhile."""
    player = Player(models[name], 4)
    for row in range(data.draw(st.integers(1, 5))):
        player.begin(row, seed=row)
    facts = models[name].manifest
    for turn in range(25):
        able = [row for row, (audio, done) in player.takes.items() if len(done) < len(audio) // facts.hop_samples]
        if not able:
            break
        player.run(data.draw(st.lists(st.sampled_from(able), min_size=1, max_size=4, unique=True)))
        if data.draw(st.integers(0, 9)) == 0:
            player.check()
            player.begin(data.draw(st.sampled_from(sorted(player.takes))), seed=100 + turn)
    player.check()


@pytest.mark.parametrize("name", ["yamnet", "speech"])
def test_the_shipped_models_answer_in_a_batch_as_alone(models: dict[str, Model], name: str) -> None:
    player = Player(models[name], 8)
    for row in range(8):
        player.begin(row, seed=row)
    for _ in range(models[name].manifest.n_cold_hops):
        player.run(list(range(8)))
    player.run([5])
    for _ in range(11):
        player.run([7, 0, 5, 2, 1, 3, 6] if len(player.takes[5][1]) < 12 else [7, 0, 2])
    assert player.check() > 40 or name == "speech"


specs = st.builds(
    LogMelSpec,
    win_length=st.sampled_from([128, 400, 512]),
    hop_length=st.sampled_from([160, 256, 600]),
    n_mels=st.sampled_from([4, 12]),
)


@settings(max_examples=60, deadline=None)
@given(spec=specs, hop_frames=st.integers(1, 20), n_sources=st.integers(1, 4), data=st.data())
def test_new_frames_are_bit_for_bit_those_of_the_whole(
    spec: LogMelSpec, hop_frames: int, n_sources: int, data: st.DataObject
) -> None:
    """For any hop, also where a hop is no multiple of the groups that frames are computed in."""
    frames = Frames(spec, hop_frames)
    hop = hop_frames * spec.hop_length
    n_hops = 5
    # So that the first hop ends where its last frame does.
    lead = -((hop_frames - 1) * spec.hop_length + spec.win_length) % hop
    n_cold = (lead + (hop_frames - 1) * spec.hop_length + spec.win_length) // hop - 1
    audio = [uneven_noise((n_cold + n_hops) * hop, seed) for seed in range(n_sources)]
    found: list[list[Floats]] = [[] for _ in range(n_sources)]
    for source in range(n_sources):
        frames.join(source)
    ages = np.zeros(n_sources, np.int64)
    while (ages < n_cold + n_hops).any():
        able = np.nonzero(ages < n_cold + n_hops)[0].tolist()
        rows = np.array(data.draw(st.lists(st.sampled_from(able), min_size=1, unique=True)))
        samples = np.stack([audio[row][ages[row] * hop :][:hop] for row in rows])
        new = frames.of(rows, samples, (ages[rows] - n_cold) * hop_frames % 8)
        for row, some in zip(rows, new, strict=True):
            found[row].append(some)
        ages[rows] += 1
    for source in range(n_sources):
        np.testing.assert_array_equal(np.concatenate(found[source][n_cold:]), log_mel(audio[source][lead:], spec))
