"""`python -m training …`: what a checkout can build."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streamd import environment
from streamd.errors import StreamdError

environment.prepare()


def main(arguments: list[str] | None = None) -> int:
    """Obey the command line and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Build models for streamd, offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    known = commands.add_parser(
        "prepare",
        help="know a data set: labels, groups, trims, and what is wrong with it",
        description="Read a folder per label, or tables, and tell what is in them. Nothing is written.",
    )
    known.add_argument("data", type=Path, metavar="DATA", help="DATA/<label>/*.wav, or a layout that is recognised")
    known.add_argument("--layout", metavar="NAME", help="read DATA as this, rather than as what it looks like")
    default = commands.add_parser(
        "yamnet",
        help="build the default model, models/yamnet/yamnet.onnx, and its card",
        description="Build models/yamnet/yamnet.onnx and card.md from the weights in training/design/weights.",
    )
    default.add_argument(
        "--negatives",
        type=Path,
        metavar="FOLDER",
        help="choose default labels and thresholds anew on 19 hours of audio, which are fetched from Debian's"
        " packages into FOLDER (5 GB) on the first call; without it, the table in the repository is used",
    )
    silero = commands.add_parser(
        "silero",
        help="adopt silero-vad's own graph as a model file",
        description="Wrap silero_vad.onnx of the Python package silero-vad (pip install --no-deps silero-vad).",
    )
    silero.add_argument("heard", type=Path, metavar="RECORDING", help="some speech, to measure the warm-up on")
    silero.add_argument("file", type=Path, metavar="FILE.onnx", help="the model file to write")
    options = parser.parse_args(arguments)
    try:
        if options.command == "prepare":
            _prepare(options.data, options.layout)
        elif options.command == "yamnet":
            _yamnet(options.negatives)
        else:
            _silero(options.heard, options.file)
    except StreamdError as error:
        print(f"training: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _prepare(data: Path, layout: str | None) -> None:
    from training.prepare.command import prepare

    for line in prepare(data, layout):
        print(line)


def _yamnet(negatives: Path | None) -> None:
    from training.expect.default_model import FOLDER, build

    manifest = build(negatives)
    print(f"{FOLDER / 'yamnet.onnx'}: {len(manifest.labels)} labels, {len(manifest.default_labels)} on by default")


def _silero(heard: Path, file: Path) -> None:
    from training.design.silero import adopt_silero, packaged_graph
    from training.prepare.negatives import decode

    manifest = adopt_silero(packaged_graph(), file, decode(heard))
    print(f"{file}: {manifest.name}, warm after {manifest.first_score_samples / manifest.sample_rate:.2f} s")


if __name__ == "__main__":
    sys.exit(main())
