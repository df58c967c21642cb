from __future__ import annotations

import io
import json
import re
from datetime import UTC

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from streamd.capture.microphone import MicrophoneInfo
from streamd.events import AudioGap, ClockReport, Event, Heartbeat, Level, Message, Score, State, encode
from streamd.requests import LagReport, ModelReport, ReloadReport, SourceReport, Status
from streamd.sheets import Sheet, devices_sheets, model_sheets, reload_sheets, status_sheets
from streamd.subscribe import Gap
from streamd.terminal import (
    Output,
    Scoreboard,
    bar,
    message_line,
    message_text,
    ranked,
    score_line,
    sheet_lines,
    sheet_table,
)
from tests.samples import HEARTBEAT, LEVEL, ONSET, SCORE, STATE
from tests.tiny_models import manifest

OFFSET = msgspec.structs.replace(
    ONSET,
    phase="offset",
    peak=0.9,
    offset_sample=20_800,
    offset_seconds=1.3,
    offset_time=ONSET.onset_time.replace(microsecond=0),
    end_reason="silence",
)
LOST = msgspec.structs.replace(
    STATE, gap=AudioGap(take="9c01", first_sample=16_000, n_samples=24_000, seconds=1.5, reason="agent_queue")
)
GAP = Gap(source="kitchen", run="3f2a", first_seq=5, last_seq=7)
PLAIN: dict[str, Message | Gap] = {
    "2026-01-01T10:00:00.423Z|kitchen|onset|Dog|score=0.75 onset_threshold=0.60 model=yamnet": ONSET,
    "2026-01-01T10:00:00.000Z|kitchen|offset|Dog|peak=0.90 seconds=1.00 end_reason=silence model=yamnet": OFFSET,
    "2026-01-01T10:00:00.123Z|kitchen|state|live|USB microphone, 48000 Hz": STATE,
    "2026-01-01T10:00:00.123Z|kitchen|lost|1.500 s of audio|reason=agent_queue": LOST,
    "-|kitchen|missing|3 messages|seq=5-7": GAP,
    "2026-01-01T10:00:00.123Z|kitchen|heartbeat|seq=1|": HEARTBEAT,
    "2026-01-01T10:00:00.123Z|kitchen|level|-40.5 dB|peak=-20.2 dB": LEVEL,
    "2026-01-01T10:00:00.123Z|kitchen|score|yamnet|Dog=0.50/0.60; Cat=0.25": SCORE,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(what: RenderableType, width: int = 120) -> str:
    """What a terminal of this width shows, without colours."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


@pytest.mark.parametrize("line", PLAIN)
def test_a_plain_line_has_five_fields_with_a_tab_between(line: str) -> None:
    assert message_line(PLAIN[line]) == line.replace("|", "\t")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (ONSET, "10:00:00  kitchen      ● Dog                              ██████████████│███░░░░░░ 0.75"),
        (OFFSET, "10:00:00  kitchen      ○ Dog                              1.0 s, peak 0.90"),
        (STATE, "10:00:00  kitchen      · live  USB microphone, 48000 Hz"),
        (LOST, "10:00:00  kitchen      ! 1.5 s of audio lost: agent queue"),
        (GAP, "          kitchen      ! 3 messages missing"),
    ],
)
def test_a_terminal_shows_time_source_label_and_a_bar(message: Message | Gap, shown: str) -> None:
    assert message_text(message, UTC).plain == shown


def test_an_offset_that_silence_did_not_bring_says_what_did() -> None:
    stopped = msgspec.structs.replace(OFFSET, end_reason="shutdown")
    assert message_text(stopped, UTC).plain.endswith("1.0 s, peak 0.90, ended by shutdown")


def test_what_other_processes_wrote_can_not_steer_a_terminal_or_break_a_line() -> None:
    nasty = "a\x1b[2Jb\nc\td\u202e[red]"
    state = msgspec.structs.replace(STATE, detail=nasty)
    onset = msgspec.structs.replace(ONSET, label=nasty)
    score = msgspec.structs.replace(SCORE, posteriors={nasty: 0.5}, scores={}, onset_thresholds={})
    board = Scoreboard(top=5)
    board.update(score)
    shown = [
        message_line(state),
        message_line(onset),
        message_text(state).plain,
        message_text(onset).plain,
        drawn(board.picture()),
        *sheet_lines(Sheet(nasty, ("a",), [(nasty,)])),
        drawn(sheet_table(Sheet(nasty, ("a",), [(nasty,)]))),
    ]
    for text in shown:
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert all("[red]" in text for text in (shown[4], shown[-1]))
    assert [len(line.split("\t")) for line in shown[:2]] == [5, 5]
    assert all(line.count("\n") == 0 for line in shown[:4])


@given(st.floats(0, 1), st.one_of(st.none(), st.floats(0.001, 1)))
def test_a_bar_is_as_long_as_ever_and_marks_its_threshold_once(value: float, threshold: float | None) -> None:
    cells = bar(value, threshold)
    assert len(cells) == 24
    assert cells.count("│") == (threshold is not None)
    assert set(cells) <= set("█░│")


def test_scores_are_ranked_by_what_is_compared_with_the_threshold() -> None:
    score = msgspec.structs.replace(
        SCORE,
        posteriors={"Dog": 0.9, "Cat": 0.6, "Bird": 0.7},
        scores={"Dog": 0.5},
        onset_thresholds={"Dog": 0.6},
    )
    assert ranked(score, 2) == [("Bird", 0.7, None), ("Cat", 0.6, None)]
    assert ranked(score, 5) == [("Bird", 0.7, None), ("Cat", 0.6, None), ("Dog", 0.5, 0.6)]
    assert ranked(score, 1, ["dog", "cat"]) == [("Cat", 0.6, None), ("Dog", 0.5, 0.6)]
    assert score_line(score, 5, ["dog"]).endswith("\tDog=0.50/0.60")


def test_the_scoreboard_shows_every_source_its_level_and_labels_below_every_threshold() -> None:
    board = Scoreboard(top=2)
    assert drawn(board.picture()) == "waiting for sound …\n"
    board.update(LEVEL)
    board.update(SCORE)
    board.update(msgspec.structs.replace(SCORE, source="attic", model="other", scores={"Dog": 0.7}))
    lines = [line.rstrip() for line in drawn(board.picture()).splitlines()]
    assert [line.split() for line in lines] == [
        ["other"],
        ["Dog", "██████████████│██░░░░░░░", "0.70", "needs", "0.60"],
        ["Cat", "██████░░░░░░░░░░░░░░░░░░", "0.25", "off"],
        ["kitchen", "██████████░░░░░░░░░░░░░░", "-40.5", "dB,", "peak", "-20.2", "dB"],
        ["yamnet"],
        ["Dog", "████████████░░│░░░░░░░░░", "0.50", "needs", "0.60"],
        ["Cat", "██████░░░░░░░░░░░░░░░░░░", "0.25", "off"],
    ]


def test_json_is_the_payload_as_it_was_on_the_wire() -> None:
    stream = io.StringIO()
    output = Output(stream, as_json=True)
    payload = encode(ONSET).replace(b'"run"', b'"of_a_newer_version":1,"run"')
    output.message(ONSET, payload)
    output.message(GAP, b"")
    first, second = stream.getvalue().splitlines()
    assert first.encode() == payload
    assert json.loads(second) == {
        "type": "io.streamd.gap",
        "data": {"source": "kitchen", "run": "3f2a", "first_seq": 5, "last_seq": 7},
    }


def test_a_pipe_gets_plain_lines_and_a_terminal_colours() -> None:
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        Output(stream, as_json=False, zone=UTC).message(ONSET, encode(ONSET))
    assert pipe.getvalue() == message_line(ONSET) + "\n"
    assert "Dog" in terminal.getvalue()


def test_scores_in_a_pipe_are_lines_and_in_a_terminal_a_picture_below_what_scrolls() -> None:
    messages: list[Message] = [LEVEL, SCORE, HEARTBEAT, ONSET]
    heard: list[tuple[Message | Gap | None, bytes]] = [(message, encode(message)) for message in messages]
    heard.append((None, b""))
    pipe, in_json, terminal = io.StringIO(), io.StringIO(), Terminal()
    Output(pipe, as_json=False).scores(heard, top=1, labels=[])
    Output(in_json, as_json=True).scores(heard, top=1, labels=[])
    Output(terminal, as_json=False).scores(heard, top=1, labels=[])
    kinds = [line.split("\t")[2] for line in pipe.getvalue().splitlines()]
    assert kinds == ["level", "score", "onset"]
    assert "Cat" not in pipe.getvalue()
    assert [json.loads(line)["type"] for line in in_json.getvalue().splitlines()] == [
        "io.streamd.level",
        "io.streamd.score",
        "io.streamd.event.onset",
    ]
    assert "waiting for sound" in terminal.getvalue()
    assert "● Dog " in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())


def _status(open_events: list[Event]) -> Status:
    source = SourceReport(
        name="kitchen",
        status="live",
        detail="hears USB",
        device="USB",
        host="pi",
        native_rate=48_000,
        sample_rates=[16_000],
        n_samples=16_000 * 90,
        n_lost=12,
        lag_seconds=0.25,
        agent_restarts=1,
        open_events=open_events,
    )
    model = ModelReport(
        name="yamnet",
        version="1.0",
        sha256="ab" * 32,
        file="/m/yamnet.onnx",
        provider="CPUExecutionProvider",
        run_seconds=0.002,
        labels_on=["Dog", "Cat"],
        sources=["kitchen"],
        lags=LagReport(n=9, p50_seconds=0.01, p99_seconds=0.0342, max_seconds=0.3, counts=[9]),
    )
    return Status(
        version="0.1.0",
        run="3f2a",
        host="pi",
        pid=42,
        uptime_seconds=3_720.0,
        endpoints={"events": "ipc:///run/streamd/events.sock"},
        sources=[source],
        models=[model],
        counters={"published.event": 3},
    )


def test_status_tells_of_sources_models_endpoints_and_counters() -> None:
    alarm = msgspec.structs.replace(ONSET, label="Smoke detector, smoke alarm")
    lines = [line for sheet in status_sheets(_status([ONSET, alarm])) for line in sheet_lines(sheet)]
    assert lines == [
        "# streamd 0.1.0 on pi, pid 42, up 1 h 2 min",
        "# sources",
        "source\tstatus\tdetail\tsignal\theard\tsamples lost\tlag\trestarts\tsounding now",
        "kitchen\tlive\thears USB\tgood\t1 min 30 s\t12\t0.25 s\t1\tDog; Smoke detector, smoke alarm",
        "# models",
        "model\truns on\tone run\tlabels on\tsources\tfile\tlag p50, p99, max",
        "yamnet 1.0\tCPU\t2.0 ms\t2\tkitchen\t/m/yamnet.onnx\t10, 34.2, 300 ms",
        "# endpoints",
        "for\tendpoint",
        "events\tipc:///run/streamd/events.sock",
        "# counters",
        "counter\tn",
        "published.event\t3",
    ]


def test_sheets_are_drawn_in_a_terminal_and_are_the_data_itself_in_json() -> None:
    status = _status([])
    terminal, in_json = Terminal(), io.StringIO()
    Output(terminal, as_json=False).sheets(status_sheets(status), status)
    Output(in_json, as_json=True).sheets(status_sheets(status), status)
    assert "kitchen" in terminal.getvalue()
    assert "\t" not in terminal.getvalue()
    assert msgspec.json.decode(in_json.getvalue(), type=Status) == status


def test_what_is_watched_is_drawn_in_place_in_a_terminal_and_one_after_another_elsewhere() -> None:
    statuses = [_status([]), msgspec.structs.replace(_status([]), pid=4711)]
    pictures = [(status_sheets(status), status) for status in statuses]
    terminal, in_json = Terminal(), io.StringIO()
    Output(terminal, as_json=False).watch(pictures)
    Output(in_json, as_json=True).watch(pictures)
    assert "pid 4711" in terminal.getvalue()
    assert [msgspec.json.decode(line, type=Status) for line in in_json.getvalue().splitlines()] == statuses


def test_a_status_tells_lost_audio_clocks_and_the_last_reload_where_there_is_something_to_tell() -> None:
    status = _status([])
    clock = ClockReport(offset_seconds=1.0, drift_ppm=-7.25, n_steps=1, last_step_seconds=3600.0)
    source = msgspec.structs.replace(status.sources[0], lost_seconds={"lag": 1.5}, clock=clock)
    reload = ReloadReport(number=3, outcome="refused", mistakes=["streamd.yaml:2: models: none"])
    told = status_sheets(msgspec.structs.replace(status, sources=[source], reload=reload))
    by_title = {sheet.title: list(sheet.rows) for sheet in told}
    assert by_title["lost audio"] == [("kitchen", "lag", "1.50 s")]
    assert by_title["clocks"] == [("kitchen", "-7.2 ppm", "yes", "1, last by +3600.0 s", "0, 0 s in all")]
    assert by_title["reload 3: refused"] == [("streamd.yaml:2: models: none",)]
    assert not {"lost audio", "clocks"} & {sheet.title for sheet in status_sheets(status)}


def test_a_reload_is_told_in_a_line_or_with_every_mistake() -> None:
    [done] = reload_sheets(ReloadReport(number=1, outcome="done", seconds=0.25))
    assert sheet_lines(done) == ["# reloaded in 0.25 s"]
    [refused] = reload_sheets(ReloadReport(number=2, outcome="refused", mistakes=["a.yaml:1: x", "a.yaml:2: y"]))
    assert sheet_lines(refused)[2:] == ["a.yaml:1: x", "a.yaml:2: y"]


def test_a_model_is_told_with_every_label_and_its_decision() -> None:
    facts = manifest("window", "log_mel", default_labels=("High tone",))
    model, labels = model_sheets("tiny.onnx", "ab" * 32, "CPUExecutionProvider", facts)
    assert ("labels", "3, 1 of them on by default") in model.rows
    assert labels.rows[0] == ("High tone", "on", "0", "0.6", "1", "0.4", "0.08", "0")
    assert [row[:2] for row in labels.rows[1:]] == [("Low tone", "off"), ("Middle tone", "off")]
    assert len(labels.columns) == len(labels.rows[0])


def test_microphones_are_listed_and_none_is_said() -> None:
    usb = MicrophoneInfo(
        name="USB", host_api="ALSA", n_channels=2, native_rate=48_000, is_default=True, stable_id="usb-1"
    )
    (sheet,) = devices_sheets([usb])
    assert sheet_lines(sheet)[2] == "USB\t2\t48000 Hz\tALSA\tdefault\tusb-1"
    (sheet,) = devices_sheets([])
    assert sheet_lines(sheet) == ["# no microphone is there; plug one in, while `streamd run` waits for it"]


def test_every_kind_of_message_has_a_look() -> None:
    for message in (ONSET, OFFSET, STATE, LOST, HEARTBEAT, SCORE, LEVEL, GAP):
        assert isinstance(message, Event | State | Heartbeat | Score | Level | Gap)
        assert message_text(message).plain
        assert message_line(message)
