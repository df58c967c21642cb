"""Which network, how deep, and how its answers are pooled: chosen from the sounds, with the reason in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from streamd.logmel import LogMelSpec
from training.design import crnn, tc_resnet, vgg, yamnet_layers
from training.design.cost import inputs_of_a_run, macs_per_second
from training.design.crnn import Crnn
from training.design.pooling import Choice, choose_pooling, shares_on
from training.design.pretrained_network import PretrainedNetwork
from training.design.receptive_field import Depth, choose_depth, seconds_seen
from training.design.stream import HOP_FRAMES, Hop
from training.design.streaming import StreamNetwork
from training.design.tc_resnet import TcResNet
from training.design.vgg import Vgg
from training.design.yamnet_layers import LOG_MEL
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.recipe import DRY, Recipe
from training.prepare.simulation.scene import make

NAMES = ("vgg", "crnn", "tc-resnet", "pretrained", "fine-tuned")
ON_YAMNET = ("pretrained", "fine-tuned")
"""They bring their own log-mel."""

Network = StreamNetwork | PretrainedNetwork

FEW_CLIPS = 0
"""Of a label: under it a pretrained network is taken. None are few enough so far: on examples-data/one-fault (48 clips
to learn from, two seeds) it heard 0.58 of the held-out recordings at 32 false alarms an hour and 0.02 of the sounds in
unseen simulated places, a tc-resnet 0.96 and 0.46 (examples/one_fault/compare_settings.py); and it costs some 430 M MAC
for a second of audio."""
FEW_REASON = "a pretrained network knows two million other sounds already"

LEAST_BLOCKS = 3
"""Of a vgg: 0.31 s at a hop of 10 ms. A click is shorter, but two blocks have 32 channels at most, and a network that
sees nothing before the click can't tell it from the middle of a rattle."""

MOST_RESIDUAL = len(tc_resnet.CHANNELS) - 1
"""Blocks of a tc-resnet; the first of its widths is that of the convolution before them."""

LEAST_RESIDUAL = 2
"""Of a tc-resnet: 0.77 s at a hop of 10 ms, for the same reason."""

N_SPARSITY_SCENES = 40
"""Scenes placed, not heard, to see how much of them is filled."""

N_TIMED_HOPS = 60


@dataclass(frozen=True)
class Chosen:
    """A network with its first weights, and why this one."""

    name: str
    network: Network
    why: list[str]
    """Sentences."""
    depth: Depth
    """Its receptive field beside the length of events; the warning where they don't fit."""


def choose_network(
    event_seconds: Sequence[float],
    spec: LogMelSpec,
    n_labels: int,
    name: str | None = None,
    n_blocks: int | None = None,
    reason: str | None = None,
) -> Chosen:
    """Return the network for events of these lengths.

    The small residual one, as deep as the 90th percentile of them is long: a second of audio costs it a tenth of what
    it costs the baseline, so that the same minutes teach it more (the vgg is for who has hours). Where events are
    longer than its deepest field, the recurrent one, which remembers for as long as it likes. Where clips are few,
    `wanted` names the pretrained one.

    Args:
        event_seconds: lengths of the sounds, from onset to offset.
        spec: its log-mel.
        n_labels: of its outputs.
        name: one of NAMES, in place of a choice.
        n_blocks: depth of a vgg or tc-resnet, in place of a choice.
        reason: why this name; None: it was asked for.

    Raises:
        ValueError: a name or a depth that there is not, no events, or an event without length.
    """
    if name is not None and name not in NAMES:
        raise ValueError(f"network {name!r}; expected one of {', '.join(NAMES)}")
    by_depth = choose_depth(event_seconds, tc_resnet.layers, spec, MOST_RESIDUAL)
    covers = by_depth.receptive_field_seconds >= by_depth.event_seconds
    taken = name or ("tc-resnet" if covers else "crnn")
    events = f"nine events in ten last at most {by_depth.event_seconds:.2f} s"
    if taken in ON_YAMNET:
        network: Network = PretrainedNetwork(n_labels, spec, is_tuned=taken == "fine-tuned")
        # One look at a window, whatever the events are like: there is no depth to choose.
        depth = choose_depth(event_seconds, lambda _: network.layers, spec, 1)
        what = "that learn with their head" if taken == "fine-tuned" else "frozen, with a head of its own"
        words = f"YAMNet's layers, {what}, look at {depth.receptive_field_seconds:.2f} s"
    elif taken == "crnn":
        network = Crnn(spec.n_mels, n_labels)
        # What its convolutions see is no bound: it remembers, so there is no field to be too small.
        depth = replace(by_depth, n_blocks=len(crnn.CHANNELS), warning=None)
        depth = replace(depth, receptive_field_seconds=seconds_seen(network.layers, spec))
        words = "a recurrent network, which remembers what came before its field"
        words += "" if name else f": the deepest field of a tc-resnet is {by_depth.receptive_field_seconds:.2f} s"
    else:
        layers_of, most = (vgg.layers, len(vgg.CHANNELS)) if taken == "vgg" else (tc_resnet.layers, MOST_RESIDUAL)
        fewest = choose_depth(event_seconds, layers_of, spec, most).n_blocks
        least = LEAST_BLOCKS if taken == "vgg" else LEAST_RESIDUAL
        blocks = n_blocks or max(fewest, least)
        network = (Vgg if taken == "vgg" else TcResNet)(spec.n_mels, n_labels, blocks)
        # There is but this depth to choose from now: asked for the field beside the events, and the warning.
        depth = replace(choose_depth(event_seconds, lambda _: network.layers, spec, 1), n_blocks=blocks)
        asked = (
            "as asked for" if n_blocks else "the fewest that cover that" if fewest >= least else "the fewest there are"
        )
        words = f"{taken} of {blocks} blocks ({asked}) sees {depth.receptive_field_seconds:.2f} s"
    why = [f"{events}; {words}"]
    if name:
        why.append(reason or f"{taken} was asked for")
    return Chosen(taken, network, why, depth)


