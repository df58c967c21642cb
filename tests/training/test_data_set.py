"""Bad data sets get one clear line; recipes change labels."""

from __future__ import annotations

import pytest

from streamd.errors import DataError
from tests.training.trees import folders, recording, text
from training.prepare.data_set import read_data
from training.prepare.labels import LabelRecipe


def refusal(data, **how):
    with pytest.raises(DataError) as raised:
        read_data(data, **how)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert "nowhere: No such file or directory; expected a folder" in refusal(tmp_path / "nowhere")


def test_an_empty_folder_is_told_what_to_hold(tmp_path):
    assert "expected DATA/<label>/*.wav" in refusal(tmp_path)


def test_recordings_without_a_folder_are_counted(tmp_path):
    for i in range(3):
        recording(tmp_path / f"{i}.wav")
    assert "found 3 recordings and no folder of a label" in refusal(tmp_path)


def test_background_alone_is_no_data_set(tmp_path):
    assert "no folder of a label" in refusal(folders(tmp_path, background=2))


def test_a_label_without_clips_is_named(tmp_path):
    folders(tmp_path, knock=2)
    text(tmp_path / "cough" / "todo.txt", "record some")
    assert "cough: found no recording in this label's folder" in refusal(tmp_path)


def test_a_label_with_one_clip_is_named(tmp_path):
    assert "the label 'cough' has one clip; expected at least two" in refusal(folders(tmp_path, knock=2, cough=1))


def test_recordings_that_cannot_be_read_are_named_and_counted(tmp_path):
    folders(tmp_path, knock=2)
    whole = recording(tmp_path / "knock" / "cut.wav", 2.0)
    whole.write_bytes(whole.read_bytes()[:1000])
    text(tmp_path / "knock" / "phone.m4a", "not audio at all")
    message = refusal(tmp_path)
    assert "knock/cut.wav: the file is cut off" in message
    assert "1 more can't be read" in message


def test_a_layout_nobody_knows_is_refused_with_the_likely_one(tmp_path):
    assert "did you mean 'esc-50'?" in refusal(folders(tmp_path, knock=2), layout="esc50")


def test_a_recipe_joins_renames_and_drops(tmp_path):
    folders(tmp_path, car=2, bus=1, dog_bark=2, siren=1, background=1)
    recipe = LabelRecipe(join={"vehicle": ["car", "bus"]}, rename={"dog_bark": "Dog"}, drop=["siren"])
    labels = {(clip.path.name, clip.label) for clip in read_data(tmp_path, labels=recipe).clips}
    assert labels == {
        ("car0.wav", "vehicle"),
        ("car1.wav", "vehicle"),
        ("bus0.wav", "vehicle"),
        ("dog_bark0.wav", "Dog"),
        ("dog_bark1.wav", "Dog"),
        ("background0.wav", None),
    }


def test_one_sound_with_two_joined_labels_stays_one_clip(tmp_path):
    for name in ("a", "b"):
        recording(tmp_path / f"{name}.wav")
    text(tmp_path / "labels.csv", "path,label", "a.wav,car", "a.wav,motor", "b.wav,car")
    clips = read_data(tmp_path, labels=LabelRecipe(join={"vehicle": ["car", "motor"]})).clips
    assert [(clip.path.name, clip.label) for clip in clips] == [("a.wav", "vehicle"), ("b.wav", "vehicle")]


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (LabelRecipe(drop=["knok"]), "the label 'knok', which no clip has; did you mean 'knock'?"),
        (LabelRecipe(drop=["knock"], rename={"knock": "hit"}), "the label 'knock' twice"),
        (LabelRecipe(rename={"knock": "cough"}), "renames 'knock' to 'cough', which is another label"),
        (LabelRecipe(drop=["knock", "cough"]), "found background only"),
    ],
)
def test_a_recipe_that_fits_no_label_is_refused(tmp_path, recipe, told):
    assert told in refusal(folders(tmp_path, knock=2, cough=2), labels=recipe)
