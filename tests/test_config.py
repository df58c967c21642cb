from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from streamd import config
from streamd.capture.specs import Command, Microphone, Recording
from streamd.config import Config
from streamd.config_shape import LabelSection
from streamd.decision import DecisionSpec
from streamd.errors import ConfigError
from streamd.override import DecisionOverride
from streamd.recorder.messages import RecorderSpec
from streamd.yaml_lines import MAX_MISTAKES

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "docs/streamd.schema.json"
EXAMPLE = ROOT / "docs/streamd.example.yaml"


def parse(text: str | bytes, folder: Path = ROOT) -> Config:
    return config.parse(text.encode() if isinstance(text, str) else text, "streamd.yaml", folder)


def mistakes(text: str | bytes, folder: Path = ROOT) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, folder)
    return caught.value.mistakes


def test_without_a_file_the_default_microphone_is_heard_by_the_default_model() -> None:
    default = config.load(None)
    assert [(source.name, source.capture) for source in default.sources] == [("microphone", Microphone())]
    (use,) = default.models
    assert use.file == ROOT / "models/yamnet/yamnet.onnx"
    assert use.sources == ("microphone",)
    assert use.labels is None
    assert (default.device, default.max_lag_seconds) == ("auto", 1.0)


@pytest.mark.parametrize(
    "text", ["", "# nothing but a comment\n", "---\n", "{}", "~", "\ufeff# with a byte order mark"]
)
def test_an_empty_file_is_the_default_configuration(text: str) -> None:
    assert parse(text).sources == config.load(None).sources
    assert parse(text).models == config.load(None).models


def test_every_kind_of_source_becomes_what_its_agent_captures(tmp_path: Path) -> None:
    (tmp_path / "door.wav").touch()
    parsed = parse(
        """
        sources:
          default: {}
          bare:
          usb: {microphone: USB, channel: 2, sample_rate: 48000}
          loop: {recording: door.wav, repeat: yes}
          raw: {command: [cat, "-"], sample_rate: 16_000, n_channels: 2}
          wav: {command: [cat]}
          attic: {remote: true}
        """,
        tmp_path,
    )
    assert {source.name: source.capture for source in parsed.sources} == {
        "default": Microphone(),
        "bare": Microphone(),
        "usb": Microphone(name="USB", channel=2, sample_rate=48_000),
        "loop": Recording(path=str(tmp_path / "door.wav"), repeat=True),
        "raw": Command(arguments=("cat", "-"), sample_rate=16_000, n_channels=2),
        "wav": Command(arguments=("cat",)),
        "attic": None,
    }
    assert parsed.models[0].sources == ("default", "bare", "usb", "loop", "raw", "wav", "attic")


def test_a_label_is_text_even_where_yaml_has_another_idea() -> None:
    parsed = parse("models: [{file: yamnet, labels: {Yes: {}, 1.5: {}, 'Smoke, alarm': {n_confirm: 2}}}]")
    labels = parsed.models[0].labels
    assert isinstance(labels, dict)
    assert {label: override.values for label, override in labels.items()} == {
        "Yes": {},
        "1.5": {},
        "Smoke, alarm": {"n_confirm": 2},
    }


def test_numbers_may_be_written_as_people_write_them() -> None:
    assert parse("{max_lag_seconds: 1e1}").max_lag_seconds == 10.0
    assert parse("max_lag_seconds: 3").max_lag_seconds == 3.0


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/door.wav").touch()
    (tmp_path / "etc/mine.onnx").touch()
    file = tmp_path / "etc/streamd.yaml"
    file.write_text(
        "{sources: {a: {recording: door.wav}}, models: [{file: mine.onnx}], endpoints: {events: 'ipc://e'}}"
    )
    monkeypatch.chdir(tmp_path)
    loaded = config.load(Path("etc/streamd.yaml"))
    assert loaded.sources[0].capture == Recording(path=str(tmp_path / "etc/door.wav"))
    assert loaded.models[0].file == tmp_path / "etc/mine.onnx"
    assert loaded.endpoints.events == (f"ipc://{tmp_path}/etc/e",)