@dataclass(frozen=True)
class Wanted:
    """What is known of a network before a sound was heard."""

    name: str | None
    """None: as the lengths of events ask for."""
    n_blocks: int | None
    spec: LogMelSpec
    reason: str | None
    """Why this name; None: it was asked for."""


def wanted(n_clips: int, spec: LogMelSpec | None, name: str | None = None, n_blocks: int | None = None) -> Wanted:
    """Return what is wanted, with the log-mel that it takes.

    Args:
        n_clips: of the label that has fewest.
        spec: a log-mel that was asked for; None: whichever suits. Only networks that begin with first weights take any.
        name: one of NAMES, in place of a choice.
        n_blocks: depth, in place of a choice.
    """
    reason = None
    if name is None and spec is None and n_blocks is None and n_clips < FEW_CLIPS:
        name, reason = "pretrained", f"{n_clips} clips of a label are few (under {FEW_CLIPS}): {FEW_REASON}"
    spec = LOG_MEL if name in ON_YAMNET else spec or LogMelSpec()
    return Wanted(name, n_blocks, spec, reason)


def pooling_of(sounds: Sequence[Sound], sample_rate: int, recipe: Recipe | None = None) -> dict[str, Choice]:
    """Return for each label how frames are pooled, and how much of a scene it fills.

    Scenes know when their sounds are on, so labels are strong and nothing is pooled; the share is told all the same,
    because it says how rare a frame with the sound is.

    Args:
        sounds: what scenes are made of.
        sample_rate: theirs.
        recipe: of scenes; only their length and the pauses between sounds count here.
    """
    recipe = recipe or Recipe()
    dry = replace(DRY, seconds=recipe.seconds, pause_seconds=recipe.pause_seconds)
    material = Material(sample_rate, sounds)
    shares = shares_on(make(dry, material, 0, f"sparsity/{i}") for i in range(N_SPARSITY_SCENES))
    return {label: choose_pooling(share, is_strong=True) for label, share in sorted(shares.items())}


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    n_parameters: int
    macs_per_second: float
    """For a second of audio, log-mel not counted."""
    hop_seconds: float
    """Length of a hop."""
    seconds_per_hop: float
    """Time that torch takes for one on one thread of this machine, median; onnxruntime takes less."""
    n_state: int
    """Numbers in the state of one source."""


def hop_frames_of(network: Network) -> int:
    """Return how many frames lie between two decisions of a network."""
    return yamnet_layers.HOP_FRAMES if isinstance(network, PretrainedNetwork) else HOP_FRAMES


def cost_of(network: Network, spec: LogMelSpec) -> Cost:
    """Measure what a network costs, in a moment."""
    was_training, n_threads = network.training, torch.get_num_threads()
    hop = (network if isinstance(network, PretrainedNetwork) else Hop(network)).eval()
    hop_frames = hop_frames_of(network)
    torch.set_num_threads(1)
    times = []
    try:
        inputs = inputs_of_a_run(network, hop_frames)
        with torch.no_grad():
            for _ in range(N_TIMED_HOPS):
                begin = time.perf_counter()
                hop(*inputs)
                times.append(time.perf_counter() - begin)
    finally:
        torch.set_num_threads(n_threads)
        network.train(was_training)
    return Cost(
        n_parameters=sum(weight.numel() for weight in network.parameters()),
        macs_per_second=macs_per_second(network, spec, hop_frames),
        hop_seconds=hop_frames * spec.hop_length / spec.sample_rate,
        seconds_per_hop=sorted(times)[len(times) // 2],
        n_state=0 if isinstance(network, PretrainedNetwork) else network.n_state,
    )
