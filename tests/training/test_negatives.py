"""Recordings out of Debian packages: what is fetched, unpacked and put into streams."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("soxr")

from training.prepare import negatives
from training.prepare.negatives import PAUSE_SECONDS, SAMPLE_RATE, Package, origins, prepare, unpack

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not here")


def recording(path: Path, seed: int) -> Path:
    """A second of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, SAMPLE_RATE).clip(-1, 1)
    soundfile.write(path, noise, SAMPLE_RATE, subtype="PCM_16")
    return path


def packed(cache: Path, name: str, files: Path) -> None:
    """Build a Debian package of a folder where it would have been downloaded to."""
    control = files / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n")
    (cache / "packages").mkdir(parents=True, exist_ok=True)
    deb = cache / "packages" / f"{name}_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", files, deb], check=True, capture_output=True)


@pytest.fixture
def game(tmp_path: Path) -> Package:
    """A game with its music in a zip: two tracks, one of them twice, an effect and a picture."""
    files, music = tmp_path / "game", tmp_path / "zipped"
    archive = files / "usr" / "share" / "game" / "data.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as members:
        members.write(recording(music / "a.wav", 1), "music/a.wav")
        members.write(recording(music / "b.wav", 2), "music/calm/b.wav")
        members.write(music / "a.wav", "music/again.wav")
        members.write(recording(music / "shot.wav", 3), "effects/shot.wav")
        members.writestr("picture.png", b"x" * 1000)
    packed(tmp_path / "cache", "game", files)
    return Package("game", "music", "GPL-2", ("**/music/**/*.wav",), archive="usr/share/game/data.zip")


def test_of_an_archive_in_a_package_only_the_recordings_are_unpacked(game: Package, tmp_path: Path) -> None:
    root = unpack(game, tmp_path / "cache")
    files = sorted(path.name for path in root.rglob("*") if path.is_file())
    assert files == ["a.wav", "again.wav", "b.wav"]
    assert unpack(game, tmp_path / "cache") == root


def test_a_package_that_is_only_counted_on_is_heard_whole_and_copies_once(
    game: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negatives, "PACKAGES", ())
    monkeypatch.setattr(negatives, "COUNTED", (game,))
    monkeypatch.setattr(negatives, "MADE", {})
    [stream] = prepare(tmp_path / "cache")
    assert (stream.name, stream.kind, stream.half) == ("game", "music", "check")
    assert len(stream.samples()) == 2 * (1 + PAUSE_SECONDS) * SAMPLE_RATE
    assert stream.recorded_hours() * 3600 == pytest.approx(2, abs=1e-3)
    [origin] = origins(tmp_path / "cache")
    assert (origin.name, origin.version, origin.licence, len(origin.sha256)) == ("game", "1.0", "GPL-2", 64)


def test_a_package_that_chooses_is_halved_by_file(
    game: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negatives, "PACKAGES", (game,))
    monkeypatch.setattr(negatives, "COUNTED", ())
    monkeypatch.setattr(negatives, "MADE", {})
    halves = prepare(tmp_path / "cache")
    assert [one.half for one in halves] == ["choose", "check"]
    assert [len(one.samples()) for one in halves] == [(1 + PAUSE_SECONDS) * SAMPLE_RATE] * 2
    assert not np.array_equal(halves[0].samples(), halves[1].samples())


def test_nothing_is_counted_on_that_chose() -> None:
    names = [one.name for one in (*negatives.PACKAGES, *negatives.COUNTED)]
    assert len(names) == len(set(names))
