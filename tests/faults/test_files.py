"""Configurations and models with mistakes, recordings of any sample rate, a GPU that is lost."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from streamd import config
from streamd.errors import ConfigError, ModelError
from streamd.events import Event, State
from streamd.model import Model
from tests.faults.harness import ROOT, faults
from tests.faults.rig import Scene, running, scene
from tests.running import has_status
from tests.sockets import a_context, short_folder
from tests.test_daemon_device import BOTH, LOUD, QUIET, Gpu, Rig, shapes

__all__ = ["scene"]  # a fixture

RATES = [8_000, 44_100, 48_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 37_800, 44_056, 47_250, 50_000, 50_400]
RATES += [64_000, 88_200, 96_000, 176_400, 192_000, 5_512, 6_000, 9_600, 14_700, 18_900]


def changed(text: str, chance: random.Random) -> str:
    """Return a configuration with a mistake somewhere."""
    lines = text.splitlines()
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        line = lines[at]
        spot = chance.randrange(len(line) + 1)
        lines[at] = chance.choice(
            [
                line[:spot]
                + chance.choice(["x", ":", "[", "}", "'", "\t", "-", "&a", "*a", "\x00", "é"])
                + line[spot:],
                line[:spot],
                " " * chance.randint(1, 5) + line,
                line.replace(":", ": 1e999 #", 1),
                line + "\n" + line,
            ]
        )
    return "\n".join(lines)


def test_a_configuration_with_mistakes_is_one_line_each(tmp_path: Path) -> None:
    how = "the example configuration with one to three places changed: each mistake is one line with its place"
    example = (ROOT / "docs" / "streamd.example.yaml").read_text()
    with faults("bad_config", 13, "bad configuration", how, through="real", long=200, short=20) as kept:
        n_refused = 0
        for i in range(kept.n):
            text = changed(example, random.Random(i))
            mistakes: list[str] = []
            with kept.injection():
                try:
                    config.parse(text.encode("utf-8", "surrogatepass"), "streamd.yaml", tmp_path)
                except ConfigError as error:
                    mistakes = error.mistakes
                assert all(line.startswith("streamd.yaml") and "\n" not in line for line in mistakes)
            n_refused += bool(mistakes)
        kept.notes["of them refused"] = n_refused


def test_a_damaged_model_is_refused_in_one_line(scene: Scene, tmp_path: Path) -> None:
    how = (
        "a model cut off, or with one to eight bytes changed: refused in one line, or it gives its golden answer again"
    )
    good = scene.model.read_bytes()
    with faults("bad_model", 9, "damaged model", how, through="real", long=200, short=20) as kept:
        n_refused = 0
        for i in range(kept.n):
            chance = random.Random(i)
            data = bytearray(good if chance.random() < 0.8 else good[: chance.randrange(len(good))])
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            file = tmp_path / "model.onnx"
            file.write_bytes(data)
            reason = ""
            with kept.injection():
                try:
                    Model(file, "cpu")
                except ModelError as error:
                    reason = str(error)
                assert "\n" not in reason
            n_refused += bool(reason)
        kept.notes["of them refused"] = n_refused


def test_a_microphone_of_any_rate_hears_the_same(scene: Scene, tmp_path: Path) -> None:
    how = "the tones at a rate from 5.5 to 192 kHz, through a real agent; as many sounds are heard, in the same places"
    pcm, rate = soundfile.read(scene.recording)
    with faults("rates", 8, "sample rate mismatch", how, through="real", long=len(RATES), short=4) as kept:
        names = {f"r{rate}": rate for rate in RATES[: kept.n]}
        lines = []
        for name, other in names.items():
            common = np.gcd(rate, other)
            file = tmp_path / f"{name}.wav"
            soundfile.write(file, resample_poly(pcm, other // common, rate // common), other, subtype="PCM_16")
            lines.append(f"  {name}: {{recording: {file}, fast: true}}")
        onsets: dict[str, list[tuple[str, float]]] = {name: [] for name in names}
        with running(scene, scene.with_model("sources:\n" + "\n".join(lines))) as rig:
            over: set[str] = set()
            while over != names.keys():
                message = rig.wait(lambda message: isinstance(message, Event | State)).message
                if isinstance(message, Event) and message.phase == "onset":
                    onsets[message.source].append((message.label, message.onset_seconds))
                if has_status("ended")(message):
                    over.add(message.source)
            assert rig.ledger.n_hidden == 0
        # 5.5 and 6 kHz can't carry the highest tone, or hardly.
        for name, all_found in onsets.items():
            with kept.injection():
                expected, found = (
                    [one for one in each if one[0] != "High tone" or names[name] > 6_000]
                    for each in (onsets["r8000"], all_found)
                )
                assert [label for label, _ in found] == [label for label, _ in expected]
                places = [seconds for _, seconds in found]
                assert places == pytest.approx([seconds for _, seconds in expected], abs=scene.facts.hop_seconds)
        assert len(onsets["r8000"]) == 4


def test_a_lost_gpu_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    how = """what runs on the GPU fails while sounds are on (a stand-in; the loss of a real one was not tried):
        models are loaded again on the processor, events closed, `degraded` said, no audio lost"""
    with faults("gpu_lost", 10, "GPU lost", how, through="fake", long=30) as kept:
        for _ in range(kept.n):
            with (
                kept.injection() as one,
                a_context() as context,
                short_folder() as folder,
                ExitStack() as stack,
                monkeypatch.context() as patched,
            ):
                rig = Rig(stack, context, folder, "cpu", patched)
                rig.hear(LOUD)
                assert shapes(rig.told()) == [(*each, "onset", None) for each in BOTH]
                Gpu.lost = True
                began = time.monotonic()
                rig.hear(LOUD)
                one.recovery_seconds = time.monotonic() - began
                rig.hear(QUIET)
                told = rig.told()
                closed = sum(isinstance(each, Event) and each.phase == "offset" for each in told)
                one.n_hidden = 2 * len(BOTH) - closed
                assert {each.status for each in told if isinstance(each, State)} == {"degraded"}
                assert not any(isinstance(each, State) and each.gap for each in told)
