"""How commands look: colours in a terminal, stable plain lines in a pipe, JSON where it was asked for.

A plain line of `listen` has five fields with a tab between them: time (UTC), source, what happened,
label or status, and the rest. rich is imported only when a terminal is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, TextIO

import msgspec

from streamd.events import AudioGap, Event, Heartbeat, Level, Message, Score, State, slug
from streamd.gap import Gap
from streamd.sheets import Sheet

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_BAR_CELLS = 24
_QUIETEST_DB = -72.0
SECONDS_A_PICTURE = 0.1
"""The picture of the scores is not drawn more often."""
_STATUS_STYLES = {"live": "green", "ended": "dim", "stopped": "dim"}


class Output:
    """Where a command prints to, and how."""

    def __init__(self, stream: TextIO, *, as_json: bool, zone: tzinfo | None = None) -> None:
        """Print to a stream; times in a terminal are in a zone, the local one if it is None."""
        self._stream = stream
        self._as_json = as_json
        self._zone = zone
        self._console: Console | None = None
        if not as_json and stream.isatty():
            from rich.console import Console

            self._console = Console(file=stream, highlight=False)

    def say(self, *lines: str) -> None:
        """Print lines for people, which JSON leaves out."""
        for line in () if self._as_json else lines:
            self._line(line)

    def message(self, message: Message | Gap, payload: bytes) -> None:
        """Print what a daemon published; payload is the message as it was on the wire."""
        if self._as_json:
            self._line((gap_json(message) if isinstance(message, Gap) else payload).decode())
        elif self._console:
            self._console.print(message_text(message, self._zone), soft_wrap=True)
        else:
            self._line(message_line(message))

    def sheets(self, sheets: Sequence[Sheet], data: object) -> None:
        """Print sheets, or the data they were made of as one JSON object."""
        if self._as_json:
            self._line(msgspec.json.encode(data).decode())
            return
        for sheet in sheets:
            if self._console:
                self._console.print(sheet_table(sheet))
            else:
                for line in sheet_lines(sheet):
                    self._line(line)

    def watch(self, pictures: Iterable[tuple[Sequence[Sheet], object]]) -> None:
        """Show sheets in the place of those before, as they come; where nothing can be replaced, one after another."""
        if self._console is None:
            for sheets, data in pictures:
                self.sheets(sheets, data)
            return
        from rich.console import Group
        from rich.live import Live

        with Live(console=self._console, auto_refresh=False, screen=True) as live:
            for sheets, _ in pictures:
                live.update(Group(*map(sheet_table, sheets)), refresh=True)

    def scores(self, heard: Iterable[tuple[Message | Gap | None, bytes]], top: int, labels: Sequence[str]) -> None:
        """Show what is heard now for as long as messages come; events and states scroll by above.

        A picture is drawn when a message comes; a None gives those that came in quick succession a late one.
        """
        if self._console is None:
            for message, payload in heard:
                if isinstance(message, Score) and not self._as_json:
                    self._line(score_line(message, top, labels))
                elif message is not None and not isinstance(message, Heartbeat):
                    self.message(message, payload)
            return
        from rich.live import Live

        board = Scoreboard(top, labels)
        drawn_at = 0.0
        with Live(board.picture(), console=self._console, auto_refresh=False) as live:
            for message, payload in heard:
                if isinstance(message, Score | Level):
                    board.update(message)
                elif message is not None and not isinstance(message, Heartbeat):
                    self.message(message, payload)
                if time.monotonic() - drawn_at >= SECONDS_A_PICTURE:
                    live.update(board.picture(), refresh=True)
                    drawn_at = time.monotonic()

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def message_line(message: Message | Gap) -> str:
    """Return a message as a plain line: time, source, what happened, label or status, the rest; tabs between."""
    match message:
        case Event(phase="onset"):
            rest = f"score={message.score:.2f} onset_threshold={message.onset_threshold:.2f} model={message.model}"
            return _fields(message.onset_time, message.source, "onset", message.label, rest)
        case Event():
            seconds = (message.offset_seconds or 0.0) - message.onset_seconds
            rest = (
                f"peak={message.peak:.2f} seconds={seconds:.2f} end_reason={message.end_reason} model={message.model}"
            )
            return _fields(message.offset_time, message.source, "offset", message.label, rest)
        case State(gap=AudioGap() as lost):
            return _fields(
                message.time, message.source, "lost", f"{lost.seconds:.3f} s of audio", f"reason={lost.reason}"
            )
        case State():
            return _fields(message.time, message.source, "state", message.status, message.detail)
        case Gap():
            rest = f"seq={message.first_seq}-{message.last_seq}"
            return _fields(None, message.source, "missing", f"{message.n_missing} messages", rest)
        case Level():
            rest = f"peak={message.peak_db:.1f} dB"
            return _fields(message.time, message.source, "level", f"{message.rms_db:.1f} dB", rest)
        case Heartbeat():
            return _fields(message.time, message.source, "heartbeat", f"seq={message.last_seq}", "")
        case Score():
            return score_line(message, top=5)


def score_line(score: Score, top: int, labels: Sequence[str] = ()) -> str:
    """Return the loudest labels of one hop as a plain line; a label that is on has its threshold beside it."""
    heard = [
        f"{label}={value:.2f}" + (f"/{threshold:.2f}" if threshold is not None else "")
        for label, value, threshold in ranked(score, top, labels)
    ]
    return _fields(score.time, score.source, "score", score.model, "; ".join(heard))


def ranked(score: Score, top: int, labels: Sequence[str] = ()) -> list[tuple[str, float, float | None]]:
    """Return (label, value, onset threshold) of the top labels, or of the given ones, highest first.

    The value is what the threshold is compared with: the score. A label that is off has no threshold,
    and its value is the posterior.
    """
    wanted = {slug(label) for label in labels}
    values = {
        label: score.scores.get(label, posterior)
        for label, posterior in score.posteriors.items()
        if not wanted or slug(label) in wanted
    }
    names = sorted(values, key=lambda label: -values[label])
    return [(name, values[name], score.onset_thresholds.get(name)) for name in (names if wanted else names[:top])]


def gap_json(gap: Gap) -> bytes:
    """Return a Gap as JSON. It never was on the wire: it is what the client misses."""
    return msgspec.json.encode({"type": "io.streamd.gap", "data": gap})


def message_text(message: Message | Gap, zone: tzinfo | None = None) -> Text:
    """Return a message as a line for a terminal; times in a zone, the local one if it is None."""
    from rich.text import Text

    def line(at: datetime | None, mark: str, style: str, *parts: str | tuple[str, str]) -> Text:
        clock = at.astimezone(zone).strftime("%H:%M:%S") if at else " " * 8
        cleaned = [_clean(part) if isinstance(part, str) else (_clean(part[0]), part[1]) for part in parts]
        return Text.assemble((clock, "dim"), "  ", f"{_clean(message.source):<12} ", (mark, style), " ", *cleaned)

    match message:
        case Event(phase="onset"):
            values = bar(message.score, message.onset_threshold), f" {message.score:.2f}"
            return line(message.onset_time, "●", "bold green", (f"{message.label:<32} ", "bold"), *values)
        case Event():
            seconds = (message.offset_seconds or 0.0) - message.onset_seconds
            how = "" if message.end_reason == "silence" else f", ended by {message.end_reason}"
            rest = f"{seconds:.1f} s, peak {message.peak:.2f}{how}"
            return line(message.offset_time, "○", "green", (f"{message.label:<32} ", "dim"), (rest, "dim"))
        case State(gap=AudioGap() as lost):
            text = f"{lost.seconds:.1f} s of audio lost: {lost.reason.replace('_', ' ')}"
            return line(message.time, "!", "bold red", (text, "red"))
        case State():
            style = "yellow" if message.signal else _STATUS_STYLES.get(message.status, "yellow")
            return line(message.time, "·", style, (message.status.replace("_", " "), style), f"  {message.detail}")
        case Gap():
            return line(None, "!", "bold red", (f"{message.n_missing} messages missing", "red"))
    return Text(message_line(message))


class Scoreboard:
    """The newest level of every source and the newest scores of its models."""

    def __init__(self, top: int, labels: Sequence[str] = ()) -> None:
        self._top = top
        self._labels = labels
        self._levels: dict[str, Level] = {}
        self._scores: dict[tuple[str, str], Score] = {}

    def update(self, message: Score | Level) -> None:
        """Take in a message."""
        if isinstance(message, Level):
            self._levels[message.source] = message
        else:
            self._scores[message.source, message.model] = message

    def picture(self) -> RenderableType:
        """Return what to draw: for each source its loudness, for each model its highest labels and their thresholds."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 1), show_header=False)

        def row(style: str, *cells: str) -> None:
            table.add_row(*(Text(_clean(cell)) for cell in cells), style=style)

        for source in sorted({*self._levels, *(name for name, _ in self._scores)}):
            level = self._levels.get(source)
            if level is not None:
                row("bold", source, _meter(level), f"{level.rms_db:6.1f} dB, peak {level.peak_db:.1f} dB")
            for (name, model), score in sorted(self._scores.items()):
                if name != source:
                    continue
                row("dim", f"  {model}", "", "")
                for label, value, threshold in ranked(score, self._top, self._labels):
                    if threshold is None:
                        row("dim", f"    {label}", bar(value, None), f"{value:.2f}  off")
                    else:
                        style = "green" if value >= threshold else ""
                        row(style, f"    {label}", bar(value, threshold), f"{value:.2f}  needs {threshold:.2f}")
        return table if table.row_count else "waiting for sound …"


