"""Claim: scenes are simulated faster than a network of ours learns from them, and no slower than by audiomentations.

Both make scenes of 10 s from the same dry sounds, rooms and noise, in turns: gain, room, noise at an SNR, level,
band-pass, self-noise, clipping, 16 bits. audiomentations gets its scenes composed; ours composes them, with labels. It
runs in a process of its own, in .venv/peers, which the first call makes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import _harness as harness
import numpy as np
import soundfile
import torch

from streamd.logmel import LogMelSpec
from training.prepare.clips import Clip
from training.prepare.simulation import scene
from training.prepare.simulation.ambience import AmbienceRange
from training.prepare.simulation.conditions import NO_SPEECH, for_training
from training.prepare.simulation.impacts import CLINKS, draw
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.noise import ColouredNoise
from training.prepare.simulation.recipe import DRY, Recipe
from training.process.log_mel import LogMel

SAMPLE_RATE = 16_000
N_ROUNDS = 9
N_SCENES = 20
"""Of a round."""
PEER = "audiomentations==0.43.1"

EVERYTHING = Recipe()
SAME = replace(
    DRY,
    gain=EVERYTHING.gain,
    room=replace(EVERYTHING.room, dry=0.0) if EVERYTHING.room else None,
    mix=replace(EVERYTHING.mix, clean=0.0) if EVERYTHING.mix else None,
    ambience=AmbienceRange(kinds=("recorded",)),
    level=EVERYTHING.level,
    microphone=EVERYTHING.microphone,
    self_noise=EVERYTHING.self_noise,
    clipping=EVERYTHING.clipping,
    quantise=EVERYTHING.quantise,
)
"""What audiomentations has, too."""


def material(folder: Path) -> Material:
    """Return sounds, rooms and noise; what the other side needs of them is written to a folder."""
    rng = np.random.default_rng(0)
    sounds = [
        Sound(Clip(Path(f"{i}.wav"), "clink", None, None, None, None), 0.1 * draw(rng, CLINKS).make(8000, SAMPLE_RATE))
        for i in range(60)
    ]
    places = [0.05 * ColouredNoise(1, seed).make(60 * SAMPLE_RATE, SAMPLE_RATE) for seed in range(4)]
    found = for_training(sounds, places, NO_SPEECH, SAMPLE_RATE, folder / "cache", n_halls=16).material
    for name in ("rooms", "backgrounds"):
        (folder / name).mkdir()
    for room in found.rooms:
        soundfile.write(folder / "rooms" / f"{room.name}.wav", room.response, SAMPLE_RATE, subtype="FLOAT")
    for i, place in enumerate(places):
        soundfile.write(folder / "backgrounds" / f"{i}.wav", place, SAMPLE_RATE, subtype="FLOAT")
    dry = [scene.make(DRY, found, 0, str(i)).audio for i in range(N_SCENES)]
    np.save(folder / "dry.npy", np.stack(dry))
    return found


def peer_python() -> Path:
    """Return the Python that has audiomentations; the first call makes it."""
    venv = harness.ROOT / ".venv" / "peers" / "audiomentations"
    python = venv / "bin" / "python"
    if not (venv / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", PEER], check=True)
        (venv / "made").touch()
    return python


class Ours:
    """Makes scenes of a recipe, each another one."""

    def __init__(self, recipe: Recipe, given: Material) -> None:
        self.recipe, self.given, self.n_made = recipe, given, 0

    def __call__(self) -> object:
        """Make one scene."""
        self.n_made += 1
        return scene.make(self.recipe, self.given, 1, str(self.n_made))


class Peer:
    """audiomentations in its process."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("_audiomentations.py")
        self.process = subprocess.Popen(
            [peer_python(), script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self.read()

    def read(self) -> str:
        """Return the next line that it says."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit("audiomentations ended with an error, see above")
        return line.strip()

    def seconds(self, n_scenes: int) -> float:
        """Return the CPU time of a scene."""
        assert self.process.stdin
        self.process.stdin.write(f"{n_scenes}\n")
        self.process.stdin.flush()
        return float(self.read())

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


def seconds_of(work: harness.Work, n_calls: int) -> float:
    """Return the CPU time of a call."""
    start = time.process_time()
    for _ in range(n_calls):
        work()
    return (time.process_time() - start) / n_calls


def main() -> None:
    """Measure in turns."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="simulate-") as name:
        given = material(Path(name))
        same, everything = Ours(SAME, given), Ours(EVERYTHING, given)
        log_mel = LogMel(LogMelSpec())
        batch = torch.from_numpy(np.load(Path(name) / "dry.npy")[:8])
        peer = Peer(Path(name))
        found: dict[str, list[float]] = {"same": [], "everything": [], "peer": [], "log-mel": []}
        for n_round in range(-1, N_ROUNDS):  # the first is not counted: files are read, tables made
            times = {
                "same": seconds_of(same, N_SCENES),
                "peer": peer.seconds(N_SCENES),
                "everything": seconds_of(everything, N_SCENES),
                "log-mel": seconds_of(lambda: log_mel(batch), 3) / len(batch),
            }
            if n_round >= 0:
                for kind, seconds in times.items():
                    found[kind].append(seconds)
        peer.end()
    each = EVERYTHING.seconds

    def speed(kind: str) -> list[float]:
        return [each / seconds for seconds in found[kind]]

    figures = [
        harness.Figure.of("simulation: faster than audiomentations", harness.ratios(found["peer"], found["same"]), "×"),
        harness.Figure.of("simulation: audio seconds a second and core, all stages", speed("everything"), "×"),
        harness.Figure.of("log-mel on torch: audio seconds a second and core", speed("log-mel"), "×"),
    ]
    names = {
        "same": "streamd, gain to 16 bits",
        "peer": f"audiomentations {peer.version}, the same chain",
        "everything": "streamd, the default recipe: all stages",
        "log-mel": f"log-mel, torch {torch.__version__}, batches of 8",
    }
    table = [
        {
            "10 s of audio by": names[kind],
            "CPU ms": round(1000 * statistics.median(seconds), 2),
            "audio seconds a CPU second": round(each / statistics.median(seconds)),
        }
        for kind, seconds in found.items()
    ]
    how = f"""Scenes of 10 s at 16 kHz, from 60 struck sounds of 0.5 s, {len(given.rooms)} computed rooms and four
        minutes of pink noise. CPU time of one process and one thread each, in turns; medians of {N_ROUNDS} rounds of
        {N_SCENES} scenes. The same chain: gain, room response, recorded noise at -5 to 20 dB, level, band-pass,
        self-noise, clipping, 16 bits. audiomentations normalises the peak where streamd sets the level of the sounding
        parts, filters with a Butterworth band-pass where streamd has a microphone's whole curve, is handed its scenes
        where streamd places the sounds and keeps their labels, and reads its noise from files (it keeps none) where
        streamd has it in memory."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()
