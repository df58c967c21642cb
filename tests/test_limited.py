"""Model files of strangers in a real child: what crashes, hangs or eats memory is refused in a line."""

from __future__ import annotations

import hashlib
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from streamd import limited
from streamd.errors import ModelError
from streamd.limited import try_model
from tests import tiny_models


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives its golden answer."""
    return tiny_models.build(tmp_path_factory.mktemp("model"), "window", "log_mel")


def after_posterior(*nodes: onnx.NodeProto, **constants: np.ndarray) -> Callable[[onnx.ModelProto], None]:
    """Return what puts nodes between the graph's last one, whose output they call raw, and its posterior."""

    def rewrite(network: onnx.ModelProto) -> None:
        network.graph.node[-1].output[0] = "raw"
        network.graph.node.extend(nodes)
        network.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())

    return rewrite


def a_stranger(folder: Path, rewrite: Callable[[onnx.ModelProto], None]) -> Path:
    """Write a model whose graph is changed and whose golden answer is any: nobody could run it to make one."""
    facts = tiny_models.manifest("window", "log_mel")
    network = tiny_models.graph(facts)
    facts = tiny_models.with_golden(folder / "draft.onnx", facts, network)
    rewrite(network)
    return tiny_models.write(folder / "stranger.onnx", facts, network)


def test_a_good_model_is_told_by_its_hash(good: Path) -> None:
    assert try_model(good) == hashlib.sha256(good.read_bytes()).hexdigest()


def test_what_the_model_lacks_is_said_as_it_would_be_here(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no ONNX file"):
        try_model(_written(tmp_path / "notes.onnx", b"no model at all"))
    with pytest.raises(ModelError, match=r"can't be read \(No such file or directory\)"):
        try_model(tmp_path / "nowhere.onnx")


def _written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


def test_a_model_that_wants_all_memory_is_refused(tmp_path: Path) -> None:
    sixteen_gigabytes = helper.make_node(
        "ConstantOfShape", ["shape"], ["much"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    )
    nodes = (
        sixteen_gigabytes,
        helper.make_node("ReduceMax", ["much"], ["most"], keepdims=0),
        helper.make_node("Mul", ["raw", "most"], ["posterior"]),
    )
    file = a_stranger(tmp_path, after_posterior(*nodes, shape=np.array([4 << 30], np.int64)))
    with pytest.raises(ModelError, match=r"(?i)alloc|memory"):
        try_model(file)


def test_a_model_that_never_ends_is_refused_after_its_time(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["times", "true", "raw"], ["posterior"], body=body)
    rewrite = after_posterior(loop, times=np.array(1 << 60, np.int64), true=np.array(True))
    with pytest.raises(ModelError, match=r"no answer within 3 s"):
        try_model(a_stranger(tmp_path, rewrite), seconds=3.0)


@pytest.mark.parametrize(
    ("program", "said"),
    [("kill -SEGV $$", "was killed by signal 11"), ("exit 1", "failed"), ('echo \'{"type": "_Passed"}\'', "failed")],
)
def test_a_child_that_crashes_or_says_nonsense_is_a_line(
    program: str, said: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text(f"#!/bin/sh\n{program}\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(
        ModelError, match=f"^{good}: the process that tried it {said}; the file is damaged, or no model$"
    ):
        try_model(good)


def test_a_child_that_cannot_be_started_is_a_line(good: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(
            ModelError, match=rf"^{good}: no process can be started to try it \(Too many open files\); "
        ):
            try_model(good)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_child_has_limits(good: Path, tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from streamd import limited\n"
        f"limited._limit_this_process(Path({str(good)!r}))\n"
        "names = 'AS', 'CPU', 'CORE', 'FSIZE'\n"
        "print(*(resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1] for name in names))"
    )
    import subprocess

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    most = limited.MEMORY_BYTES + limited.MEMORY_TIMES_FILE * good.stat().st_size
    assert [int(one) for one in told[1:]] == [limited.TRIAL_SECONDS, 0, 0]
    if sys.platform == "linux":
        assert int(told[0]) == most