WRONG = [case.split("\n=> ") for case in (ROOT / "tests/data/wrong_configs.txt").read_text().strip().split("\n\n")]
UNREADABLE = [
    ["a: \x07", "1: character '\\x07' is not allowed in YAML"],
    [
        "a: 1\n\tb: 2",
        "2: not YAML: while scanning for the next token, found character '\\t' that cannot start any token",
    ],
    ["[" * 1000, "1: not YAML: more than 20 levels inside each other"],
]


@pytest.mark.parametrize(("text", "expected"), [*WRONG, *UNREADABLE], ids=lambda text: text[:60].replace("\n", " "))
def test_a_mistake_is_one_line_with_its_place_what_was_found_and_what_was_expected(
    text: str, expected: str, tmp_path: Path
) -> None:
    assert mistakes(text, tmp_path) == [f"streamd.yaml:{expected.replace('FOLDER', str(tmp_path))}"]


def test_all_mistakes_are_named_at_once_in_the_order_of_their_lines() -> None:
    text = """\
sources:
  kitchen: {mircophone: USB}
  Porch: {}
models:
  - file: yamnet
    sources: [kitchen, Porch, atic]
    labels:
      Dog: {onset_treshold: 0.5}
device: gpu
"""
    assert [re.match(r"streamd.yaml:(\d+): ([^:]*)", line).groups() for line in mistakes(text)] == [  # type: ignore[union-attr]
        ("2", "sources.kitchen.mircophone"),
        ("3", "sources.Porch"),
        ("6", "models[0].sources[2]"),
        ("8", "models[0].labels.Dog.onset_treshold"),
        ("9", "device"),
    ]


def test_bytes_that_are_not_utf8_are_named_with_their_line() -> None:
    assert mistakes(b"device: cpu\n# caf\xe9\n") == ["streamd.yaml:2: byte 0xe9 is not UTF-8; save the file as UTF-8"]


def test_a_file_of_more_than_a_mebibyte_is_not_read() -> None:
    assert mistakes(b"#" * (1 << 20) + b"#") == ["streamd.yaml: larger than 1 MiB; is this a configuration of streamd?"]


def test_aliases_may_repeat_but_not_multiply_without_end() -> None:
    once = parse("sources: {a: &it {channel: 2}, b: *it}")
    assert [source.capture for source in once.sources] == [Microphone(channel=2)] * 2
    assert mistakes("sources: &it {a: *it}") == ["streamd.yaml:1: sources.a.a: unknown key; expected " + _source_keys()]
    laughs = "x: &x {" + ", ".join(f"l{i}: {{}}" for i in range(2000)) + "}\n"
    text = laughs.replace("x: &x", "models:\n- file: yamnet\n  labels: &x") + "- {file: yamnet, labels: *x}\n" * 200
    began = time.monotonic()
    assert any("more than 100000 values" in line for line in mistakes(text))
    assert time.monotonic() - began < 20


def _source_keys() -> str:
    return "microphone, channel, command, sample_rate, n_channels, recording, repeat, fast, remote, key"


def test_a_file_that_is_wrong_everywhere_is_not_named_to_its_end() -> None:
    lines = mistakes("\n".join(f"key{i}: {{}}" for i in range(5000)))
    assert len(lines) == MAX_MISTAKES + 1
    assert lines[-1] == "streamd.yaml: more than 49 mistakes; the rest is not shown"


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_configuration_that_can_not_be_read_is_a_mistake_of_its_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"(No such file or directory|Is a directory); expected a configuration"):
        config.load(tmp_path / name)


def test_names_with_line_breaks_can_not_break_a_line() -> None:
    assert all("\n" not in line for line in mistakes('{"a\\nb": 1, device: "x\\ny", sources: {"c\\nd": {}}}'))