def bar(value: float, threshold: float | None) -> str:
    """Return a bar for a value of 0..1, with a mark where the threshold is."""
    filled = round(value * _BAR_CELLS)
    cells = ["█"] * filled + ["░"] * (_BAR_CELLS - filled)
    if threshold is not None:
        cells[min(_BAR_CELLS - 1, int(threshold * _BAR_CELLS))] = "│"
    return "".join(cells)


def _meter(level: Level) -> str:
    return bar(min(1.0, max(0.0, 1 - level.rms_db / _QUIETEST_DB)), None)


def sheet_lines(sheet: Sheet) -> list[str]:
    """Return a sheet as plain lines: "# title", the names of the columns, the rows; tabs between."""
    rows = [sheet.columns, *sheet.rows] if sheet.columns else []
    return [f"# {_clean(sheet.title)}", *("\t".join(map(_clean, row)) for row in rows)]


def sheet_table(sheet: Sheet) -> RenderableType:
    """Return a sheet as a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    if not sheet.columns:
        return Text(_clean(sheet.title), style="bold")
    table = Table(title=Text(_clean(sheet.title), style="bold"), title_justify="left", box=None, header_style="dim")
    for name in sheet.columns:
        table.add_column(name, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(_clean(cell)) for cell in row))
    return table


def _fields(at: datetime | None, *fields: str) -> str:
    time_text = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else "-"
    return "\t".join([time_text, *map(_clean, fields)])


def _clean(text: str) -> str:
    """Return text without what could break a line or steer a terminal: other processes wrote it."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
