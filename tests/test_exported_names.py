"""The public names of the package, and that using them as a client stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import streamd
from streamd.errors import StreamdError
from streamd.events import Event, State

HEAVY = {"numpy", "onnxruntime", "rich", "sounddevice", "soundfile", "soxr", "torch"}


def in_a_fresh_python(program: str) -> str:
    """Run a program in an interpreter that has loaded nothing yet, and return what it prints."""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def loaded_by(program: str) -> set[str]:
    """Return the top-level modules that a program leaves loaded."""
    printed = in_a_fresh_python(f"{program}\nimport json, sys; print(json.dumps(sorted(sys.modules)))")
    return {name.partition(".")[0] for name in json.loads(printed)}


def test_the_public_names_are_these() -> None:
    assert streamd.__all__ == ["Event", "Gap", "State", "StreamdError", "__version__", "subscribe"]


def test_every_public_name_is_there_and_dir_lists_it() -> None:
    assert dir(streamd) == streamd.__all__
    for name in streamd.__all__:
        assert getattr(streamd, name) is not None


def test_public_names_are_the_ones_of_their_modules() -> None:
    assert (streamd.Event, streamd.State, streamd.StreamdError) == (Event, State, StreamdError)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'streamd' has no attribute 'publish_everything'"):
        _ = streamd.publish_everything


def test_import_streamd_loads_no_library_at_all() -> None:
    assert loaded_by("import streamd").isdisjoint(HEAVY | {"zmq", "msgspec", "yaml"})


def test_a_client_loads_neither_onnxruntime_nor_audio_libraries_nor_rich() -> None:
    loaded = loaded_by("import streamd; streamd.subscribe, streamd.Event, streamd.State, streamd.Gap")
    assert "zmq" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "program",
    [
        "import streamd",
        "import streamd.subscribe",
        "import streamd, streamd.subscribe",
        "import streamd; streamd.subscribe; import streamd.subscribe",
        "from streamd.subscribe import Gap; import streamd",
        "import streamd; streamd.Gap",
        "import importlib, streamd; importlib.import_module('streamd.subscribe')",
    ],
)
def test_streamd_subscribe_is_the_function_whatever_was_imported_before(program: str) -> None:
    check = "print(type(streamd.subscribe).__name__, streamd.subscribe.__name__)"
    assert in_a_fresh_python(f"{program}\n{check}") == "function subscribe"


def test_from_streamd_import_subscribe_is_the_function() -> None:
    assert in_a_fresh_python("from streamd import subscribe; print(subscribe.__name__)") == "subscribe"


def test_the_module_behind_the_function_is_importable_too() -> None:
    program = "import streamd\nfrom streamd.subscribe import Gap, subscribe\nprint(subscribe is streamd.subscribe)"
    assert in_a_fresh_python(program) == "True"
