"""The command line of `python -m training`: what may be asked for, and in which words."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.expect.budget import ALARMS_PER_HOUR
from training.prepare.layouts import NAMES

MINUTES = 10.0
"""Of `train` unless it says otherwise: as long as people wait before they go and do something else."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="python -m training",
        description="From a folder of clips to a model for streamd, offline: prepare, process, design, expect.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    _train(commands.add_parser("train", help="all of it: from a folder of clips to a model and a report on it"))
    _prepare(commands.add_parser("prepare", help="know a data set: labels, groups, trims, and what is wrong with it"))
    _process(commands.add_parser("process", help="see and hear what a network gets: bands, pictures, simulated clips"))
    _design(commands.add_parser("design", help="which network, how deep, at which cost, and why; nothing is trained"))
    _expect(commands.add_parser("expect", help="what a model will do: any model file, on anybody's recordings"))
    _export(commands.add_parser("export", help="the model file of a run anew, or a window's model as a stream"))
    _yamnet(commands.add_parser("yamnet", help="build the default model, models/yamnet/yamnet.onnx, and its card"))
    _silero(commands.add_parser("silero", help="adopt silero-vad's own graph as a model file"))
    return top


def _data(command: argparse.ArgumentParser, obeyed: str) -> None:
    """Add what most commands have; obeyed: what of a recipe counts for this one."""
    command.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="DATA/<label>/*.wav, DATA/background/* without the sounds, DATA/labels.csv; or a layout that is known",
    )
    command.add_argument(
        "--layout",
        metavar="NAME",
        help=f"read DATA as this, rather than as what it looks like: {', '.join(NAMES)}",
    )
    command.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE.yaml",
        help=f"what to do otherwise than by default; of it, {obeyed} for this command",
    )


def _budget(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--alarms-per-hour",
        type=float,
        default=ALARMS_PER_HOUR,
        metavar="N",
        help=f"false alarms an hour and label that thresholds are chosen for (default: {ALARMS_PER_HOUR:g})",
    )


def _train(command: argparse.ArgumentParser) -> None:
    command.description = "Audit, fit, export, evaluate; OUT gets the model, report.html, report.json and card.md."
    _data(command, "all counts")
    command.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the folder to write into")
    command.add_argument(
        "--minutes", type=float, default=MINUTES, metavar="N", help=f"for all of it (default: {MINUTES:g})"
    )
    command.add_argument(
        "--thorough",
        action="store_true",
        help="after that: learning curve, shuffled labels, the whole matrix, three seeds; takes many times as long",
    )
    _budget(command)


def _prepare(command: argparse.ArgumentParser) -> None:
    command.description = "Read a folder per label, or tables, and tell what is in them. Nothing is written."
    _data(command, "labels and trim count")


def _process(command: argparse.ArgumentParser) -> None:
    command.description = "Which bands carry the information, and what is left of the sound in a log-mel."
    _data(command, "labels, trim, log_mel and simulation count")
    command.add_argument(
        "-o", "--out", type=Path, default="process", metavar="OUT", help="for pictures and clips (default: process)"
    )
    command.add_argument("--compare", action="store_true", help="the same small network on other representations")
    command.add_argument(
        "--hear", type=int, default=0, metavar="N", help="write N simulated clips, as they are and as heard"
    )


def _design(command: argparse.ArgumentParser) -> None:
    command.description = "Event lengths, receptive field, sparsity, network, pooling, parameters and cost."
    _data(command, "labels, trim, log_mel, simulation and network count")


def _expect(command: argparse.ArgumentParser) -> None:
    command.description = "Play labelled recordings through the daemon's detector and report what it made of them."
    command.add_argument("model", metavar="MODEL", help="a model file, or the name of a shipped one")
    _data(command, "labels and trim count")
    command.add_argument(
        "-o", "--out", type=Path, default="expect", metavar="OUT", help="for the report (default: expect)"
    )
    _budget(command)


def _export(command: argparse.ArgumentParser) -> None:
    command.usage = "%(prog)s OUT FILE.onnx | --stream FILE [-o FILE.onnx]"
    command.description = (
        "Write the model of a finished run: proved against torch, its stream, its events. Or rewrite a model that hears"
        " its whole window at every hop as one that hears what is new: proved equal, or refused."
    )
    command.add_argument("run", type=Path, nargs="?", metavar="OUT", help="the folder that `train` wrote")
    command.add_argument("file", type=Path, nargs="?", metavar="FILE.onnx", help="the model file to write")
    command.add_argument("--stream", type=Path, metavar="FILE", help="a model file of kind window, to be a stream")
    command.add_argument(
        "-o", "--out", type=Path, metavar="FILE.onnx", help="for --stream (default: FILE-stream.onnx beside FILE)"
    )


def _yamnet(command: argparse.ArgumentParser) -> None:
    command.description = "Build models/yamnet/yamnet.onnx and card.md from the weights in training/design/weights."
    command.add_argument(
        "--negatives",
        type=Path,
        metavar="FOLDER",
        help="choose default labels and thresholds anew and count on 36 hours of audio, fetched from Debian's"
        " packages into FOLDER (15 GB) on the first call; without it, the table in the repository is used",
    )


def _silero(command: argparse.ArgumentParser) -> None:
    command.description = "Wrap silero_vad.onnx of the Python package silero-vad (pip install --no-deps silero-vad)."
    command.add_argument("heard", type=Path, metavar="RECORDING", help="some speech, to measure the warm-up on")
    command.add_argument("file", type=Path, metavar="FILE.onnx", help="the model file to write")
