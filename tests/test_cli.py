from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamd
from streamd import cli, config
from streamd.arguments import parse
from streamd.capture.specs import Command, Microphone, Recording, Spec
from streamd.config_shape import SourceSection
from streamd.control import ControlServer
from streamd.counters import Counters
from streamd.errors import UsageError
from streamd.events import Event
from streamd.requests import Status
from streamd.sheets import check_sheets
from tests import samples, tiny_models
from tests.conftest import FakeMicrophone
from tests.sockets import a_context, a_publisher, let_work, short_folder
from tests.sounds import save
from tests.tiny_models import SAMPLE_RATE, tone
from tests.wire import check_payload

ROOT = Path(__file__).parents[1]
COMMANDS = ("run", "demo", "replay", "listen", "devices", "check", "model", "capture", "status", "bench")
PATIENCE_SECONDS = 30.0


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "streamd", *map(str, arguments)]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=os.environ | {"PYTHONWARNINGS": "error"} | environment,
        check=False,
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hears three tones."""
    return tiny_models.build(tmp_path_factory.mktemp("model"), "window", "log_mel")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording: one second of silence, one of the low tone, one of silence, one of the high tone, one of silence."""
    audio = tiny_models.tone(5 * SAMPLE_RATE, "Low tone", 0.0)
    for second, label in ((1, "Low tone"), (3, "High tone")):
        audio[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE] = tone(SAMPLE_RATE, label)
    return save(tmp_path_factory.mktemp("sounds") / "tones.wav", audio, SAMPLE_RATE)


def test_help_names_every_command_in_one_clear_sentence() -> None:
    done = run("--help", COLUMNS="200")
    assert done.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^    {name} +[a-z].{{20,}}$", done.stdout, re.MULTILINE)
    assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: streamd {name}" in capsys.readouterr().out


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"streamd {streamd.__version__}\n"


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("from streamd.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass", "numpy zmq yaml msgspec rich"),
        ("import streamd.terminal, streamd.subscribe, streamd.sheets", "rich yaml"),
    ],
    ids=["help", "listen"],
)
def test_a_command_loads_only_what_it_needs(program: str, unwanted: str) -> None:
    check = f"{program}\nimport sys\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    heavy = {"onnxruntime", "soxr", "soundfile", "sounddevice", *unwanted.split()}
    assert loaded & heavy == set()


WRONG_USAGE = {
    "": "the following arguments are required: COMMAND; see `streamd --help`",
    "lsten": "argument COMMAND: invalid choice: 'lsten'",
    "run --fast": "unrecognized arguments: --fast; see `streamd run --help`",
    "replay": "the following arguments are required: FILE; see `streamd replay --help`",
    "replay --pad long a.wav": "argument --pad: found 'long'; expected a number from 0 to 3600",
    "replay --pad nan a.wav": "argument --pad: found 'nan'; expected a number from 0 to 3600",
    "replay --onset-threshold 80 a.wav": "argument --onset-threshold: found '80'; expected a number from 0.001 to 1",
    "replay --start yesterday a.wav": "argument --start: found 'yesterday'; expected a time with its zone",
    "replay --start 2026-01-01 a.wav": "argument --start: found '2026-01-01'; expected a time with its zone",
    "replay --start 9999-12-31T23:59:59Z a.wav": "argument --start: found '9999-12-31T23:59:59Z'; expected a time",
    "listen --top 0": "argument --top: found '0'; expected a whole number from 1 to 999999",
    "listen --source Kitchen --endpoint ipc:///tmp/x": "source 'Kitchen': a source's name has lower-case letters",
    "bench --sources 0": "argument --sources: found '0'; expected a whole number from 1 to 999999",
    "bench --device tpu": "argument --device: invalid choice: 'tpu'",
    "bench --seconds 0": "argument --seconds: found '0'; expected a number from 0.5 to 3600",
    "check": "the following arguments are required: -c/--config",
    "capture porch --endpoint ipc:///tmp/x --recording a.wav --channel 2": "--channel does not belong to a recording",
    "capture porch --channel 0": "argument --channel: found '0'; expected a whole number from 1 to 256, or mix",
    "capture porch --endpoint ipc:///tmp/x --repeat": "--repeat does not belong to a microphone",
    "capture porch --endpoint ipc:///tmp/x --command": "--command without a program",
    "capture porch --recording a.wav --microphone USB": "argument --microphone: not allowed with argument --recording",
    "capture Porch --endpoint ipc:///tmp/x": "source name 'Porch'; expected lower-case letters, digits and -",
}


