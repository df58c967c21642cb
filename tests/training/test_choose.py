"""Which network: as deep as events are long, recurrent beyond that; and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from streamd.errors import DataError  # noqa: E402
from streamd.logmel import LogMelSpec  # noqa: E402
from training.design import choose  # noqa: E402
from training.design.choose import choose_network, cost_of, pooling_of, wanted  # noqa: E402
from training.design.command import design  # noqa: E402
from training.design.pooling import Pooling  # noqa: E402
from training.design.receptive_field import seconds_seen  # noqa: E402
from training.design.yamnet_layers import LOG_MEL  # noqa: E402
from training.prepare.clips import Clip  # noqa: E402
from training.prepare.simulation.material import Sound  # noqa: E402

SPEC = LogMelSpec()


@pytest.mark.parametrize(
    ("event_seconds", "name", "n_blocks"),
    [(0.05, "tc-resnet", 2), (0.7, "tc-resnet", 2), (1.5, "tc-resnet", 3), (3.0, "tc-resnet", 4), (5.0, "crnn", 4)],
)
def test_the_network_is_as_deep_as_events_are_long_and_recurrent_beyond(event_seconds, name, n_blocks):
    chosen = choose_network([event_seconds] * 20, SPEC, 2)
    assert (chosen.name, chosen.depth.n_blocks) == (name, n_blocks)
    assert chosen.network.n_labels == 2
    assert chosen.depth.receptive_field_seconds == seconds_seen(chosen.network.layers, SPEC)
    assert f"{event_seconds:.2f} s" in chosen.why[0]
    assert (chosen.depth.warning is not None) == (event_seconds == 0.05)


def test_what_is_asked_for_is_taken_and_a_misfit_warned_of():
    chosen = choose_network([3.0] * 4, SPEC, 1, "vgg", 3)
    assert (chosen.name, chosen.depth.n_blocks) == ("vgg", 3)
    assert "can't know an event as a whole" in chosen.depth.warning
    assert choose_network([0.5] * 4, SPEC, 1, "tc-resnet").network.time_stride == 4
    with pytest.raises(ValueError, match="expected one of vgg"):
        choose_network([1.0], SPEC, 1, "transformer")


def test_few_clips_ask_for_a_pretrained_network_with_its_own_log_mel_unless_something_else_is_asked_for(monkeypatch):
    monkeypatch.setattr(choose, "FEW_CLIPS", 200)
    few = wanted(60, None)
    assert (few.name, few.spec) == ("pretrained", LOG_MEL)
    assert "60 clips" in few.reason
    chosen = choose_network([0.3], few.spec, 1, few.name, few.n_blocks, few.reason)
    assert (chosen.name, chosen.why[-1]) == ("pretrained", few.reason)
    assert wanted(200, None).name is None
    assert wanted(60, SPEC).name is None
    assert (wanted(60, None, "vgg").name, wanted(60, None, "vgg").spec) == ("vgg", SPEC)
    assert wanted(9999, None, "pretrained").spec == LOG_MEL


def test_the_share_of_time_that_a_label_is_on_is_told_and_strong_labels_are_not_pooled():
    def sound(label, seconds):
        return Sound(
            Clip(Path(f"{label}.wav"), label, None, None, None, None), np.ones(int(8000 * seconds), np.float32)
        )

    found = pooling_of([sound("click", 0.02), sound("hum", 4.0)], 8000)
    assert found["click"].share_on < 0.02 < 0.3 < found["hum"].share_on
    assert {choice.pooling for choice in found.values()} == {Pooling.FRAME_WISE}


def test_a_deeper_network_costs_more():
    shallow, deep = (cost_of(choose_network([seconds], SPEC, 1).network, SPEC) for seconds in (0.3, 2.0))
    assert shallow.n_parameters < deep.n_parameters
    assert shallow.macs_per_second < deep.macs_per_second
    assert 0 < shallow.seconds_per_hop < 0.08


def test_the_command_tells_lengths_network_pooling_and_cost(tmp_path):
    random = np.random.default_rng(3)
    for label, seconds in (("knock", 0.2), ("bell", 0.5)):
        for i in range(3):
            audio = np.zeros(16_000)
            audio[4000 : 4000 + int(16_000 * seconds)] = 0.3 * random.standard_normal(int(16_000 * seconds))
            (tmp_path / label).mkdir(exist_ok=True)
            soundfile.write(tmp_path / label / f"{i}.wav", audio, 16_000)
    told = "\n".join(design(tmp_path, network="tc-resnet"))
    for words in (
        "knock ",
        "network: tc-resnet",
        "parameters",
        "M MAC",
        "pooling frame-wise",
        "a hop of 80 ms",
        "scenes to",
    ):
        assert words in told
    with pytest.raises(DataError):
        list(design(tmp_path / "knock" / "0.wav"))
