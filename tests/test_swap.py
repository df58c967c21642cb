"""What a swap says to agents and does to takes: real sockets, real sources, one agent that speaks for two of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from streamd import config
from streamd.blocks import Refuse, Want, block_take
from streamd.config import Config
from streamd.detector import Detector
from streamd.listeners import Listener
from streamd.model import Model
from streamd.swap import Plan, swap
from tests import tiny_models
from tests.sockets import a_context, short_folder
from tests.test_intake import FAST_RATE, Agent, Daemon, silence

HOP = 320


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """At 8 kHz one with a hop of 320 samples and one with half of it, and one at 16 kHz."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "slow": tiny_models.build(folder, "window", "log_mel", name="slow"),
        "often": tiny_models.build(folder, "window", "log_mel", name="often", hop_frames=2),
        "fast": tiny_models.build(folder, "window", "samples", name="fast", sample_rate=FAST_RATE),
    }


class Rig:
    """A daemon's sources, the agent of attic and hall, and configurations from one to the next."""

    def __init__(self, files: dict[str, Path], daemon: Daemon, agent: Agent, heard: dict[str, str]) -> None:
        self._files = files
        self.daemon = daemon
        self.agent = agent
        self.models: dict[str, Model] = {}
        self.listeners: dict[str, Listener] = {}
        self.config = self._config(heard)
        for name, source in daemon.sources.items():
            source.exchange(self.plan(heard).heard_by(name), keep_takes=True)

    def _config(self, heard: dict[str, str]) -> Config:
        sources = ", ".join(f"{name}: {{remote: true}}" for name in heard)
        entries = [
            f"{{file: {self._files[model]}, sources: [{', '.join(name for name in heard if heard[name] == model)}]}}"
            for model in dict.fromkeys(heard.values())
        ]
        text = f"sources: {{{sources}}}\nmodels: [{', '.join(entries)}]"
        return config.parse(text.encode(), "streamd.yaml", Path("/"))

    def plan(self, heard: dict[str, str]) -> Plan:
        """Return what would be loaded: a listener for each model, kept for as long as the test lasts."""
        after = self._config(heard)
        found = []
        for use in after.models:
            model = self.models.setdefault(use.file.stem, Model(use.file, "cpu"))
            if use.file.stem not in self.listeners:
                self.listeners[use.file.stem] = Listener(10 + len(self.listeners), Detector(model), use.sources)
            found.append(self.listeners[use.file.stem])
        return Plan(after, found)

    def swap(self, **heard: str) -> None:
        """Go on with sources that are heard by these models."""
        agents = SimpleNamespace(start=lambda *_: None, end=lambda _: None)
        plan = self.plan(heard)
        no_new = None  # no source joins here
        swap(plan, self.config, self.daemon.sources, no_new, self.daemon.intake, agents)  # type: ignore[arg-type]
        self.config = plan.config


@contextmanager
def a_rig(files: dict[str, Path], **heard: str) -> Iterator[Rig]:
    with short_folder() as folder, a_context() as context:
        daemon = Daemon(context, str(folder), {name: [] for name in heard})
        rig = Rig(files, daemon, Agent(context, daemon), heard)
        rig.agent.hello("t", *heard)
        yield rig