@pytest.mark.parametrize("line", WRONG_USAGE)
def test_a_wrong_command_line_is_one_line_and_code_64(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 64
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"streamd: {WRONG_USAGE[line]}")
    assert printed.err.count("\n") == 1


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    bad = tmp_path / "streamd.yaml"
    bad.write_text("device: gpu\nsorces: {}\n")
    for name in ("run", "check"):
        done = run(name, "-c", bad)
        assert done.returncode == 78
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            f"{bad}:1: device: found 'gpu'; expected auto or cpu or cuda",
            f"{bad}:2: sorces: unknown key; did you mean 'sources'?",
        ]
    assert run("replay").returncode == 64
    missing = run("check", "-c", tmp_path / "nowhere.yaml")
    assert missing.returncode == 78
    assert (
        missing.stderr == f"{tmp_path}/nowhere.yaml: No such file or directory; expected a configuration, a YAML file\n"
    )


def test_check_says_what_a_configuration_means_and_loads_its_models(tmp_path: Path, tiny: Path) -> None:
    good = tmp_path / "streamd.yaml"
    good.write_text(f"models: [{{file: {tiny}, labels: {{Low tone: {{}}}}}}]\nsources: {{porch: {{command: [cat]}}}}\n")
    done = run("check", "-c", good)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"# {good}: no mistakes",
        "# sources",
        "source\thears",
        "porch\tcommand cat",
        "# models",
        "model\tsources\tn_labels\tlabels",
        f"{tiny}\tporch\t1\tLow tone",
    ]


