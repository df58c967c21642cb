"""A GPU that is lost: the same once more, then the processor, or the end; nobody's event stays open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamd import device_loss
from streamd.detector import Detector
from streamd.device_loss import DeviceLoss
from streamd.errors import DeviceLostError, ModelError
from streamd.listeners import Listener
from streamd.model import Device, Model
from streamd.rows import Rows
from tests import tiny_models
from tests.tiny_models import tone

LOUD = (tone(8_000, "Low tone") * 32768).astype(np.int16)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build(tmp_path_factory.mktemp("model"), "stream", "log_mel")


@pytest.fixture
def listener(file: Path) -> Listener:
    """Hears two sources, of which one has an open event; a third has left."""
    one = Listener(0, Detector(Model(file, "cpu")), ("attic", "kitchen"))
    for source in ("gone", "attic", "kitchen"):
        one.detector.start(source)
    one.detector.leave("gone")
    one.detector.push("kitchen", LOUD)
    assert [found.offset_sample for hop in one.detector.step() for found in hop.detections] == [None]
    return one


@pytest.fixture
def gpu_works(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Stands for a GPU at hand: what is loaded onto it works, on the processor."""

    def switch(works: bool) -> None:
        def load(file: Path, device: Device) -> Model:
            return Model(file, "cpu" if works else device)

        monkeypatch.setattr(device_loss, "Model", load)

    return switch


LOST = DeviceLostError("CUDAExecutionProvider can't run a batch of 2: an illegal memory access was encountered")


def hears(listener: Listener) -> list[tuple[str, bool]]:
    """The events of a tone in both sources, from where they are now."""
    for source in ("attic", "kitchen"):
        listener.detector.push(source, LOUD)
    return sorted(
        (found.source, found.offset_sample is None) for hop in listener.detector.step() for found in hop.detections
    )


def test_without_the_gpu_it_goes_on_on_the_processor_and_says_so(listener: Listener) -> None:
    degraded, [offset] = DeviceLoss("cpu").recover(listener, LOST)
    assert degraded == "tiny-stream-log_mel runs on the CPU: its GPU was lost"
    assert (offset.source, offset.end_reason) == ("kitchen", "device")
    assert offset.offset_sample is not None
    assert listener.model.provider == "CPUExecutionProvider"
    assert hears(listener) == [("attic", True), ("kitchen", True)]


def test_a_gpu_that_comes_back_is_taken_again_but_not_twice_within_a_minute(
    listener: Listener, gpu_works: Callable[[bool], None]
) -> None:
    gpu_works(True)
    loss = DeviceLoss("cpu")
    first = listener.model
    degraded, closed = loss.recover(listener, LOST)
    assert (degraded, len(closed)) == ("", 1)
    assert listener.model is not first
    assert hears(listener) == [("attic", True), ("kitchen", True)]
    degraded, closed = loss.recover(listener, LOST)
    assert degraded
    assert len(closed) == 2


def test_who_wants_the_gpu_or_nothing_gets_the_error(listener: Listener) -> None:
    with pytest.raises(DeviceLostError, match="an illegal memory access"):
        DeviceLoss("stop").recover(listener, LOST)
    assert len(listener.detector.flush("shutdown")) == 1


def test_who_wants_the_gpu_gets_it_back(listener: Listener, gpu_works: Callable[[bool], None]) -> None:
    gpu_works(True)
    assert DeviceLoss("stop").recover(listener, LOST)[0] == ""


def test_a_gpu_that_is_full_of_others_is_as_good_as_none(
    listener: Listener, gpu_works: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens the model's file, and has no room for what sources remember."""
    gpu_works(True)

    def rows_of(model: Model, max_batch: int) -> Rows:
        if asked:
            return Rows(model, max_batch)
        asked.append(model)
        raise DeviceLostError("CUDAExecutionProvider can't hold 64 sources: out of memory")

    asked: list[Model] = []
    monkeypatch.setattr(listener.detector, "_rows_of", rows_of)
    degraded, closed = DeviceLoss("cpu").recover(listener, LOST)
    assert degraded
    assert len(closed) == 1
    assert hears(listener) == [("attic", True), ("kitchen", True)]


def test_another_file_in_the_place_of_the_model_is_refused(tmp_path: Path) -> None:
    """Its labels may have another order: what it hears would be told under wrong names."""
    file = tiny_models.build(tmp_path, "stream", "log_mel")
    one = Listener(0, Detector(Model(file, "cpu")), ("attic",))
    labels = tuple(reversed(tiny_models.TONES))
    tiny_models.build(tmp_path, "stream", "log_mel", labels=labels, default_labels=labels)
    with pytest.raises(ModelError, match=r"not the one that was loaded; start streamd again"):
        DeviceLoss("cpu").recover(one, LOST)
