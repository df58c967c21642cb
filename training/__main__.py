"""`python -m training …`: what a checkout can build."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streamd.environment import prepare

prepare()


def main(arguments: list[str] | None = None) -> int:
    """Obey the command line and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Build models for streamd, offline.")
    commands = parser.add_subparsers(dest="command", required=True)
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
    options = parser.parse_args(arguments)

    from training.expect.default_model import FOLDER, build

    manifest = build(options.negatives)
    print(f"{FOLDER / 'yamnet.onnx'}: {len(manifest.labels)} labels, {len(manifest.default_labels)} on by default")
    return 0


if __name__ == "__main__":
    sys.exit(main())
