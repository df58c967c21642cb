"""Scenes from several processes: the same as from one, in order, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from training.prepare.clips import Clip
from training.prepare.simulation import scene
from training.prepare.simulation.conditions import Conditions
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.noise import ColouredNoise
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.room import room_of
from training.prepare.simulation.rooms import compute_rooms, draw_bank
from training.prepare.simulation.shoebox import ShoeboxRange
from training.prepare.simulation.workers import AHEAD, N_SHARED, SimulationError, Workers

RATE = 8000


def conditions(name="some", seed=0):
    sounds = [
        Sound(Clip(Path(f"{i}.wav"), "ab"[i % 2], None, None, None, None), ColouredNoise(0, seed + i).make(2000, RATE))
        for i in range(4)
    ]
    rooms = [room_of("room", np.array([0, 1, 0.3, -0.2], np.float32), RATE)]
    background = 0.1 * ColouredNoise(1, 9).make(40_000, RATE)
    recipe = replace(Recipe(), seconds=1.0)
    return Conditions(name, recipe, Material(RATE, sounds, rooms, np.zeros(0, np.float32), [background]))


SOME = conditions()


@pytest.fixture(scope="module")
def two():
    with Workers(2) as workers:
        yield workers


def assert_same(scenes, others):
    for one, other in zip(scenes, others, strict=True):
        np.testing.assert_array_equal(one.audio, other.audio)
        assert one.labels == other.labels


def made_here(begin, n, seed=1, name="item", of=SOME):
    return [scene.make(of.recipe, of.material, seed, f"{name}/{i}") for i in range(begin, begin + n)]


@pytest.fixture(scope="module")
def none():
    with Workers(0) as workers:
        yield workers


@pytest.fixture(scope="module")
def one():
    with Workers(1) as workers:
        yield workers


@pytest.mark.parametrize("n_workers", ["none", "one", "two"])
def test_any_number_of_workers_makes_the_same_scenes_in_the_same_order(n_workers, request):
    workers = request.getfixturevalue(n_workers)
    assert_same(workers.scenes(SOME, 1, "item", 3, 20), made_here(3, 20))
    whole = scene.negatives(SOME.recipe, SOME.material, 1, "quiet", 5.0)
    assert_same(workers.negatives(SOME, 1, "quiet", 0, 5), whole)


def test_asked_for_in_pieces_or_again_they_are_the_same(two):
    pieces = [one for begin in range(0, 12, 4) for one in two.scenes(SOME, 1, "item", begin, 4)]
    assert_same(pieces, made_here(0, 12))
    assert_same(two.scenes(SOME, 1, "item", 2, 3), made_here(2, 3))
    assert_same(two.scenes(SOME, 1, "item", 100, 3), made_here(100, 3))


def test_several_streams_of_scenes_are_read_side_by_side(two):
    other = conditions("other", seed=50)
    streams = [two.scenes(SOME, 1, "item", 0, 10), two.scenes(other, 2, "more", 0, 10)]
    pairs = list(zip(*streams, strict=True))
    assert_same([one for one, _ in pairs], made_here(0, 10))
    assert_same([one for _, one in pairs], made_here(0, 10, 2, "more", other))


def test_more_streams_than_are_kept_are_made_again(two):
    for name in "abcdefgh" * 2:
        assert_same(two.scenes(SOME, 1, name, 0, 2), made_here(0, 2, name=name))


def test_no_more_is_made_than_a_few_ahead(two, monkeypatch):
    asked = []
    monkeypatch.setattr(two, "run", lambda *task: (asked.append(task), Workers.run(two, *task))[1])
    scenes = two.scenes(SOME, 1, "slow reader", 0, 1000)
    for n_read in range(1, 20):
        next(scenes)
        assert len(asked) == 2 * AHEAD + n_read - 1


def test_material_is_mapped_and_cannot_be_changed(two):
    shared = two.share(SOME)
    assert two.share(SOME) == shared
    assert two.run(_is_read_only, shared).result()
    assert two.run(_has_torch).result() is False


def test_material_of_long_ago_is_let_go_and_shared_again_when_it_is_asked_for(two):
    def mapped():
        deleted = [process.memory_maps(grouped=False) for process in children()]
        return max(sum("streamd-scenes" in one.path for one in maps) for maps in deleted)

    several = [conditions(seed=10 * i) for i in range(N_SHARED + 3)]
    streams = [two.scenes(one, 1, "item", 0, 30) for one in several]
    firsts = [next(one) for one in streams]
    seconds = [next(one) for one in streams]
    for one, *found in zip(several, firsts, seconds, strict=True):
        assert_same(found, made_here(0, 2, of=one))
    list(streams[0])
    assert 1 <= mapped() <= N_SHARED + 1  # one may be on its way


def test_halls_are_computed_by_workers_and_are_the_same(two, tmp_path):
    boxes = draw_bank(5, 3, ShoeboxRange())
    rooms = compute_rooms(boxes, RATE, "hybrid", tmp_path / "two", two)
    for room, other in zip(rooms, compute_rooms(boxes, RATE, "hybrid", tmp_path / "here"), strict=True):
        np.testing.assert_array_equal(room.response, other.response)
        assert room.name == other.name


def _is_read_only(given):
    arrays = [sound.audio for sound in given.material.sounds] + [given.material.rooms[0].response]
    return not any(array.flags.writeable or array.flags.owndata for array in arrays)


def _has_torch():
    return "torch" in sys.modules


IMPOSSIBLE = replace(SOME, recipe=replace(SOME.recipe, ambience=replace(SOME.recipe.ambience, kinds=("babble",))))


@pytest.mark.parametrize("n_workers", ["none", "two"])
def test_an_error_reaches_the_reader_as_one_line_and_the_workers_go_on(n_workers, request):
    workers = request.getfixturevalue(n_workers)
    with pytest.raises(SimulationError, match=r"the scene bad/\d can't be made: ValueError: no noise can be made") as e:
        list(workers.scenes(IMPOSSIBLE, 1, "bad", 0, 10))
    assert "\n" not in str(e.value)
    assert_same(workers.scenes(SOME, 1, "item", 0, 3), made_here(0, 3))


def children():
    return [one for one in psutil.Process().children() if "simulation.worker" in " ".join(one.cmdline())]


def test_a_reader_that_stops_early_leaves_no_process_no_thread_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before, n_threads = {one.pid for one in children()}, threading.active_count()
    with Workers(1) as workers:
        next(workers.scenes(SOME, 1, "item", 0, 1000))
        own = [one for one in children() if one.pid not in before]
        assert len(own) == 1
        assert list(tmp_path.iterdir()) == []
    assert not any(one.is_running() for one in own)
    assert threading.active_count() == n_threads


def test_a_worker_that_is_killed_is_told_of():
    before = {one.pid for one in children()}
    with Workers(1) as workers:
        scenes = workers.scenes(SOME, 1, "item", 0, 1000)
        next(scenes)
        [one] = [one for one in children() if one.pid not in before]
        one.kill()
        with pytest.raises(SimulationError, match=r"the scene item/\d+ can't be made: .*ended by itself, with -9"):
            list(scenes)
        with pytest.raises(SimulationError, match="ended by itself"):
            list(workers.scenes(SOME, 1, "other", 0, 10))


PARENT = """
import sys, threading
from tests.training.simulation.test_workers import SOME, Workers, children
with Workers(2) as workers:
    next(workers.scenes(SOME, 1, "item", 0, 1000))
    print(*(one.pid for one in children()), flush=True)
    threading.Event().wait()
"""


def test_the_workers_of_a_parent_that_was_killed_end_and_leave_no_file(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment, **pipes) as parent:
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert not alive
        assert parent.stderr.read() == b""
    assert list(tmp_path.iterdir()) == []


def test_what_a_library_prints_does_not_come_between_the_results(two):
    assert two.run(_printing, 7).result() == 7


def _printing(number):
    print("hello")
    return number