@pytest.mark.parametrize("is_there", [True, False])
def test_check_says_whether_recordings_have_a_place(
    is_there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "recordings"
    if is_there:
        folder.mkdir()
    good = tmp_path / "streamd.yaml"
    good.write_text("recorder: {folder: recordings, labels: {Dog: {}}}\n")
    assert cli.main(["check", "-c", str(good)]) == 0
    said = "is there" if is_there else "is not there: make it before it records"
    assert capsys.readouterr().out.splitlines()[-1] == f"Dog\t{folder}\t{said}"


def test_check_names_labels_that_a_model_lacks(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "streamd.yaml"
    bad.write_text(f"models:\n  - file: {tiny}\n    labels:\n      Low ton: {{}}\n")
    mistake = (
        f"{bad}:4: models[0].labels.'Low ton': model tiny-window-log_mel has no such label; did you mean 'Low tone'?"
    )
    assert cli.main(["check", "-c", str(bad)]) == 78
    assert capsys.readouterr().err == mistake + "\n"
    assert cli.main(["check", "-c", str(bad), "--json"]) == 78
    assert json.loads(capsys.readouterr().out) == {"file": str(bad), "mistakes": [mistake]}


def test_check_tells_of_a_model_that_is_refused_in_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.onnx").write_text("not a model")
    bad = tmp_path / "streamd.yaml"
    bad.write_text("models: [{file: notes.onnx}]\n")
    assert cli.main(["check", "-c", str(bad)]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert cli.main(["check", "-c", str(bad), "--json"]) != 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(bad)
    assert [mistake for mistake in told["mistakes"] if mistake in line] == told["mistakes"] != []


def test_the_example_configuration_passes_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "-c", str(ROOT / "docs/streamd.example.yaml")]) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_model_verifies_a_model_and_prints_what_it_is(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", str(tiny)]) == 0
    assert "name\ttiny-window-log_mel 1\n" in capsys.readouterr().out
    assert cli.main(["model", str(tiny), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["manifest"]["labels"] == list(tiny_models.TONES)
    assert facts["provider"] == "CPUExecutionProvider"


def test_what_is_no_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notes.onnx"
    file.write_text("not a model")
    for name in (file, tmp_path / "nowhere.onnx", "yamnt"):
        assert cli.main(["model", str(name)]) == 65
        printed = capsys.readouterr()
        assert printed.err.startswith("streamd: ")
        assert printed.err.count("\n") == 1


def replay_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[Event]:
    assert cli.main(["replay", *map(str, arguments), "--json"]) == 0
    messages = [check_payload(line.encode()) for line in capsys.readouterr().out.splitlines()]
    return [message for message in messages if isinstance(message, Event)]


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Have a folder that this process may not enter for so long, not even as root."""
    is_root = os.geteuid() == 0
    folder.chmod(0)
    if is_root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("arguments", "code", "file"),
    [(["keys", "list", "--keys", "{}"], 77, "secret.key"), (["model", "{}/a.onnx"], 65, "a.onnx")],
)
def test_what_lies_in_a_folder_that_this_user_may_not_enter_is_one_clear_line(
    arguments: list[str], code: int, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each.format(tmp_path) for each in arguments]
    cli.main(given)  # what is imported by it may lie where only this user may read
    capsys.readouterr()
    with closed(tmp_path):
        assert cli.main(given) == code
    told = capsys.readouterr().err
    assert told.startswith(f"streamd: {tmp_path}/{file}: ")
    assert told.count("\n") == 1


def test_check_says_that_this_user_can_not_see_the_place_of_recordings(tmp_path: Path) -> None:
    text = f"recorder: {{folder: {tmp_path}/recordings}}"
    given = config.parse(text.encode(), "streamd.yaml", Path("/"))
    with closed(tmp_path):
        *_, sheet = check_sheets(given, [("Dog",)])
    assert sheet.rows[0][1:] == (f"{tmp_path}/recordings", "can't be looked into by this user (Permission denied)")


def test_replay_prints_one_event_a_line(tiny: Path, tones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = replay_json(capsys, tones, "--model", tiny)
    assert [(event.phase, event.label) for event in events] == [
        ("onset", "Low tone"),
        ("offset", "Low tone"),
        ("onset", "High tone"),
        ("offset", "High tone"),
    ]
    assert events[0].onset_time.year == 1970
    assert cli.main(["replay", str(tones), "--model", str(tiny)]) == 0
    plain = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1:4] for line in plain[:2]] == [["tones", "onset", "Low tone"], ["tones", "offset", "Low tone"]]
    assert plain[0][0].startswith("1970-01-01T00:00:0")


def test_replay_can_choose_labels_threshold_and_time(
    tiny: Path, tones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = "2026-01-01T22:00:00+01:00"
    events = replay_json(
        capsys, tones, "--model", tiny, "--labels", "high tone", "--onset-threshold", "0.3", "--start", start
    )
    assert {event.label for event in events} == {"High tone"}
    assert {event.onset_threshold for event in events} == {0.3}
    assert events[0].onset_time.isoformat().startswith("2026-01-01T21:00:0")


def test_replay_of_what_is_no_recording_is_one_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("not audio")
    assert cli.main(["replay", str(text), "--model", str(tiny)]) == 65
    assert capsys.readouterr().err.count("\n") == 1
    short = save(tmp_path / "short.wav", tone(100, "Low tone"), SAMPLE_RATE)
    assert cli.main(["replay", str(short), "--model", str(tiny)]) == 65
    assert "--pad SECONDS" in capsys.readouterr().err
    assert cli.main(["replay", str(short), "--model", str(tiny), "--pad", "1"]) == 0


CLASS_MAP = (ROOT / "training/design/weights/yamnet_class_map.csv").read_text("utf-8")
LABELS = [row["display_name"] for row in csv.DictReader(CLASS_MAP.splitlines())]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["Dog"], ["Dog"]),
        (["dog,CAT"], ["Dog", "Cat"]),
        (["Dog , Cat"], ["Dog", "Cat"]),
        (["Smoke detector, smoke alarm"], ["Smoke detector, smoke alarm"]),
        (["smoke detector,smoke alarm"], ["Smoke detector, smoke alarm"]),
        (["Dog,Smoke detector, smoke alarm,Cat"], ["Dog", "Smoke detector, smoke alarm", "Cat"]),
        (["Dog", "Smoke detector, smoke alarm", "Dog"], ["Dog", "Smoke detector, smoke alarm"]),
        (["Speech,Synthesizer"], ["Speech", "Synthesizer"]),
    ],
)
def test_labels_are_split_at_commas_but_not_at_their_own(texts: list[str], found: list[str]) -> None:
    assert cli.split_labels(texts, LABELS) == found


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=6, unique=True))
def test_any_labels_joined_by_commas_are_understood(labels: list[str]) -> None:
    assert cli.split_labels([",".join(labels)], LABELS) == labels
    assert cli.split_labels(labels, LABELS) == labels


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Dgo", "--labels: the model has no label 'Dgo'; did you mean 'Dog'?"),
        ("Dog,smoke alarm", "--labels: the model has no label 'smoke alarm'"),
        ("Dog,", "--labels: the model has no label ''"),
    ],
)
def test_a_label_that_the_model_lacks_is_named(text: str, line: str) -> None:
    with pytest.raises(UsageError) as error:
        cli.split_labels([text], LABELS)
    assert str(error.value).startswith(line)


def test_labels_all_switches_every_label_on() -> None:
    facts = tiny_models.manifest("window", "log_mel", default_labels=("Low tone",))
    assert set(cli.replay_decisions(facts, None, None)) == {"Low tone"}
    assert set(cli.replay_decisions(facts, ["all"], None)) == set(tiny_models.TONES)
    changed = cli.replay_decisions(facts, ["all"], 0.3)["Low tone"]
    assert (changed.onset_threshold, round(changed.offset_threshold, 6)) == (0.3, 0.2)


@pytest.mark.parametrize(
    ("line", "spec"),
    [
        ("", Microphone()),
        ("--microphone USB --channel 2", Microphone(name="USB", channel=2)),
        ("--sample-rate 48000 --channel mix", Microphone(sample_rate=48_000, channel="mix")),
        ("--recording a.wav --repeat", Recording(path="a.wav", repeat=True)),
        ("--recording a.wav --fast", Recording(path="a.wav", fast=True)),
        (
            "--sample-rate 8000 --command cat -n --repeat",
            Command(arguments=("cat", "-n", "--repeat"), sample_rate=8_000),
        ),
    ],
)
def test_capture_says_what_to_capture_as_the_configuration_does(line: str, spec: Spec) -> None:
    assert cli.capture_spec(parse(["capture", "porch", "--endpoint", "ipc://x", *line.split()])) == spec


@pytest.mark.parametrize("name", ["sample_rate", "n_channels", "channel"])
def test_capture_takes_the_numbers_that_the_configuration_takes(name: str) -> None:
    [shape] = [one.type for one in msgspec.inspect.type_info(SourceSection).fields if one.name == name]
    [number] = numbers_in(shape)
    option = f"--{name.replace('_', '-')}"
    for right in (number.ge, number.le):
        assert getattr(parse(["capture", "porch", option, str(right)]), name) == right
    for wrong in (str(number.ge - 1), str(number.le + 1), "9" * 5000):
        with pytest.raises(UsageError, match=f"expected a whole number from {number.ge} to {number.le}"):
            parse(["capture", "porch", option, wrong])


def numbers_in(shape: msgspec.inspect.Type) -> Iterator[msgspec.inspect.IntType]:
    """The whole numbers that a field of the configuration can be."""
    if isinstance(shape, msgspec.inspect.Metadata):
        yield from numbers_in(shape.type)
    elif isinstance(shape, msgspec.inspect.UnionType):
        for one in shape.types:
            yield from numbers_in(one)
    elif isinstance(shape, msgspec.inspect.IntType):
        yield shape


def test_the_default_model_of_replay_is_that_of_the_daemon() -> None:
    assert parse(["replay", "a.wav"]).model == config.DEFAULT_MODEL


def test_without_a_daemon_status_says_where_it_looked(tmp_path: Path) -> None:
    done = run("status", RUNTIME_DIRECTORY=str(tmp_path), TMPDIR=str(tmp_path))
    assert done.returncode == 69
    assert done.stderr.startswith(f"streamd: no daemon answers at ipc://{tmp_path}/control.sock")
    assert done.stderr.endswith("start one with `streamd run`\n")


def test_status_prints_what_the_daemon_answers() -> None:
    status = Status(
        version="1",
        run="3f2a",
        host="pi",
        pid=1,
        uptime_seconds=5,
        endpoints={},
        sources=[],
        models=[],
        counters={"a": 1},
    )
    with a_context() as context, short_folder() as folder:
        endpoint = f"ipc://{folder}/control"
        server = ControlServer(context, [endpoint], lambda _: status, Counters())
        for flags, expected in (((), "# streamd 1 on pi, pid 1, up 5 s"), (("--json",), '{"answer":"status"')):
            asker = subprocess.Popen(
                command("status", "--endpoint", endpoint, *flags), stdout=subprocess.PIPE, text=True
            )
            while asker.poll() is None:
                if server.socket.poll(20):
                    server.on_readable()
            assert asker.communicate()[0].startswith(expected)
            assert asker.returncode == 0
        server.close()


@contextmanager
def listening(
    *flags: str, in_terminal: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], int, Callable[[], None]]]:
    """`streamd listen`, the file to read what it prints, and a function that publishes an onset and its offset."""
    with a_context() as context, short_folder() as folder:
        endpoint = f"ipc://{folder}/events"
        publisher = a_publisher(context, endpoint)
        reader, writer = pty.openpty() if in_terminal else os.pipe()
        listener = subprocess.Popen(
            command("listen", "--endpoint", endpoint, *flags),
            stdout=writer,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"},
        )
        os.close(writer)
        needed = {b"event/", b"score/"} if "--scores" in flags else {b"event/"}
        subscribed: set[bytes] = set()

        def is_subscribed() -> bool:
            subscribed.update(publisher._subscribed)
            return needed <= subscribed

        let_work(publisher, is_subscribed)

        def publish() -> None:
            onset = samples.onset(publisher)
            publisher.send(onset)
            publisher.send(samples.offset(publisher, onset))
            publisher.send(samples.LEVEL)
            publisher.send(samples.SCORE)

        try:
            yield listener, reader, publish
        finally:
            listener.kill()
            listener.wait()
            os.close(reader)
            publisher.close()


def read_until(reader: int, *texts: str) -> str:
    """Read until all texts were seen; return everything, without the colours and moves of a terminal."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    raw = b""
    while True:
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", raw.decode(errors="replace"))
        if all(text in shown for text in texts):
            return shown
        assert time.monotonic() < deadline, shown
        if select.select([reader], [], [], 0.1)[0]:
            raw += os.read(reader, 65_536)


def test_listen_prints_plain_lines_into_a_pipe_and_ends_well_with_ctrl_c() -> None:
    with listening() as (listener, reader, publish):
        publish()
        shown = read_until(reader, "offset")
        assert [line.split("\t")[1:4] for line in shown.splitlines()] == [
            ["kitchen", "onset", "Dog"],
            ["kitchen", "offset", "Dog"],
        ]
        listener.send_signal(signal.SIGINT)
        assert listener.wait(PATIENCE_SECONDS) == 0


def test_listen_says_that_nobody_is_where_it_was_told_to_listen() -> None:
    with short_folder() as folder:
        endpoint = f"ipc://{folder}/events"
        listener = subprocess.Popen(command("listen", "--endpoint", endpoint), stderr=subprocess.PIPE, text=True)
        assert listener.stderr is not None
        said = listener.stderr.readline()
        listener.send_signal(signal.SIGINT)
        assert listener.wait(PATIENCE_SECONDS) == 0
        assert said == f"streamd: {endpoint}: nothing is said there; does a daemon run, with such a source? Waits\n"
        assert listener.stderr.read() == ""
        listener.stderr.close()


def test_listen_prints_json_as_it_was_on_the_wire() -> None:
    with listening("--json") as (_, reader, publish):
        publish()
        lines = read_until(reader, '"phase":"offset"').splitlines()
        assert [check_payload(line.encode()).source for line in lines] == ["kitchen", "kitchen"]


def test_listen_is_pleasant_in_a_terminal() -> None:
    with listening(in_terminal=True) as (listener, reader, publish):
        publish()
        shown = read_until(reader, "○ Dog")
        assert re.search(r"^\d\d:\d\d:\d\d  kitchen      ● Dog +█+│█+░+ 0\.75", shown, re.MULTILINE)
        listener.send_signal(signal.SIGINT)
        assert listener.wait(PATIENCE_SECONDS) == 0


def test_scores_show_levels_and_labels_below_their_thresholds_in_a_terminal() -> None:
    with listening("--scores", in_terminal=True) as (listener, reader, publish):
        publish()
        shown = read_until(reader, "● Dog", "-40.5 dB", "0.50  needs 0.60", "0.25  off")
        assert "│" in shown
        listener.send_signal(signal.SIGINT)
        assert listener.wait(PATIENCE_SECONDS) == 0


def test_scores_are_plain_lines_in_a_pipe() -> None:
    with listening("--scores", "--top", "1") as (_, reader, publish):
        publish()
        shown = read_until(reader, "score\tyamnet\tDog=0.50/0.60\n")
        assert "kitchen\tlevel\t-40.5 dB" in shown


def test_a_reader_that_leaves_ends_a_command_without_a_word(tiny: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(command('model', tiny, '--json'))} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == "141\n"


def test_ctrl_c_ends_a_command_as_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli._COMMANDS, "replay", interrupted)
    assert cli.main(["replay", "a.wav"]) == 130


def test_devices_lists_the_microphones_that_are_there(microphone: FakeMicrophone) -> None:
    done = subprocess.run(
        command("devices", "--json"),
        capture_output=True,
        text=True,
        env=microphone.environment,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    listed = json.loads(done.stdout)
    assert any(each["is_default"] for each in listed)
    assert all(each["n_channels"] > 0 for each in listed)
