"""`python -m training …`: from a folder of clips to a model, and what a checkout can build."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

from streamd import environment
from streamd.errors import StreamdError, UsageError
from training.arguments import parser

environment.prepare()


def main(arguments: list[str] | None = None) -> int:
    """Obey the command line and return an exit code."""
    options = parser().parse_args(arguments)
    try:
        for line in COMMANDS[options.command](options):
            print(line, flush=True)
    except StreamdError as error:
        print(f"training: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from where it was" if options.command == "train" else ""
        print(f"training: stopped{goes_on}", file=sys.stderr)
        return 130
    return 0


# Each command imports what it needs when it is given: torch alone takes seconds.


def _train(options: argparse.Namespace) -> Iterable[str]:
    from rich.console import Console

    from training.design.progress import Terminal
    from training.recipe import read_recipe
    from training.train import Request, train

    request = Request(
        options.data,
        options.out,
        options.layout,
        read_recipe(options.recipe),
        options.recipe,
        options.minutes,
        options.thorough,
        options.alarms_per_hour,
    )
    return train(request, Terminal(Console(stderr=True)) if sys.stderr.isatty() else None)


def _prepare(options: argparse.Namespace) -> Iterable[str]:
    from training.prepare.command import prepare

    if options.recipe is None:
        return prepare(options.data, options.layout)  # starts at once: a recipe brings torch with it
    from training.recipe import read_recipe

    recipe = read_recipe(options.recipe)
    return prepare(options.data, options.layout, recipe.labels, recipe.trim)


def _process(options: argparse.Namespace) -> Iterable[str]:
    from training.process.command import see
    from training.recipe import read_recipe

    recipe = read_recipe(options.recipe)
    return see(
        options.data,
        options.out,
        options.layout,
        recipe.labels,
        recipe.trim,
        recipe.log_mel,
        recipe.simulation,
        compare_all=options.compare,
        n_scenes=options.hear,
    )


def _design(options: argparse.Namespace) -> Iterable[str]:
    from training.design.command import design
    from training.recipe import read_recipe

    recipe = read_recipe(options.recipe)
    return design(
        options.data,
        options.layout,
        recipe.log_mel,
        labels=recipe.labels,
        trim=recipe.trim,
        recipe=recipe.simulation,
        network=recipe.network.name,
        n_blocks=recipe.network.blocks,
    )


def _export(options: argparse.Namespace) -> Iterable[str]:
    of_run = (options.run, options.file)
    if (of_run != (None, None)) if options.stream else (None in of_run or options.out):
        raise UsageError("expected `export OUT FILE.onnx`, or `export --stream FILE [-o FILE.onnx]`")
    if options.stream is not None:
        from training.design.export_stream_form import export_stream_form

        return export_stream_form(options.stream, options.out)
    from training.kept import export_again

    return export_again(options.run, options.file)


def _expect(options: argparse.Namespace) -> Iterable[str]:
    from training.expect.command import evaluate
    from training.recipe import read_recipe

    recipe = read_recipe(options.recipe)
    return evaluate(
        options.model,
        options.data,
        options.out,
        alarms_per_hour=options.alarms_per_hour,
        layout=options.layout,
        labels=recipe.labels,
        trim=recipe.trim,
        command=f"python -m training {' '.join(sys.argv[1:])}",
    )


def _yamnet(options: argparse.Namespace) -> Iterable[str]:
    from training.expect.default_model import FOLDER, build

    manifest = build(options.negatives)
    yield f"{FOLDER / 'yamnet.onnx'}: {len(manifest.labels)} labels, {len(manifest.default_labels)} on by default"


def _silero(options: argparse.Namespace) -> Iterable[str]:
    from training.design.silero import adopt_silero, packaged_graph
    from training.prepare.negatives import decode

    manifest = adopt_silero(packaged_graph(), options.file, decode(options.heard))
    yield f"{options.file}: {manifest.name}, warm after {manifest.first_score_samples / manifest.sample_rate:.2f} s"


COMMANDS: dict[str, Callable[[argparse.Namespace], Iterable[str]]] = {
    "train": _train,
    "prepare": _prepare,
    "process": _process,
    "design": _design,
    "expect": _expect,
    "export": _export,
    "yamnet": _yamnet,
    "silero": _silero,
}


if __name__ == "__main__":
    sys.exit(main())