def test_an_agent_whose_sources_want_what_they_wanted_hears_nothing_and_its_takes_go_on(files: dict[str, Path]) -> None:
    with a_rig(files, attic="slow", hall="often") as rig:
        assert [want.n_samples for want in rig.agent.answers(1)] == [HOP // 2]
        rig.agent.block("t", silence(HOP, 2), 0, "attic", "hall")
        rig.swap(attic="often", hall="slow")
        assert rig.agent.answers(0) == []
        for name, model in (("attic", "often"), ("hall", "slow")):
            [listener] = rig.daemon.sources[name].listeners
            assert listener.model.manifest.name == model
        rig.agent.block("t", silence(HOP, 2), HOP, "attic", "hall")
        for name in ("attic", "hall"):
            [listener] = rig.daemon.sources[name].listeners
            assert listener.detector.position(name) == 2 * HOP
            assert rig.daemon.sources[name].losses.n_samples == 0
        assert rig.daemon.counted("blocks.wrong_take") == 0


@pytest.mark.parametrize("after", [{"attic": "slow", "hall": "slow"}, {"attic": "slow", "hall": "fast"}])
def test_an_agent_of_which_something_else_is_wanted_begins_a_new_take(
    files: dict[str, Path], after: dict[str, str]
) -> None:
    with a_rig(files, attic="slow", hall="often") as rig:
        [before] = rig.agent.answers(1)
        rig.agent.block("t", silence(HOP, 2), 0, "attic", "hall")
        rig.swap(**after)
        [want] = rig.agent.answers(1)
        assert isinstance(want, Want)
        assert isinstance(before, Want)
        assert (want.take, want.sample_rate) == (before.take, before.sample_rate)
        assert want != before
        assert want.block_take != before.block_take
        rig.agent.block("t", silence(HOP, 2), HOP, "attic", "hall")  # was on its way
        assert rig.agent.answers(0) == []
        assert rig.daemon.counted("blocks.wrong_take") == 2
        rig.agent.hello("u", "attic", "hall")
        wants = rig.agent.answers(len(set(after.values())))
        assert {want.block_take for want in wants} == {block_take("u", want.sample_rate) for want in wants}


def test_the_agent_of_a_source_that_is_gone_is_refused_and_its_other_source_waits(files: dict[str, Path]) -> None:
    with a_rig(files, attic="slow", hall="slow") as rig:
        rig.agent.answers(1)
        rig.agent.block("t", silence(HOP, 2), 0, "attic", "hall")
        rig.swap(hall="slow")
        [refusal] = rig.agent.answers(1)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == "the configuration has no source attic any more"
        assert list(rig.daemon.sources) == ["hall"]
        assert rig.daemon.sources["hall"].status == "waiting_for_device"
        rig.agent.hello("u", "hall")
        assert len(rig.agent.answers(1)) == 1
        rig.agent.block("u", silence(HOP), 0, "hall")
        assert rig.daemon.sources["hall"].status == "live"


@pytest.mark.parametrize("gone", ["attic", "hall"])
def test_every_agent_that_offered_a_source_that_is_gone_is_refused_and_its_others_wait(
    files: dict[str, Path], gone: str
) -> None:
    with a_rig(files, attic="slow", hall="slow", roof="slow") as rig:  # one agent offers all three
        rig.agent.answers(1)
        rig.agent.block("t", silence(HOP, 3), 0, "attic", "hall", "roof")
        second = Agent(rig.agent.socket.context, rig.daemon)
        second.hello("u", "hall", "attic")
        second.answers(1)
        left = {name: "slow" for name in ("attic", "hall", "roof") if name != gone}
        rig.swap(**left)
        for agent, take in ((rig.agent, "t"), (second, "u")):
            [refusal] = agent.answers(1)
            assert refusal == Refuse(take=take, reason=f"the configuration has no source {gone} any more")
        assert {name: source.status for name, source in rig.daemon.sources.items()} == dict.fromkeys(
            left, "waiting_for_device"
        )
        second.hello("v", *left)
        assert len(second.answers(1)) == 1
        second.block("v", silence(HOP, 2), 0, *left)
        assert {source.status for source in rig.daemon.sources.values()} == {"live"}


def test_while_sources_go_no_listener_that_works_names_one_that_is_gone(files: dict[str, Path]) -> None:
    with a_rig(files, attic="slow", hall="slow", roof="slow") as rig:
        rig.agent.answers(1)
        rig.agent.block("t", silence(HOP, 3), 0, "attic", "hall", "roof")
        steps = []

        def step(listener: Listener) -> None:  # a GPU that is lost in one is told to all sources that it names
            steps.append([name in rig.daemon.sources for name in listener.sources])

        for source in rig.daemon.sources.values():
            source.step = step
        rig.swap(attic="slow")
        rig.swap(attic="often")
        assert steps
        assert all(map(all, steps))


def test_a_listener_that_joins_a_take_hears_it_from_there_on_and_places_its_sounds_right(
    files: dict[str, Path],
) -> None:
    tone = (tiny_models.tone(8 * HOP, "Low tone") * 32767).astype(np.int16)[:, None]
    audio = np.concatenate([silence(8 * HOP), tone])
    with a_rig(files, attic="slow") as rig:
        rig.agent.answers(1)
        for begin in range(0, 20 * HOP, HOP):
            rig.agent.block("t", silence(HOP), begin, "attic")
        rig.listeners["slow"] = joined = Listener(99, Detector(rig.models["slow"]), ("attic",))
        rig.swap(attic="slow")
        assert rig.agent.answers(0) == []
        for begin in range(0, len(audio), HOP):
            rig.agent.block("t", audio[begin : begin + HOP], 20 * HOP + begin, "attic")
        [open_event] = rig.daemon.sources["attic"].publisher.open_events("attic")
        assert open_event.event_id.split("-")[1] == "99"
        whole = Detector(rig.models["slow"])
        whole.start("attic")
        whole.push("attic", np.concatenate([silence(20 * HOP), audio])[:, 0])
        [onset] = [detection for hop in whole.step() for detection in hop.detections]
        assert open_event.onset_sample == onset.onset_sample > 28 * HOP
        assert joined.detector.position("attic") == 36 * HOP
