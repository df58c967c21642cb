"""Each layout is read from a tiny tree made as the data set's own documentation shows it."""

from __future__ import annotations

import pytest

from streamd.errors import DataError
from tests.training.trees import folders, recording, text
from training.prepare.data_set import read_data


def rows(data_set, root):
    """Clips as tuples that are easy to compare: path below the root, label, onset, offset, source, split."""
    return {
        (c.path.relative_to(root).as_posix(), c.label, c.onset_seconds, c.offset_seconds, c.source, c.split)
        for c in data_set.clips
    }


def test_a_folder_per_label_is_read_with_its_background_and_subfolders(tmp_path):
    folders(tmp_path, knock=2, background=1)
    recording(tmp_path / "knock" / "monday" / "a.flac")
    text(tmp_path / "knock" / "notes.txt", "not a clip")
    text(tmp_path / "knock" / ".DS_Store", "nor this")
    found = read_data(tmp_path)
    assert found.layout == "folders"
    assert rows(found, tmp_path) == {
        ("knock/knock0.wav", "knock", None, None, None, None),
        ("knock/knock1.wav", "knock", None, None, None, None),
        ("knock/monday/a.flac", "knock", None, None, None, None),
        ("background/background0.wav", None, None, None, None, None),
    }


def test_labels_csv_beside_folders_gives_the_sources(tmp_path):
    folders(tmp_path, knock=2)
    text(tmp_path / "labels.csv", "path,source", "knock/knock0.wav,front door")
    assert {c.path.name: c.source for c in read_data(tmp_path).clips} == {
        "knock0.wav": "front door",
        "knock1.wav": None,
    }


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_users_own_table_is_read_with_all_its_columns(tmp_path, separator):
    recording(tmp_path / "tape 1.wav", 3.0)
    recording(tmp_path / "hum.wav")
    lines = [
        ["path", "label", "onset", "offset", "source", "split", "remark"],
        ["tape 1.wav", "Knock", "0.5", "1.25", "tape", "a", "loud"],
        ["tape 1", "Knock", "2", "2.5", "tape", "a", ""],
        ["hum.wav", "", "", "", "", "", ""],
        ["hum.wav", "background", "", "", "tape", "", ""],
    ]
    text(tmp_path / "labels.csv", "\ufeff" + separator.join(lines[0]), *map(separator.join, lines[1:]))
    found = read_data(tmp_path)
    assert found.layout == "labels.csv"
    assert rows(found, tmp_path) == {
        ("tape 1.wav", "Knock", 0.5, 1.25, "tape", "a"),
        ("tape 1.wav", "Knock", 2.0, 2.5, "tape", "a"),
        ("hum.wav", None, None, None, None, None),
        ("hum.wav", None, None, None, "tape", None),
    }


def test_the_least_table_has_path_and_label(tmp_path):
    for name in "ab":
        recording(tmp_path / f"{name}.wav")
    text(tmp_path / "labels.csv", "path,label", "a.wav,x", "b.wav,x")
    assert rows(read_data(tmp_path), tmp_path) == {(f"{name}.wav", "x", None, None, None, None) for name in "ab"}


def test_esc_50(tmp_path):
    for name in ("1-100032-A-0.wav", "2-100038-A-0.wav"):
        recording(tmp_path / "audio" / name)
    text(
        tmp_path / "meta/esc50.csv",
        "filename,fold,target,category,esc10,src_file,take",
        "1-100032-A-0.wav,1,0,dog,True,100032,A",
        "2-100038-A-0.wav,2,0,dog,True,100038,A",
    )
    found = read_data(tmp_path)
    assert found.layout == "esc-50"
    assert rows(found, tmp_path) == {
        ("audio/1-100032-A-0.wav", "dog", None, None, "100032", "1"),
        ("audio/2-100038-A-0.wav", "dog", None, None, "100038", "2"),
    }


def test_urbansound8k(tmp_path):
    recording(tmp_path / "audio/fold5/100032-3-0-0.wav")
    recording(tmp_path / "audio/fold6/100263-3-0-3.wav")
    text(
        tmp_path / "metadata/UrbanSound8K.csv",
        "slice_file_name,fsID,start,end,salience,fold,classID,class",
        "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark",
        "100263-3-0-3.wav,100263,58.5,62.5,1,6,3,dog_bark",
    )
    found = read_data(tmp_path)
    assert found.layout == "urbansound8k"
    assert rows(found, tmp_path) == {
        ("audio/fold5/100032-3-0-0.wav", "dog_bark", None, None, "100032", "5"),
        ("audio/fold6/100263-3-0-3.wav", "dog_bark", None, None, "100263", "6"),
    }


