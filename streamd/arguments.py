"""The command line of streamd: commands, their arguments and what --help says."""

from __future__ import annotations

import argparse
import logging
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from streamd import __version__
from streamd.errors import UsageError

_EPILOG = """\
first steps:
  streamd demo                          hear a shipped recording; needs no microphone
  streamd run                           default microphone, default model
  streamd listen                        what a running daemon hears, as it hears it
  streamd listen --scores               … and what it only thinks it hears
  streamd replay door.wav --json        a recording's events, one line of JSON each
  streamd check -c streamd.yaml         every mistake of a configuration at once

A command ends with 0, or with a code of sysexits.h: 64 usage, 65 data, 69 not available, 76 protocol, 77 keys,
78 configuration.
"""


class _Parser(argparse.ArgumentParser):
    """Tells of mistakes as the rest of streamd does: one line, exit code 64."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments of a command line (sys.argv if None); `command` is the command's name.

    Raises:
        UsageError: a command line that can't be obeyed.
        SystemExit: --help or --version was printed.
    """
    args, unknown = _parser().parse_known_args(arguments)
    if unknown:
        raise UsageError(f"unrecognized arguments: {' '.join(unknown)}; see `streamd {args.command} --help`")
    return args


def _parser() -> _Parser:
    parser = _Parser(
        prog="streamd",
        description="Hears sounds in live audio with a neural network and tells any program over ZeroMQ.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"streamd {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def add(
        name: str,
        sentence: str,
        *examples: str,
        log_level: int = logging.WARNING,
        has_json: bool = True,
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(
            name,
            help=sentence[0].lower() + sentence[1:].removesuffix("."),
            description=sentence,
            epilog="\n  ".join(["examples:", *examples]) if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(command=name, json=False, log_level=log_level)
        if has_json:
            one.add_argument("--json", action="store_true", help="print JSON instead of text")
        return one

    one = add(
        "run",
        "Run the daemon until Ctrl-C or SIGTERM.",
        "streamd run                           default microphone, default model",
        "streamd run -c /etc/streamd.yaml",
        log_level=logging.INFO,
        has_json=False,
    )
    _add_config(one, "configuration; without it the default microphone and the default model")

    add("demo", "Play a shipped recording to a real daemon and print what a subscriber hears.")

    one = add(
        "replay",
        "Print the events of recordings, as fast as they can be heard.",
        "streamd replay door.wav",
        'streamd replay night.flac --labels "Dog,Smoke detector, smoke alarm" --start 2026-01-01T22:00:00Z --json',
    )
    one.add_argument("recordings", nargs="+", type=Path, metavar="FILE", help="WAV, FLAC, OGG or MP3")
    one.add_argument(
        "--model", default="yamnet", metavar="M", help="shipped model or .onnx file (default: %(default)s)"
    )
    one.add_argument(
        "--labels",
        action="append",
        metavar="all|L,…",
        help="labels to look for, with commas between, or all; may be given again; a label that has a comma itself "
        "is understood (default: the model's default labels)",
    )
    one.add_argument(
        "--onset-threshold", type=_threshold, metavar="X", help="score at which a sound begins, above 0, up to 1"
    )
    one.add_argument(
        "--pad", type=_seconds, default=0.0, metavar="SECONDS", help="digital silence before and after, for short files"
    )
    one.add_argument(
        "--start",
        type=_time,
        default=datetime(1970, 1, 1, tzinfo=UTC),
        metavar="TIME",
        help="when the first sample was recorded (default: 1970-01-01T00:00:00Z)",
    )

    one = add(
        "listen",
        "Print what a running daemon hears, until Ctrl-C.",
        "streamd listen --source kitchen --label Dog",
        'streamd listen --scores --label "Smoke detector, smoke alarm"   (why did it not hear my alarm?)',
        "streamd listen --json | jq -r .data.label",
    )
    one.add_argument("--source", action="append", metavar="S", help="only this source; may be given again")
    one.add_argument("--label", action="append", metavar="L", help="only this label; may be given again")
    one.add_argument("--scores", action="store_true", help="what it hears now, below every threshold too")
    one.add_argument(
        "--top", type=_count, default=5, metavar="N", help="labels to show with --scores (default: %(default)s)"
    )
    _add_endpoint(one, "where the daemon publishes")

    one = add(
        "history",
        "Print what a daemon published before, from its journal.",
        "streamd history --label Dog",
        "streamd history --since 2026-01-01T22:00:00Z --json",
        "streamd history --since 3f2a5c-kitchen-7 --json   (after the message with this id)",
    )
    one.add_argument(
        "--since", type=_place, metavar="T|ID", help="since a time with its zone, or after the message with this id"
    )
    one.add_argument("--source", action="append", metavar="S", help="only this source; may be given again")
    one.add_argument("--label", action="append", metavar="L", help="only events of this label; may be given again")
    _add_endpoint(one, "where the journal answers")

    add("devices", "List the microphones that can be heard.")

    one = add("check", "Check a configuration as the daemon would at its start, without starting it.")
    _add_config(one, "configuration", required=True)
    _add_keys(one, "where the daemon's keys are, if it is to be reached from beyond this machine")

    one = add(
        "model",
        "Verify a model and print what it is.",
        "streamd model yamnet",
        "streamd model mine.onnx --json",
    )
    one.add_argument("model", metavar="FILE", help="shipped model or .onnx file")

    one = add(
        "capture",
        "Capture a source by hand, here or on another machine, for a daemon to hear.",
        "streamd capture porch --endpoint tcp://127.0.0.1:5556",
        "streamd capture porch --sample-rate 16000 --command arecord -t raw -f S16_LE -r 16000",
        log_level=logging.INFO,
        has_json=False,
    )
    one.add_argument("source", metavar="SOURCE", help="name of a source that the daemon's configuration has as remote")
    kinds = one.add_mutually_exclusive_group()
    kinds.add_argument(
        "--microphone", metavar="NAME", help="name of a microphone or part of it (default: the default one)"
    )
    kinds.add_argument("--recording", type=Path, metavar="FILE", help="WAV, FLAC, OGG or MP3, played in real time")
    kinds.add_argument(
        "--command", nargs=argparse.REMAINDER, dest="program", metavar="…", help="a program and all that follows"
    )
    one.add_argument("--channel", type=_channel, metavar="N|mix", help="a microphone's channel (default: mix)")
    one.add_argument(
        "--sample-rate",
        type=_rate,
        metavar="HZ",
        help="rate of a command's raw PCM (WAV needs none), or to open a microphone at",
    )
    one.add_argument("--n-channels", type=_channels, metavar="N", help="channels of a command's raw PCM")
    one.add_argument("--repeat", action="store_const", const=True, help="play the recording again and again")
    one.add_argument("--fast", action="store_const", const=True, help="play the recording as fast as it can be heard")
    _add_endpoint(one, "where the daemon takes audio")

    one = add(
        "bench",
        "Measure how many real-time sources this machine holds.",
        "streamd bench                         the default model; some minutes",
        "streamd bench --model speech --sources 300 --json 300.json",
        log_level=logging.INFO,
        has_json=False,
    )
    one.add_argument(
        "--sources", type=_count, metavar="N", help="measure this number alone (default: search for the highest)"
    )
    one.add_argument(
        "--model", default="yamnet", metavar="M", help="shipped model or .onnx file (default: %(default)s)"
    )
    one.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where it runs (default: %(default)s)"
    )
    one.add_argument(
        "--per-agent", type=_count, default=1, metavar="K", help="sources of one agent (default: %(default)s)"
    )
    one.add_argument(
        "--seconds",
        type=_measured_seconds,
        default=4.0,
        metavar="S",
        help="length of a measurement, after its warm-up (default: %(default)g)",
    )
    one.add_argument("--json", type=Path, metavar="FILE", dest="json_file", help="write everything to a file, as JSON")

    one = add("reload", "Have a running daemon read its configuration again, and go on with it if it has no mistake.")
    _add_endpoint(one, "where the daemon answers")

    one = add(
        "keys",
        "Make and keep the keys with which daemons, agents and listeners on several machines know each other.",
        "streamd keys new                                    here, for this user",
        "streamd keys authorize 'KEY' --listen --control     on a daemon's machine: who has KEY may listen and ask",
        "streamd keys authorize 'KEY' --speak attic          … may bring the audio of attic, too",
        "streamd keys trust hall 'KEY'                       on the others: the daemon on hall has KEY",
        has_json=False,
    )
    actions = one.add_subparsers(metavar="ACTION", dest="action", required=True, parser_class=_Parser)
    _add_keys(actions.add_parser("new", help="make a pair of keys; the secret one stays here"))
    action = actions.add_parser("authorize", help="let a key come in to the daemon here, for more than it may already")
    action.add_argument("key", metavar="KEY", help="public key of a listener or an agent, in '…'")
    action.add_argument("--listen", action="store_true", help="it may have events, also those of the past")
    action.add_argument("--control", action="store_true", help="it may ask for the status, and reload")
    action.add_argument(
        "--speak", action="append", default=[], metavar="SOURCE", help="it may bring the audio of a source; again: more"
    )
    action.add_argument("--who", default="", metavar="TEXT", help="whose key it is, for people (default: as before)")
    _add_keys(action)
    action = actions.add_parser("trust", help="believe a daemon on another machine")
    action.add_argument("host", metavar="HOST", help="name or address, as in tcp://HOST:PORT")
    action.add_argument("key", metavar="KEY", help="public key of its daemon, in '…'")
    _add_keys(action)
    action = actions.add_parser("list", help="print our public key, who may come in here, and which daemons we believe")
    action.add_argument("--json", action="store_true", help="print JSON instead of text")
    _add_keys(action)

    one = add("status", "Print how a running daemon fares.")
    one.add_argument("--watch", action="store_true", help="again every second, until Ctrl-C")
    _add_endpoint(one, "where the daemon answers")

    one = add(
        "metrics",
        "Serve a running daemon's numbers to Prometheus, on this machine, until Ctrl-C.",
        has_json=False,
    )
    one.add_argument("--port", type=_port, default=9747, help="port on 127.0.0.1; 0: a free one (default: %(default)s)")
    _add_endpoint(one, "where the daemon answers")
    return parser


def _add_config(parser: argparse.ArgumentParser, text: str, *, required: bool = False) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", required=required, help=text)


def _add_endpoint(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--endpoint", metavar="E", help=f"{text} (default: looked for on this machine)")
    _add_keys(parser)


def _add_keys(parser: argparse.ArgumentParser, text: str = "where keys are, for a daemon beyond this machine") -> None:
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FOLDER",
        help=f"{text} (default: streamd/keys among the user's configurations)",
    )


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number from {low:g} to {high:g}")
    return value


def _threshold(text: str) -> float:
    return _number(text, 0.001, 1)


def _seconds(text: str) -> float:
    return _number(text, 0, 3600)


def _measured_seconds(text: str) -> float:
    return _number(text, 0.5, 3600)


def _whole(text: str, low: int, high: int, or_else: str = "") -> int:
    if not (text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number from {low} to {high}{or_else}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, 1, 999_999)


def _rate(text: str) -> int:
    return _whole(text, 1_000, 768_000)


def _channels(text: str) -> int:
    return _whole(text, 1, 256)


def _port(text: str) -> int:
    return int(_number(text, 0, 65_535))


def _channel(text: str) -> int | str:
    return text if text == "mix" else _whole(text, 1, 256, ", or mix")


def _place(text: str) -> datetime | str:
    """Return a time, or the id of a message as it is: a time has a colon, a source's name can't."""
    return _time(text) if ":" in text or not re.fullmatch(r"[0-9a-f]+-[a-z0-9-]+-[0-9]+", text) else text


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        # Not at the very ends of the calendar: another zone, or the recording itself, would lead beyond them.
        if time.tzinfo is not None and 1 < time.year < 9999:
            return time
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"found {text!r}; expected a time with its zone, such as 2026-01-01T22:00:00Z")
