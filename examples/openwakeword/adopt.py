"""openWakeWord's graphs as a model file: `python -m examples.openwakeword.adopt out/wake.onnx --head my_word.onnx`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import onnx

from examples.openwakeword.facts import facts
from examples.openwakeword.graphs import FORMS
from examples.openwakeword.head import write_head
from streamd.manifest import Manifest
from training.design.adopt import adopt

LEAST_MOVE = 1e-3
"""A head knows one word, and golden signals say none: by so much, at least, one of them must move its score."""


def adopt_openwakeword(head: Path, path: Path, label: str, form: str = "new-frames") -> Manifest:
    """Write openWakeWord's graphs with a head as a model file.

    Args:
        head: an ONNX graph, embeddings (1, 16, 96) → scores (1, 1) from 0 to 1.
        path: the .onnx to write.
        label: what the head hears.
        form: one of FORMS.

    Raises:
        ModelError: the package with the graphs is not installed, or a graph doesn't fit.
    """
    graph, wiring = FORMS[form](onnx.load(head))
    said = facts(label, wiring.n_state, hears_log_mel=wiring.input == "log_mel")
    return adopt(graph, wiring, said, path, least_at_all=LEAST_MOVE)


def main() -> None:
    """Do it from a command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the .onnx to write")
    parser.add_argument("--head", type=Path, help="a head for openWakeWord; default: a stand-in that knows no word")
    parser.add_argument("--label", help="what it hears (default: the head's file name)")
    parser.add_argument("--form", choices=FORMS, default="new-frames", help="default: %(default)s; see the README")
    args = parser.parse_args()
    args.file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        head = args.head or Path(folder) / "stand-in.onnx"
        if not args.head:
            write_head(head)
        written = adopt_openwakeword(head, args.file, args.label or head.stem, args.form)
    seconds = written.first_score_samples / written.sample_rate
    print(f"{args.file}: {written.labels[0]}, {args.form}, first score after {seconds:.2f} s")


if __name__ == "__main__":
    main()
