"""A recipe: from which ranges each stage of a scene is drawn, and which stages there are."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from training.prepare.simulation.agc import AgcRange
from training.prepare.simulation.ambience import AmbienceRange
from training.prepare.simulation.chance import Range
from training.prepare.simulation.clipping import ClippingRange
from training.prepare.simulation.codec import CodecRange
from training.prepare.simulation.dc import DcRange
from training.prepare.simulation.dropouts import DropoutsRange
from training.prepare.simulation.gain import GainRange
from training.prepare.simulation.level import LevelRange
from training.prepare.simulation.loudspeaker import LoudspeakerRange
from training.prepare.simulation.microphone import MicrophoneRange
from training.prepare.simulation.mix import MixRange
from training.prepare.simulation.pitch import PitchRange
from training.prepare.simulation.quantise import Quantise
from training.prepare.simulation.room import RoomRange
from training.prepare.simulation.self_noise import SelfNoiseRange
from training.prepare.simulation.speed import SpeedRange


@dataclass(frozen=True)
class Recipe:
    """The stages of a scene in the order of physics; None leaves a stage out."""

    seconds: float = 10.0
    """Length of a scene: several receptive fields of any network here."""
    pause_seconds: Range = Range(0.5, 4.0)
    """Between two sounds, and before the first: a network must learn that most of the time there is nothing."""
    gain: GainRange | None = GainRange()
    speed: SpeedRange | None = SpeedRange()
    pitch: PitchRange | None = None
    """Off: speed changes the pitch too, and leaves no seams."""
    loudspeaker: LoudspeakerRange | None = None
    """Off: most sounds to be heard are not played by a device."""
    room: RoomRange | None = RoomRange()
    mix: MixRange | None = MixRange()
    ambience: AmbienceRange = AmbienceRange()
    """The noise that is mixed in; of no effect without `mix`."""
    level: LevelRange | None = LevelRange()
    microphone: MicrophoneRange | None = MicrophoneRange()
    self_noise: SelfNoiseRange | None = SelfNoiseRange()
    agc: AgcRange | None = AgcRange()
    dc: DcRange | None = DcRange()
    clipping: ClippingRange | None = ClippingRange()
    codec: CodecRange | None = CodecRange()
    quantise: Quantise | None = Quantise()
    """16 bits; nothing is drawn for it."""
    dropouts: DropoutsRange | None = DropoutsRange()

    def without(self, *stages: str) -> Recipe:
        """Return the recipe with some stages left out, by their names here; ValueError for a name that is none."""
        for stage in stages:
            if stage not in STAGES:
                raise ValueError(f"{stage!r} is no stage that can be left out; expected one of {', '.join(STAGES)}")
        left_out: dict[str, Any] = dict.fromkeys(stages)
        return replace(self, **left_out)


STAGES = tuple(one.name for one in fields(Recipe) if one.name not in ("seconds", "pause_seconds", "ambience"))
"""The stages that can be left out, in the order of physics."""

DRY = Recipe().without(*STAGES)
"""Only places the clips: what a model trained without a simulator hears."""
