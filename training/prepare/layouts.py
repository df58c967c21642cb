"""How data sets lie on a disk: a folder per label, or tables; and the layouts of well-known data sets, by name.

Names of columns and official folds are those of the data sets' own documentation: ESC-50 (Piczak 2015), UrbanSound8K
(Salamon 2014), Speech Commands (Warden 2018), FSD50K (Fonseca 2022), AudioSet's strong labels (Hershey 2021),
DESED (Turpault 2019), Audacity's manual on label tracks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FolderLayout:
    """A folder per label: DATA/<label>/**, any depth."""

    background: str = "background"
    """The folder of recordings without the sound; it need not be there."""
    source: str = ""
    """A pattern on a file's stem whose first group is the source; where it doesn't match, the source is open."""
    split_lists: tuple[tuple[str, str], ...] = ()
    """(file, split): text files that list recordings, one a line, relative to DATA."""
    other_split: str | None = None
    """The split of what no list names."""


@dataclass(frozen=True)
class TableLayout:
    """Tables with a row for each sound.

    `recording`, `label`, `onset`, `offset`, `source` and `split` are texts in which {column} stands for a cell and
    {table} for the table's path without its suffix, from the first star of `tables` on, and {table_folder} for that
    path's first folder. An empty result means that the data set doesn't say; without a label: background.
    """

    tables: str
    """Pattern of the tables' paths below DATA."""
    recording: str
    """Path below DATA; a suffix that it lacks is found."""
    label: str
    onset: str = ""
    offset: str = ""
    source: str = ""
    split: str = ""
    columns: tuple[str, ...] = ()
    """The columns, where the tables have no header."""
    label_separator: str = ""
    """What stands between several labels in one cell; each becomes a clip."""
    source_pattern: str = ""
    """As FolderLayout.source, on what `source` gives."""
    may_lack_recordings: bool = False
    """True where nobody has all recordings of the tables: rows without one are counted, not refused."""


Layout = FolderLayout | tuple[TableLayout, ...]

OWN_TABLE = TableLayout(
    "labels.csv", "{path}", "{label}", onset="{onset}", offset="{offset}", source="{source}", split="{split}"
)
"""A user's own table: labels.csv with path and label, and onset, offset, source and split where there are any."""

PRESETS: dict[str, Layout] = {
    "esc-50": (TableLayout("meta/esc50.csv", "audio/{filename}", "{category}", source="{src_file}", split="{fold}"),),
    # Its start and end lie in the long recording that a slice was cut from, so they are no onset and offset.
    "urbansound8k": (
        TableLayout(
            "metadata/UrbanSound8K.csv",
            "audio/fold{fold}/{slice_file_name}",
            "{class}",
            source="{fsID}",
            split="{fold}",
        ),
    ),
    "speech-commands": FolderLayout(
        background="_background_noise_",
        source="^(.+)_nohash_",  # the speaker
        split_lists=(("validation_list.txt", "validation"), ("testing_list.txt", "test")),
        other_split="train",
    ),
    # A file is one upload to Freesound; the official splits keep uploaders apart.
    "fsd50k": (
        TableLayout(
            "FSD50K.ground_truth/dev.csv",
            "FSD50K.dev_audio/{fname}.wav",
            "{labels}",
            source="{fname}",
            split="{split}",
            label_separator=",",
        ),
        TableLayout(
            "FSD50K.ground_truth/eval.csv",
            "FSD50K.eval_audio/{fname}.wav",
            "{labels}",
            source="{fname}",
            split="test",
            label_separator=",",
        ),
    ),
    # Labels are identifiers such as /m/09x0r; a recipe gives them names.
    "audioset": tuple(
        TableLayout(
            f"audioset_{split}_strong.tsv",
            "audio/{segment_id}",
            "{label}",
            onset="{start_time_seconds}",
            offset="{end_time_seconds}",
            source="{segment_id}",
            source_pattern="^(.{11})_",  # the video
            split=split,
            may_lack_recordings=True,
        )
        for split in ("train", "eval")
    ),
    # metadata/X.tsv is about audio/X/; a row without a label is a recording in which nothing happens.
    "desed": (
        TableLayout(
            "metadata/**/*.tsv",
            "audio/{table}/{filename}",
            "{event_label}{event_labels}",
            onset="{onset}",
            offset="{offset}",
            source="{filename}",
            source_pattern="^Y?(.{11})_[0-9.]+_",  # the video, where it is one
            split="{table_folder}",
            label_separator=",",
            may_lack_recordings=True,
        ),
    ),
    # x.txt beside x.wav: a recording's label track, exported. Each recording is a source of its own.
    "audacity": (
        TableLayout(
            "**/*.txt",
            "{table}",
            "{label}",
            onset="{onset}",
            offset="{offset}",
            source="{table}",
            columns=("onset", "offset", "label"),
        ),
    ),
}

NAMES = ("folders", "labels.csv", *PRESETS)
"""Of all layouts, as they can be asked for: a folder per label, a user's own table, and the presets."""
