"""Recipes: what is written holds, what isn't stays as it was, and every mistake is told with its line, all at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from streamd.errors import ConfigError
from streamd.logmel import LogMelSpec
from training.design import choose
from training.design.pooling import Pooling
from training.prepare.labels import LabelRecipe
from training.prepare.simulation.chance import Range
from training.prepare.simulation.mix import MixRange
from training.prepare.simulation.pitch import PitchRange
from training.prepare.simulation.recipe import STAGES, Recipe
from training.prepare.simulation.room import RoomRange
from training.process.augmentation.mixup import Mixup
from training.process.augmentation.spec_augment import SpecAugment
from training.recipe import NETWORKS, NetworkRecipe, TrainingRecipe, parse, read_recipe


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "{}", "simulation:\nfit: {}\n"])
def test_an_empty_recipe_is_the_default(text):
    assert parse(text.encode(), "r.yaml") == TrainingRecipe() == read_recipe(None)
    assert TrainingRecipe().licence == "LicenseRef-unspecified"


def test_what_is_written_holds_and_the_rest_stays():
    recipe = parse(
        b"""
licence: GPL-3.0-or-later AND CC-BY-SA-4.0
labels: {join: {hit: [kick, tom]}, rename: {hh: hi-hat}, drop: [noise]}
trim: {above_floor_db: 6}
log_mel: {sample_rate: 8000, n_mels: 32}
simulation:
  codec: false
  pitch: true
  mix: {snr_db: [0, 30]}
