"""The command `streamd`: arguments → calls. Each command imports what it needs when it runs."""

from __future__ import annotations

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, tzinfo
from io import TextIOWrapper
from typing import TYPE_CHECKING, Literal

from streamd.arguments import parse
from streamd.environment import prepare
from streamd.errors import ConfigError, DeviceError, StreamdError, UsageError

if TYPE_CHECKING:
    from streamd.capture.specs import Spec
    from streamd.decision import DecisionSpec
    from streamd.events import Message
    from streamd.gap import Gap
    from streamd.manifest import Manifest
    from streamd.subscribe import Subscription
    from streamd.terminal import Output

log = logging.getLogger("streamd")

SILENT_SECONDS = 3.0
"""A daemon that says nothing for this long is none: its heartbeats are a second apart."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports of a process that SIGPIPE ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (sys.argv if None) and return its exit code."""
    prepare()
    try:
        args = parse(arguments)
        logging.basicConfig(format="streamd: %(message)s", level=args.log_level)
        _speak_utf8(strictly=args.json)
        code = _COMMANDS[args.command](args)
        sys.stdout.flush()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except StreamdError as error:
        print(f"streamd: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Python flushes once more at exit, into the same broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _speak_utf8(*, strictly: bool) -> None:
    """JSON is UTF-8 whatever the locale says; other text shows what the locale lacks as an escape."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8") if strictly else sys.stdout.reconfigure(errors="backslashreplace")


def _output(args: Namespace, zone: tzinfo | None = None) -> Output:
    from streamd.terminal import Output

    return Output(sys.stdout, as_json=args.json, zone=zone)


def _run(args: Namespace) -> int:
    import faulthandler

    from streamd import config, daemon, wall

    for trouble in wall.unset_in_words(wall.WallClock().report()):
        log.warning("%s", trouble)
    faulthandler.enable()  # what ends by a fault in C, or hangs and is ended by systemd's watchdog, says where it was
    return daemon.run(config.load(args.config), args.config)


def _demo(args: Namespace) -> int:
    from streamd import demo

    code: int = demo.run(json=args.json)
    return code


def _replay(args: Namespace) -> int:
    from streamd import shipped
    from streamd.environment import give_back_memory
    from streamd.events import encode
    from streamd.model import Model
    from streamd.replay import replay

    model = Model(shipped.find_model(args.model))
    give_back_memory()
    decisions = replay_decisions(model.manifest, args.labels, args.onset_threshold)
    output = _output(args, zone=UTC)
    for event in replay(args.recordings, model, decisions, pad_seconds=args.pad, start=args.start):
        output.message(event, encode(event))
    return 0


def replay_decisions(
    facts: Manifest, labels: Sequence[str] | None, onset_threshold: float | None
) -> dict[str, DecisionSpec]:
    """Return the labels that --labels switches on, each with its decision under --onset-threshold.

    Raises:
        UsageError: a label that the model doesn't have.
    """
    from streamd.override import DecisionOverride

    if labels is None:
        names = list(facts.default_labels)
    elif labels == ["all"]:
        names = list(facts.labels)
    else:
        names = split_labels(labels, facts.labels)
    override = DecisionOverride(
        {} if onset_threshold is None else {"onset_threshold": onset_threshold}, "--onset-threshold"
    )
    return {name: override.apply(facts.decision_of(name)) for name in names}


def split_labels(texts: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the labels that a user names, with commas between them, in any case.

    Labels hold commas themselves ("Smoke detector, smoke alarm"): from the left, the longest run of
    parts that is a label is taken as one.

    Raises:
        UsageError: a part is no label.
    """
    from streamd.spelling import did_you_mean

    def bare(text: str) -> str:
        return ",".join(part.strip() for part in text.casefold().split(","))

    by_bare = {bare(label): label for label in known}
    found: dict[str, None] = {}
    for text in texts:
        parts = text.split(",")
        while parts:
            for n in range(len(parts), 0, -1):
                if label := by_bare.get(bare(",".join(parts[:n]))):
                    found[label] = None
                    del parts[:n]
                    break
            else:
                word = parts[0].strip()
                raise UsageError(f"--labels: the model has no label {word!r}{did_you_mean(word, known)}")
    return list(found)


def _listen(args: Namespace) -> int:
    from streamd.events import Heartbeat
    from streamd.subscribe import Subscription
    from streamd.terminal import SECONDS_A_PICTURE

    # A daemon's heartbeats tell that it is there, whatever it hears.
    also: Sequence[Literal["heartbeat", "score", "level"]] = ("heartbeat",)
    if args.scores:
        also = ("heartbeat", "score", "level")
    with Subscription(
        args.endpoint, sources=args.source, labels=args.label, also=also, keys_folder=args.keys
    ) as subscription:
        output = _output(args)
        patience = SECONDS_A_PICTURE if args.scores else None
        heard = _heard(subscription, patience, may_be_wrong=bool(args.endpoint or args.source))
        try:
            if args.scores:
                output.scores(heard, args.top, args.label or ())
            else:
                for message, payload in heard:
                    if message is not None and not isinstance(message, Heartbeat):
                        output.message(message, payload)
        except KeyboardInterrupt:  # how it is meant to end
            return 0
    return 0


def _heard(
    subscription: Subscription, patience: float | None, *, may_be_wrong: bool
) -> Iterator[tuple[Message | Gap | None, bytes]]:
    """Yield messages as they are and as they were on the wire; a None after so many seconds without one.

    Where nothing is said at all, not even a heartbeat, an endpoint or a source that a user gave may be wrong:
    say so once.
    """
    message = subscription.poll(SILENT_SECONDS)
    if message is None and may_be_wrong:
        log.warning("%s: nothing is said there; does a daemon run, with such a source? Waits", subscription.endpoint)
    while True:
        yield message, subscription.payload
        message = subscription.poll(patience)


def _history(args: Namespace) -> int:
    from streamd.events import Event, slug
    from streamd.history import Since
    from streamd.past import recall

    is_id = isinstance(args.since, str)
    request = Since(
        time=None if is_id else args.since, after=args.since if is_id else None, sources=args.source or None
    )
    labels = {slug(label) for label in args.label or ()}
    output = _output(args)
    for message, payload in recall(request, args.endpoint, keys_folder=args.keys):
        if not labels or (isinstance(message, Event) and slug(message.label) in labels):
            output.message(message, payload)
    return 0


def _devices(args: Namespace) -> int:
    from streamd.capture.microphone import list_microphones
    from streamd.sheets import devices_sheets

    microphones = list_microphones()
    _output(args).sheets(devices_sheets(microphones), microphones)
    return 0


def _check(args: Namespace) -> int:
    from streamd import config
    from streamd.listeners import load_listeners
    from streamd.sheets import check_sheets

    try:
        given = config.load(args.config, args.keys)
        listeners = load_listeners(given)
    except StreamdError as error:
        if not args.json:
            raise
        mistakes = error.mistakes if isinstance(error, ConfigError) else [str(error)]
        _output(args).sheets([], {"file": str(args.config), "mistakes": mistakes})
        return error.exit_code
    labels_on = [listener.detector.labels for listener in listeners]
    _output(args).sheets(check_sheets(given, labels_on), {"file": str(args.config), "mistakes": []})
    return 0


def _model(args: Namespace) -> int:
    from streamd import shipped
    from streamd.model import Model
    from streamd.sheets import model_sheets

    model = Model(shipped.find_model(args.model))
    facts = {
        "file": str(model.file),
        "sha256": model.sha256,
        "provider": model.provider,
        "run_seconds": model.run_seconds,
        "manifest": model.manifest,
    }
    _output(args).sheets(model_sheets(str(model.file), model.sha256, model.provider, model.manifest), facts)
    return 0


def _capture(args: Namespace) -> int:
    from streamd import endpoints
    from streamd.capture import agent

    return agent.run(args.source, capture_spec(args), args.endpoint or endpoints.find("audio"), keys_folder=args.keys)


def capture_spec(args: Namespace) -> Spec:
    """Return what the arguments of `capture` say to capture.

    Raises:
        UsageError: an option that is not of this kind of source.
    """
    from streamd.capture.specs import Command, Microphone, Recording
    from streamd.config import OPTIONS

    kind = "recording" if args.recording else "command" if args.program is not None else "microphone"
    names = ("channel", "sample_rate", "n_channels", "repeat", "fast")
    options = {name: value for name in names if (value := getattr(args, name)) is not None}
    for name in options.keys() - OPTIONS[kind]:
        raise UsageError(f"--{name.replace('_', '-')} does not belong to a {kind}; see `streamd capture --help`")
    if kind == "recording":
        return Recording(path=str(args.recording), **options)
    if kind == "command":
        if not args.program:
            raise UsageError("--command without a program; expected one, and its arguments, at the end of the line")
        return Command(arguments=tuple(args.program), **options)
    return Microphone(name=args.microphone, **options)


def _status(args: Namespace) -> int:
    from streamd import control
    from streamd.requests import Status
    from streamd.sheets import Sheet, status_sheets

    answer = control.ask_status(args.endpoint, keys_folder=args.keys)
    output = _output(args)
    if not args.watch:
        output.sheets(status_sheets(answer), answer)
        return 0
    try:
        followed = control.statuses(answer, args.endpoint, keys_folder=args.keys)
        output.watch(
            (status_sheets(each), each) if isinstance(each, Status) else ([Sheet(f"no answer: {each}")], None)
            for each in followed
            if isinstance(each, Status) or not args.json  # where each line is a status
        )
    except KeyboardInterrupt:  # how it is meant to end
        return 0
    return 0


def _metrics(args: Namespace) -> int:
    try:
        from streamd import metrics
    except ImportError as error:
        raise DeviceError(
            f"streamd metrics needs prometheus_client ({error}); pip install 'streamd[metrics]'"
        ) from error
    metrics.serve(args.port, args.endpoint, args.keys, _output(args).say)
    return 0


def _reload(args: Namespace) -> int:
    from streamd import control
    from streamd.sheets import reload_sheets

    report = control.ask_reload(args.endpoint, keys_folder=args.keys)
    _output(args).sheets(reload_sheets(report), report)
    return ConfigError.exit_code if report.mistakes else 0


def _keys(args: Namespace) -> int:
    from streamd import keyring

    _output(args).sheets(*keyring.obey(args))
    return 0


def _bench(args: Namespace) -> int:
    from streamd.bench.command import bench
    from streamd.bench.table import sheets

    found = bench(args.model, args.device, args.sources, args.per_agent, args.seconds, args.json_file)
    _output(args).sheets(sheets(found), found)
    return 0 if found.rows[-1].most_sources else 1


_COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "run": _run,
    "demo": _demo,
    "replay": _replay,
    "listen": _listen,
    "history": _history,
    "devices": _devices,
    "check": _check,
    "model": _model,
    "capture": _capture,
    "bench": _bench,
    "keys": _keys,
    "status": _status,
    "reload": _reload,
    "metrics": _metrics,
}
