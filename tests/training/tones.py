"""A task that is easy to learn: two tones in noise."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from streamd.logmel import LogMelSpec
from training.design.fit import FitSettings, Fitted, fit
from training.design.streaming import ConvBlock, Flatten, Gru, StreamNetwork
from training.design.vgg import Vgg
from training.prepare.clips import Clip
from training.prepare.simulation.scene import Placed, Scene

RATE = 8000
N_SAMPLES = 12_000
SPEC = LogMelSpec(sample_rate=RATE, n_fft=256, win_length=256, hop_length=80, n_mels=16, fmin=50, fmax=4000)
TONES = {"low": 500, "high": 2000}
LABELS = tuple(TONES)


def scene(number, *, quiet=False):
    """Scene `number`: noise, and most times a tone or two; none in a quiet one."""
    random = np.random.default_rng([number, int(quiet)])
    audio = 0.02 * random.standard_normal(N_SAMPLES)
    placed = []
    for label, frequency in TONES.items():
        onset, length = int(random.integers(1000, 8000)), int(random.integers(800, 3000))
        if not quiet and random.random() < 0.7:
            tone = 0.1 * np.sin(2 * np.pi * frequency * np.arange(length) / RATE)
            audio[onset : onset + length] += tone
            clip = Clip(Path(f"{label}.wav"), label, None, None, None, None)
            placed.append(Placed(label, onset, onset + length, clip))
    return Scene(audio.astype(np.float32), RATE, sorted(placed, key=lambda sound: sound.onset_sample))


def scenes(begin, n):
    return (scene(number) for number in range(begin, begin + n))


def negatives(begin, n):
    return (scene(number, quiet=True) for number in range(begin, begin + n))


def vgg():
    torch.manual_seed(5)
    return Vgg(SPEC.n_mels, len(LABELS), n_blocks=2)


def recurrent():
    """Small, and with a recurrent part."""
    torch.manual_seed(6)
    modules = [ConvBlock(1, 4, SPEC.n_mels, pool=4), Flatten(), torch.nn.Linear(16, 8), Gru(8, 8)]
    return StreamNetwork(SPEC.n_mels, len(LABELS), [*modules, torch.nn.Linear(8, len(LABELS))])


def plain():
    """Recurrent, and without batch norms: what it says of a scene does not depend on the others of its batch."""
    torch.manual_seed(7)
    modules = [Flatten(), torch.nn.Linear(SPEC.n_mels, 8), Gru(8, 8), torch.nn.Linear(8, len(LABELS))]
    return StreamNetwork(SPEC.n_mels, len(LABELS), modules)


NETWORKS = {"vgg": vgg, "recurrent": recurrent, "plain": plain}


class Steps:
    """Tells each step on stdout."""

    def stepped(self, step, n_steps, loss, audio_seconds):
        print(step, flush=True)

    def checked(self, step, told):
        pass


PLAIN = {"target_delay_seconds": 0.0, "spec_augment": None}
"""Settings of a fit: a network for a few bands and tones of a moment has nothing to spare for masks."""


def trained(kind: str, folder: Path, *, n_steps: int = 24, learning_rate: float = 3e-3, **more) -> Fitted:
    """The same training, wherever it is done."""
    settings = FitSettings(n_steps=n_steps, batch=8, seed=3, learning_rate=learning_rate, **PLAIN)
    return fit(NETWORKS[kind](), SPEC, LABELS, scenes, settings, folder, negatives=negatives, **more)


if __name__ == "__main__":
    trained(sys.argv[1], Path(sys.argv[2]), progress=Steps())