def test_speech_commands(tmp_path):
    for name in ("yes/0a7c2a8d_nohash_0.wav", "yes/0a7c2a8d_nohash_1.wav", "yes/105a0eea_nohash_0.wav"):
        recording(tmp_path / name)
    recording(tmp_path / "yes/1eddce1d_nohash_3.wav")
    recording(tmp_path / "_background_noise_/pink_noise.wav")
    text(tmp_path / "_background_noise_/README.md", "licences")
    text(tmp_path / "validation_list.txt", "yes/105a0eea_nohash_0.wav")
    text(tmp_path / "testing_list.txt", "yes/1eddce1d_nohash_3.wav")
    found = read_data(tmp_path)
    assert found.layout == "speech-commands"
    assert rows(found, tmp_path) == {
        ("yes/0a7c2a8d_nohash_0.wav", "yes", None, None, "0a7c2a8d", "train"),
        ("yes/0a7c2a8d_nohash_1.wav", "yes", None, None, "0a7c2a8d", "train"),
        ("yes/105a0eea_nohash_0.wav", "yes", None, None, "105a0eea", "validation"),
        ("yes/1eddce1d_nohash_3.wav", "yes", None, None, "1eddce1d", "test"),
        ("_background_noise_/pink_noise.wav", None, None, None, None, "train"),
    }


def test_fsd50k(tmp_path):
    for name in ("dev_audio/64760.wav", "dev_audio/16399.wav", "eval_audio/37199.wav"):
        recording(tmp_path / f"FSD50K.{name}")
    text(
        tmp_path / "FSD50K.ground_truth/dev.csv",
        "fname,labels,mids,split",
        '64760,"Electric_guitar,Music","/m/02sgy,/m/04rlf",train',
        "16399,Electric_guitar,/m/02sgy,val",
    )
    text(
        tmp_path / "FSD50K.ground_truth/eval.csv",
        "fname,labels,mids",
        '37199,"Electric_guitar,Music","/m/02sgy,/m/04rlf"',
    )
    found = read_data(tmp_path)
    assert found.layout == "fsd50k"
    assert rows(found, tmp_path) == {
        ("FSD50K.dev_audio/64760.wav", "Electric_guitar", None, None, "64760", "train"),
        ("FSD50K.dev_audio/64760.wav", "Music", None, None, "64760", "train"),
        ("FSD50K.dev_audio/16399.wav", "Electric_guitar", None, None, "16399", "val"),
        ("FSD50K.eval_audio/37199.wav", "Electric_guitar", None, None, "37199", "test"),
        ("FSD50K.eval_audio/37199.wav", "Music", None, None, "37199", "test"),
    }


def test_audioset_strong_labels_of_the_recordings_that_somebody_has(tmp_path):
    recording(tmp_path / "audio/b0RFKhbpFJA_30000.flac", 10.0)
    text(
        tmp_path / "audioset_eval_strong.tsv",
        "segment_id\tstart_time_seconds\tend_time_seconds\tlabel",
        "b0RFKhbpFJA_30000\t0.000\t9.000\t/m/03m9d0z",
        "b0RFKhbpFJA_30000\t4.753\t5.720\t/m/03m9d0z",
        "withdrawn99_30000\t4.753\t5.720\t/m/03m9d0z",
    )
    found = read_data(tmp_path)
    assert found.layout == "audioset"
    assert rows(found, tmp_path) == {
        ("audio/b0RFKhbpFJA_30000.flac", "/m/03m9d0z", 0.0, 9.0, "b0RFKhbpFJA", "eval"),
        ("audio/b0RFKhbpFJA_30000.flac", "/m/03m9d0z", 4.753, 5.72, "b0RFKhbpFJA", "eval"),
    }
    assert found.notes == ["audioset_eval_strong.tsv: 1 of 3 rows name a recording that isn't here"]


