"""Train the speech model: `python -m examples.speech.train --seed 0`, after `python -m examples.speech.make_data`.

Seeds share the scenes, which are made once (a quarter of an hour on two cores, 3 GB), and differ in first weights, in
the order of scenes and in chance while they train. A run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from examples.speech.make_data import DATA
from examples.speech.scenes import LABEL, bank, training_material
from streamd.logmel import LogMelSpec
from training.design.fit import Fitted, fit
from training.design.fit_settings import FitSettings
from training.design.speech_net import SpeechNet
from training.design.targets import grid

SPEC = LogMelSpec(hop_length=256)
"""A frame in 16 ms: every second one of 32 ms windows would do for speech, and each costs."""
N_SCENES, N_MUSIC = 4500, 1200
"""20 hours with speech and 5 of music alone."""
TARGET_DELAY_SECONDS = 0.128
"""One hop: the network has heard a little of what follows before it has to say what was."""
N_STEPS = 2000
BATCH = 8
"""Scenes of 16 s. Of few minutes, many small steps make more than few large ones."""


def settings(seed: int, n_steps: int = N_STEPS) -> FitSettings:
    """Return how a seed is trained. No checks: the learning rate falls to 0, and the last weights are taken."""
    return FitSettings(
        n_steps=n_steps,
        batch=BATCH,
        learning_rate=3e-3,
        n_rising=50,
        target_delay_seconds=TARGET_DELAY_SECONDS,
        seed=seed,
        # Speech is in nearly every scene: that it is there says nothing.
        scene_weight=0.0,
        spec_augment=None,
    )


def train(seed: int, folder: Path, n_steps: int = N_STEPS) -> Fitted:
    """Train one seed, or go on with it; its checkpoints lie in the folder."""
    torch.manual_seed(seed)
    network = SpeechNet(SPEC.n_mels, 1)
    how = settings(seed, n_steps)
    # Where speech fills half of the stretch that an output answers for, it is to say yes.
    margin = grid(network, SPEC, (LABEL,), how.target_delay_seconds).stride_samples // 2

    with_speech = bank(DATA, "scenes", N_SCENES, lambda: training_material(DATA))
    music = bank(DATA, "music", N_MUSIC, lambda: training_material(DATA))
    return fit(
        network,
        SPEC,
        (LABEL,),
        with_speech.scenes(seed, margin),
        how,
        folder,
        negatives=music.scenes(seed, margin),
        progress=_Told(),
    )


class _Told:
    """A line now and then."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._cpu = time.process_time()
        self._recent: list[float] = []

    def stepped(self, step: int, n_steps: int | None, loss: float, audio_seconds: float) -> None:
        self._recent = [*self._recent[-49:], loss]
        if step % 50 == 0:
            mean = sum(self._recent) / len(self._recent)
            wall, cpu = time.monotonic() - self._begun, time.process_time() - self._cpu
            heard = audio_seconds / 3600
            print(f"{step}/{n_steps} loss {mean:.4f} heard {heard:.1f} h, {wall:.0f} s, CPU {cpu:.0f} s", flush=True)

    def checked(self, step: int, score: str) -> None:
        print(step, score)


def main() -> None:
    """Train a seed and keep its weights beside its checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=N_STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = DATA / "runs" / f"seed-{arguments.seed}"
    fitted = train(arguments.seed, folder, arguments.steps)
    torch.save(fitted.network.state_dict(), folder / "network.pt")
    print(f"{fitted.n_steps} steps, {fitted.audio_seconds / 3600:.1f} hours heard in {fitted.seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