_FRAGMENTS = """
    sources models device endpoints events file labels yamnet all a kitchen microphone channel mix command recording
    remote true ~ 1 -1 0.5 1e400 .inf x &a *a tcp://127.0.0.1:1 ipc://x ~nobody-here/x << !!set ? | > ' " % é
"""
_WORDS = st.sampled_from([*_FRAGMENTS.split(), "\u2028", "\0", ""])
_TREES = st.recursive(
    st.one_of(_WORDS, st.integers(), st.floats(), st.booleans(), st.none(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(_WORDS, st.text()), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
)
@example(b"%YAML 9999999999999999999999.1\n--- a")
@example(b"%TAG ! tag:%FF,2000:\n---\n!x y")
@example(b'"\\xZZ"')
@example(b"sources: {a: {recording: " + b"x" * 5000 + b"}}")
@example(b"sources: {a: {command: [~nobody-here/x]}}")
@example(b'sources: {a: {recording: "\\0"}}')
@example(b"max_lag_seconds: " + b"9" * 5000)
@example(b"sources: {a: {n_channels: " + b"9" * 5000 + b"}}")
def test_whatever_the_bytes_nothing_but_a_config_error_is_raised(data: bytes) -> None:
    _parse_or_refuse(data)


@given(_TREES)
def test_whatever_the_tree_nothing_but_a_config_error_is_raised(tree: Any) -> None:
    try:
        _parse_or_refuse(yaml.safe_dump(tree, allow_unicode=True).encode())
    except UnicodeEncodeError:
        return


@given(st.lists(st.one_of(_WORDS, st.sampled_from([": ", "\n", "\n  ", "- ", "{", "}", "[", "]", ", "])), max_size=40))
def test_whatever_the_words_nothing_but_a_config_error_is_raised(words: list[str]) -> None:
    _parse_or_refuse("".join(words).encode())


def _parse_or_refuse(data: bytes) -> None:
    try:
        parse(data)
    except ConfigError as error:
        lines = error.mistakes
    else:
        return
    assert lines
    for line in lines:
        assert line.startswith("streamd.yaml:")
        assert [line] == line.splitlines()


def test_onset_threshold_alone_keeps_the_ratio_of_the_two() -> None:
    spec = DecisionSpec(onset_threshold=0.8, offset_threshold=0.4, n_confirm=3)
    changed = DecisionOverride({"onset_threshold": 0.6}, "x").apply(spec)
    assert changed.onset_threshold == 0.6
    assert changed.offset_threshold == pytest.approx(0.3)
    assert changed.n_confirm == 3
    assert DecisionOverride({}, "x").apply(spec) == spec
    both = DecisionOverride({"onset_threshold": 0.6, "offset_threshold": 0.5}, "x").apply(spec)
    assert (both.onset_threshold, both.offset_threshold) == (0.6, 0.5)


@given(st.floats(1e-3, 1), st.floats(1e-3, 1), st.floats(1e-3, 1))
def test_any_onset_threshold_gives_a_decision_that_can_be(onset: float, offset: float, wanted: float) -> None:
    spec = DecisionSpec(onset_threshold=max(onset, offset), offset_threshold=min(onset, offset))
    changed = DecisionOverride({"onset_threshold": wanted}, "x").apply(spec)
    assert 0 < changed.offset_threshold <= changed.onset_threshold == wanted


def test_an_offset_above_the_models_onset_is_named_with_its_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^a.yaml:3: labels.Dog: offset_threshold 0.9 is above 0.5, the model's onset"
    ):
        DecisionOverride({"offset_threshold": 0.9}, "a.yaml:3: labels.Dog").apply(DecisionSpec())


def test_every_word_of_a_decision_can_be_given_within_what_a_decision_allows() -> None:
    assert LabelSection.__struct_fields__ == DecisionSpec.__struct_fields__
    schema = config.json_schema()["$defs"]["LabelSection"]["properties"]
    for name, field in schema.items():
        for bound in {"minimum", "maximum"} & field.keys():
            DecisionSpec(**{"onset_threshold": 1.0, "offset_threshold": 1e-9, name: field[bound]})


def test_the_published_schema_is_the_one_made_from_the_code() -> None:
    assert json.loads(SCHEMA.read_text()) == config.json_schema(), "run scripts/write_config_schema.py"
    jsonschema.Draft202012Validator.check_schema(config.json_schema())


def test_the_schema_takes_the_example_and_refuses_what_is_wrong() -> None:
    validator = jsonschema.Draft202012Validator(config.json_schema())
    validator.validate(yaml.safe_load(EXAMPLE.read_text()))
    refused = [
        {"sources": {"a": {"microphone": "x", "recording": "y"}}},
        {"sources": {"a": {"recording": "y", "channel": 2}}},
        {"sources": {"a": {"repeat": True}}},
        {"sources": {"A": {}}},
        {"models": [{"sources": ["a"]}]},
        {"models": [{"file": "x", "labels": {"Dog": {"onset_threshold": 2}}}]},
        {"device": "gpu"},
    ]
    assert [validator.is_valid(each) for each in refused] == [False] * len(refused)


def test_the_example_has_every_key_of_the_schema() -> None:
    text = EXAMPLE.read_text()
    written = set(re.findall(r"^[\s#-]*(?:- )?([a-z_]+):(?=\s|$)", text, re.MULTILINE))
    schema = config.json_schema()
    keys = {key for each in schema["$defs"].values() for key in each["properties"]}
    assert keys - written == set()


def test_the_example_holds_no_mistake() -> None:
    parsed = config.load(EXAMPLE)
    assert [source.name for source in parsed.sources] == ["kitchen", "porch", "loop", "attic"]
    assert parsed.models[1].labels == "all"


def test_every_key_is_described() -> None:
    schema = config.json_schema()
    bare = [
        key
        for each in schema["$defs"].values()
        for key, field in each["properties"].items()
        if "description" not in field and "$ref" not in field
    ]
    assert bare == []


def test_the_mistakes_under_a_wrong_name_are_found_as_well() -> None:
    with pytest.raises(ConfigError) as error:
        parse("sources: {Kitchen: {mircophone: x}}")
    inner, outer = sorted(error.value.mistakes, key=len)
    assert "Kitchen.mircophone: unknown key; did you mean 'microphone'?" in inner
    assert "found 'Kitchen'; expected a name" in outer


def test_what_is_recorded_is_said_in_full_or_by_its_folder_alone(tmp_path: Path) -> None:
    assert parse("sources: {a: {}}").recorder is None
    assert parse("recorder: {folder: clips}", tmp_path).recorder == RecorderSpec(folder=str(tmp_path / "clips"))
    text = """
recorder:
  folder: /clips
  max_megabytes: 2
  max_days: 0.5
  pre_roll_seconds: 0
  post_roll_seconds: 1
  longest_seconds: 10
  near_miss: 0.25
  labels: {Dog: {}, Cat: {audio: false}}
"""
    assert parse(text).recorder == RecorderSpec(
        folder="/clips",
        max_bytes=2_000_000,
        max_days=0.5,
        pre_roll_seconds=0,
        post_roll_seconds=1,
        longest_seconds=10,
        near_miss=0.25,
        labels={"Dog": True, "Cat": False},
    )


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("{}", "folder"),
        ("{folder: x, max_megabytes: 0}", "max_megabytes"),
        ("{folder: x, near_miss: 1.5}", "near_miss"),
        ("{folder: x, labels: {Dog: {sound: false}}}", "sound"),
    ],
)
def test_a_mistake_in_the_recorder_is_named(section: str, found: str) -> None:
    [line] = mistakes(f"recorder: {section}")
    assert found in line