network: {name: vgg, blocks: 3}
fit: {minutes: 5, pooling: max}
augmentation: {spec_augment: {max_bands: 4}, mixup: true, filter_augment: false}
""",
        "r.yaml",
    )
    assert recipe.licence == "GPL-3.0-or-later AND CC-BY-SA-4.0"
    assert recipe.labels == LabelRecipe({"hit": ["kick", "tom"]}, {"hh": "hi-hat"}, ["noise"])
    assert recipe.trim == replace(TrainingRecipe().trim, above_floor_db=6.0)
    assert recipe.log_mel == LogMelSpec(sample_rate=8000, n_mels=32, fmax=4000)
    assert recipe.simulation == replace(Recipe(), codec=None, pitch=PitchRange(), mix=MixRange(Range(0.0, 30.0)))
    assert recipe.network == NetworkRecipe("vgg", 3)
    assert (recipe.fit.minutes, recipe.fit.n_steps, recipe.fit.pooling) == (5.0, None, Pooling.MAX)
    assert recipe.says_how_long
    effects = (recipe.fit.spec_augment, recipe.fit.filter_augment, recipe.fit.mixup, recipe.fit.trim_bands)
    assert effects == (SpecAugment(max_bands=4), None, Mixup(), None)


def test_a_folder_of_recorded_rooms_lies_where_the_recipe_says(tmp_path):
    (tmp_path / "halls").mkdir()
    text = b"simulation: {room: {dry: 0.1, recorded: halls}}"
    with pytest.raises(ConfigError, match=r"room.recorded: found no WAV or FLAC in .*halls; expected imp"):
        parse(text, str(tmp_path / "r.yaml"))
    (tmp_path / "halls" / "kitchen.wav").touch()
    room = parse(text, str(tmp_path / "r.yaml")).simulation.room
    assert room == RoomRange(0.1, str(tmp_path / "halls"))
    (tmp_path / "own.yaml").write_text(f"simulation: {{room: {{recorded: {tmp_path / 'halls'}}}}}")
    assert read_recipe(tmp_path / "own.yaml").simulation.room == RoomRange(recorded=str(tmp_path / "halls"))


def test_the_networks_that_can_be_written_are_those_that_there_are():
    assert set(NETWORKS) == set(choose.NAMES)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_can_be_left_out_and_taken_in(stage):
    assert parse(f"simulation: {{{stage}: false}}".encode(), "r.yaml").simulation == Recipe().without(stage)
    assert getattr(parse(f"simulation: {{{stage}: true}}".encode(), "r.yaml").simulation, stage) is not None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lables: {}", "r.yaml:1: lables: unknown key; did you mean 'labels'?"),
        ("simulation:\n  codek: false", "r.yaml:2: simulation.codek: unknown key; did you mean 'codec'?"),
        ("simulation: {codec: 7}", "r.yaml:1: simulation.codec: found 7; expected true or false or a mapping"),
        ("simulation: {mix: {clean: 2}}", "r.yaml:1: simulation.mix.clean: found 2; expected a number from 0 to 1"),
        (
            "simulation:\n  mix:\n    snr_db: [30, 0]",
            "r.yaml:3: simulation.mix.snr_db: a range from 30.0 to 0.0 is empty; expected low ≤ high",
        ),
        (
            "simulation: {gain: {db: 6}}",
            "r.yaml:1: simulation.gain.db: found 6; expected a list of two numbers, [lowest, highest]",
        ),
        (
            "simulation: {gain: {db: [6]}}",
            "r.yaml:1: simulation.gain.db: found a list of 1; expected two numbers, [lowest, highest]",
        ),
        (
            "simulation: {speed: {factor: [0, 1]}}",
            "r.yaml:1: simulation.speed.factor: found 0; expected numbers above 0",
        ),
        (
            "simulation: {seconds: 1000}",
            "r.yaml:1: simulation.seconds: found 1000; expected seconds, above 0 and up to 600",
        ),
        (
            "simulation: {microphone: {kinds: [fon]}}",
            "r.yaml:1: simulation.microphone.kinds[0]: found 'fon'; expected electret or far or flat or laptop or",
        ),
        (
            "log_mel: {fmax: 9000}",
            "r.yaml:1: log_mel: fmin 50.0 and fmax 9000.0 Hz; expected 0 ≤ fmin < fmax ≤ 8000.0",
        ),
        (
            "network: {name: vg}",
            "r.yaml:1: network.name: found 'vg'; expected crnn or fine-tuned or pretrained or tc-resnet or vgg",
        ),
        ("network: {name: vgg, blocks: 7}", "r.yaml:1: network.blocks: found 7; expected a whole number from 1 to 6"),
        (
            "network: {name: crnn, blocks: 2}",
            "r.yaml:1: network.blocks: found 2 for a crnn; expected none: only vgg and tc-resnet have a depth to",
        ),
        (
            "network: {name: pretrained}\nlog_mel: {n_mels: 32}",
            "r.yaml:2: log_mel: a pretrained network brings its own log-mel; leave this out, or take another network",
        ),
        ("fit: {minutes: 1, n_steps: 2}", "r.yaml:1: fit.n_steps: minutes are given, too; one of the two has to go"),
        ("fit: {n_steps: 5, batch: 0}", "r.yaml:1: fit: batch 0; expected a positive number"),
        (
            "labels:\n  join: {a: [b]}\n  drop: [b]",
            "r.yaml:3: labels.drop[0]: the label 'b' is named twice; join, rename or drop it",
        ),
        (
            "augmentation: {mixup: {alpha: -1}}",
            "r.yaml:1: augmentation.mixup.alpha: found -1; expected a number above 0",
        ),
        (
            "augmentation: {filter_augment: {n_stretches: [3]}}",
            "r.yaml:1: augmentation.filter_augment.n_stretches: found a list of 1; expected one of 2",
        ),
        ("fit: {batch: 2}", "r.yaml:1: fit: batch 2; expected 3 or more"),
        (
            "licence: 'GPL/3'",
            "r.yaml:1: licence: found 'GPL/3'; expected an SPDX expression, such as CC-BY-SA-4.0",
        ),
        ("fit: !!python/object:os.system {}", "r.yaml:1: fit: found the tag"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(text, line):
    with pytest.raises(ConfigError) as error:
        parse(text.encode(), "r.yaml")
    (told,) = error.value.mistakes
    assert told.startswith(line)


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines():
    with pytest.raises(ConfigError) as error:
        parse(b"fit: {batch: x}\nnetwork: {name: 3}\nlog_mel: {n_mels: 0}\n", "r.yaml")
    assert [told.split(": ")[0] for told in error.value.mistakes] == ["r.yaml:1", "r.yaml:2", "r.yaml:3"]


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(
        ConfigError, match=r"none\.yaml: can't be read \(No such file or directory\); expected a recipe"
    ):
        read_recipe(tmp_path / "none.yaml")


KEYS = ["labels", "trim", "simulation", "fit", "mix", "snr_db", "codec", "log_mel", "n_mels", "fmax", "join", "x"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**7) | st.floats() | st.sampled_from(["vgg", "", "a: b", "0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "network", "augmentation"]), VALUES, max_size=5))
def test_whatever_is_written_gives_a_recipe_or_lines(value):
    import yaml

    _read_or_refused(yaml.safe_dump(value).encode())


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_are_too_strange(data):
    _read_or_refused(data)


def _read_or_refused(data: bytes) -> None:
    mistakes: list[str] = []
    try:
        recipe = parse(data, "r.yaml")
    except ConfigError as error:
        mistakes = error.mistakes
    else:
        assert isinstance(recipe, TrainingRecipe)
    assert all(told.startswith("r.yaml") and "\n" not in told for told in mistakes)