def test_desed_with_strong_weak_and_missing_labels(tmp_path):
    recording(tmp_path / "audio/train/weak/Y--4gqARaEJE_0.000_10.000.wav")
    for name in ("10.wav", "11.wav"):
        recording(tmp_path / f"audio/train/synthetic21_train/soundscapes/{name}", 10.0)
    recording(tmp_path / "audio/validation/validation/Y-0Sm_EtAm4c_30.000_40.000.wav", 10.0)
    recording(tmp_path / "audio/train/unlabel_in_domain/Y-1111111111_0.000_10.000.wav")
    text(
        tmp_path / "metadata/train/weak.tsv",
        "filename\tevent_labels",
        "Y--4gqARaEJE_0.000_10.000.wav\tDog,Speech",
    )
    text(
        tmp_path / "metadata/train/synthetic21_train/soundscapes.tsv",
        "filename\tonset\toffset\tevent_label",
        "10.wav\t2.005\t4.016\tDog",
        "11.wav\t\t\t",
    )
    text(
        tmp_path / "metadata/validation/validation.tsv",
        "filename\tonset\toffset\tevent_label",
        "Y-0Sm_EtAm4c_30.000_40.000.wav\t0.0\t2.5\tSpeech",
    )
    text(tmp_path / "metadata/train/unlabel_in_domain.tsv", "filename", "Y-1111111111_0.000_10.000.wav")
    found = read_data(tmp_path)
    assert found.layout == "desed"
    scenes = "audio/train/synthetic21_train/soundscapes"
    weak = "audio/train/weak/Y--4gqARaEJE_0.000_10.000.wav"
    strong = "audio/validation/validation/Y-0Sm_EtAm4c_30.000_40.000.wav"
    assert rows(found, tmp_path) == {
        (weak, "Dog", None, None, "--4gqARaEJE", "train"),
        (weak, "Speech", None, None, "--4gqARaEJE", "train"),
        (f"{scenes}/10.wav", "Dog", 2.005, 4.016, None, "train"),
        (f"{scenes}/11.wav", None, None, None, None, "train"),
        (strong, "Speech", 0.0, 2.5, "-0Sm_EtAm4c", "validation"),
    }


def test_audacity_label_tracks_beside_their_recordings(tmp_path):
    recording(tmp_path / "kitchen.wav", 3.0)
    recording(tmp_path / "hall/evening.ogg", 3.0)
    text(tmp_path / "README.txt", "Recorded in the house.")
    text(tmp_path / "kitchen.txt", '0.500000\t0.750000\tthe "knock"', "\\\t200.0\t4000.0")
    text(tmp_path / "hall/evening.txt", '1,5\t2,5\tthe "knock"')
    found = read_data(tmp_path)
    assert found.layout == "audacity"
    assert rows(found, tmp_path) == {
        ("kitchen.wav", 'the "knock"', 0.5, 0.75, "kitchen", None),
        ("hall/evening.ogg", 'the "knock"', 1.5, 2.5, "hall/evening", None),
    }


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["path,lable", "a.wav,x"], "column 'label' is missing; found lable, path; did you mean 'lable'"),
        (["file,label,source", "a.wav,x,y"], "column 'path' is missing; found file, label, source"),
        (["path,label,onest,offset", "a.wav,x,0,1"], "unknown column 'onest'; did you mean 'onset'?"),
        (["path,label,onset,offset", "a.wav,x,1,0.5"], r"labels.csv:2: found onset 1 s and offset 0.5 s"),
        (["path,label,onset,offset", "a.wav,x,0.5,"], r"labels.csv:2: found onset '0.5' and offset ''"),
        (["path,label,onset,offset", "a.wav,x,0,nan"], r"labels.csv:2: found onset 0 s and offset nan s"),
        (["path,label", "a.wav,x", "gone.wav,x", "lost.wav,y"], "2 of its 3 rows name a recording that isn't there"),
        (["path,label"], "found no clip through labels.csv"),
        (["path,label,onset,offset", "a.wav,x,0,0.05", "a.wav,x,5,6"], "'x' begins at 5 s, after the recording's end"),
    ],
)
def test_a_bad_table_gets_one_line_that_says_where_and_what(tmp_path, lines, told):
    recording(tmp_path / "a.wav")
    text(tmp_path / "labels.csv", *lines)
    with pytest.raises(DataError, match=told) as raised:
        read_data(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_source_for_a_clip_that_is_not_there_is_refused(tmp_path):
    folders(tmp_path, knock=2)
    text(tmp_path / "labels.csv", "path,source", "knock/nock0.wav,front door")
    with pytest.raises(DataError, match=r"nock0\.wav: there is no such recording"):
        read_data(tmp_path)
