"""One training step: scenes become log-mel frames and targets, the network answers, its weights move."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamd.errors import DataError
from streamd.logmel import LogMelSpec
from training.design.fit_settings import FitSettings
from training.design.hard_negatives import HardNegatives
from training.design.pooling import Pooling, strong_loss, weak_loss
from training.design.streaming import Gru, StreamNetwork
from training.design.targets import Grid, least_seconds
from training.prepare.simulation.scene import Scene
from training.process.log_mel import LogMel

N_FIRST = 24
"""Scenes that bands are measured on and batch norms calibrated: minutes of audio in unlike places. Each
norm takes a pass over them at each check."""

N_KEPT = 64
"""Hard negatives kept: at ten seconds each, ten minutes of the worst."""

WEIGHT_DECAY = 0.01
"""Of AdamW, its authors' value (https://arxiv.org/abs/1711.05101); of kernels and matrices only: a bias or a norm that
shrinks makes nothing simpler."""

MOST_GRADIENT = 1.0
"""Norm that gradients are cut to: one odd batch must not undo a hundred good ones."""


class Learner:
    """A network that learns, and all that decides its next step.

    Rows of a batch are scenes with sounds, then new negatives, then hard ones.
    """

    def __init__(self, network: StreamNetwork, spec: LogMelSpec, grid: Grid, settings: FitSettings) -> None:
        """Prepare; `measure` comes before the first step."""
        self.network = network
        self.spec = spec
        self.grid = grid
        self.settings = settings
        self.step = 0
        """Steps done."""
        self.audio_seconds = 0.0
        """Heard in them."""
        self.first: list[Tensor] = []
        """Log-mel frames (n, n_frames, n_mels) of the first scenes, for calibration."""
        self.negatives = HardNegatives(N_KEPT)
        self._device = torch.device(settings.device)
        self._log_mel = LogMel(spec).to(self._device)
        self._state: Tensor | None = None
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        self._trained = trained
        self._optimiser = torch.optim.AdamW(groups)
        self._is_recurrent = any(isinstance(part, Gru) for part in network.modules())

    @property
    def n_new_negatives(self) -> int:
        """Rows of a batch without any of the sounds that were never heard; hard ones are as many."""
        share, batch = self.settings.negative_share, self.settings.batch
        # At least one row is left for a scene.
        return min(max(1, round(batch * share / 2)), (batch - 1) // 2) if share else 0

    @property
    def n_scenes(self) -> int:
        """Rows with sounds."""
        return self.settings.batch - 2 * self.n_new_negatives

    @property
    def n_first(self) -> tuple[int, int]:
        """Scenes with and without sounds to measure on, in the proportion in which they are learnt from."""
        n_without = 2 * self.n_new_negatives * N_FIRST // self.settings.batch
        return N_FIRST - n_without, n_without

    def measure(self, scenes: Sequence[Scene], negatives: Sequence[Scene]) -> None:
        """Measure bands on the first scenes, and begin the store of negatives with theirs.

        Raises:
            DataError: scenes too short for the network.
        """
        heard = self._hear([*scenes, *negatives])
        seconds, least = len(scenes[0].audio) / scenes[0].sample_rate, least_seconds(self.network, self.spec)
        if seconds < least:
            raise DataError(f"scenes of {seconds:.2f} s; this network needs {least:.2f} s or more to learn from one")
        self.network.standardise.measure(heard.flatten(0, 1))
        self.first = list(heard.split(self.settings.batch))
        for frames in heard[len(scenes) :]:
            self.negatives.offer(frames.cpu(), 0.0)

    def learn(self, scenes: Sequence[Scene], negatives: Sequence[Scene], rate: float) -> float:
        """Do one step and return the loss.

        Args:
            scenes: n_scenes of them.
            negatives: n_new_negatives of them.
            rate: learning rate.
        """
        network = self.network.train()
        heard = self._hear([*scenes, *negatives])
        chance = torch.Generator().manual_seed(self._seed("negatives"))
        places = self.negatives.draw(len(negatives), chance)
        hard = [self.negatives.frames[place].to(self._device)[None] for place in places]
        frames = torch.cat([heard, *hard])
        carries = self._carries()
        targets, n_masked = self._targets([*scenes, *negatives], frames, is_fresh=not carries)
        state = self._state if carries and self._state is not None else network.initial_state(len(frames))
        frames, targets = self._augmented(frames, targets, len(scenes))
        logits, state = network.logits(frames, state)
        logits = logits[:, n_masked:]
        loss = self._loss(logits, targets)
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._trained, MOST_GRADIENT)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()

        self._state = state.detach() if self._is_recurrent else None
        hardness = logits.detach().amax(dim=(1, 2)).sigmoid().tolist()[len(scenes) :]
        self.negatives.heard(places, hardness[len(negatives) :])
        for row, value in enumerate(hardness[: len(negatives)], start=len(scenes)):
            self.negatives.offer(heard[row].cpu(), value)
        self.step += 1
        self.audio_seconds += len(frames) * len(scenes[0].audio) / scenes[0].sample_rate
        return float(loss.detach())

    def _hear(self, scenes: Sequence[Scene]) -> Tensor:
        """Return log-mel frames (n, n_frames, n_mels) of scenes; n_frames is a multiple of the time stride."""
        lengths = {len(scene.audio) for scene in scenes}
        rates = {scene.sample_rate for scene in scenes}
        if len(lengths) != 1 or rates != {self.spec.sample_rate}:
            raise DataError(
                f"scenes of {sorted(lengths)} samples at {sorted(rates)} Hz; expected one length at "
                f"{self.spec.sample_rate} Hz"
            )
        with torch.no_grad():
            # One at a time: what the log-mel of one needs stays in the processor's cache.
            rows = [self._log_mel(torch.from_numpy(scene.audio).to(self._device)) for scene in scenes]
        stride = self.network.time_stride
        return torch.stack([row[: len(row) // stride * stride] for row in rows])

    def _targets(self, scenes: Sequence[Scene], frames: Tensor, *, is_fresh: bool) -> tuple[Tensor, int]:
        """Return targets (rows, outputs, n_labels) without the masked outputs, and how many of these there are.

        Rows beyond the scenes are negatives.
        """
        placed = [scene.labels for scene in scenes] + [[]] * (len(frames) - len(scenes))
        n_masked = self.grid.n_masked(is_fresh=is_fresh)
        targets = self.grid.targets(placed, frames.shape[1] // self.network.time_stride)
        return targets[:, n_masked:].to(self._device), n_masked

    def _carries(self) -> bool:
        """Does this step go on from the states that the last one ended with?"""
        drawn = np.random.default_rng(self._seed("carry over")).random()
        return self._is_recurrent and self._state is not None and bool(drawn < self.settings.carry_over)

    def _augmented(self, frames: Tensor, targets: Tensor, n_scenes: int) -> tuple[Tensor, Tensor]:
        """Mix scenes with scenes, colour and cover all rows, as far as the settings say."""
        settings = self.settings
        if settings.mixup is not None:
            mixture = settings.mixup.draw([self._seed(f"mixup {row}") for row in range(n_scenes)])
            frames = torch.cat([mixture.apply(frames[:n_scenes], self.spec), frames[n_scenes:]])
            targets = torch.cat([mixture.union(targets[:n_scenes]), targets[n_scenes:]])
        seeds = [self._seed(f"row {row}") for row in range(len(frames))]
        if settings.filter_augment is not None:
            frames = settings.filter_augment.draw(seeds, self.spec.n_mels).apply(frames, self.spec)
        if settings.trim_bands is not None:
            frames = settings.trim_bands.draw(seeds, self.spec.n_mels).apply(frames)
        if settings.spec_augment is not None:
            frames = settings.spec_augment.draw(seeds, frames.shape[1], self.spec.n_mels).apply(frames)
        return frames, targets

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over frames, and over scenes by their surest frame; or over scenes alone, where labels are weak."""
        of_scenes = targets.amax(dim=1)
        if self.settings.pooling is not Pooling.FRAME_WISE:
            return weak_loss(self.settings.pooling, logits, of_scenes).mean()
        loss = strong_loss(logits, targets).mean()
        if self.settings.scene_weight:
            loss = loss + self.settings.scene_weight * weak_loss(Pooling.MAX, logits, of_scenes).mean()
        return loss

    def _seed(self, what: str) -> int:
        return zlib.crc32(f"{self.settings.seed}/{self.step}/{what}".encode())

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "step": self.step,
            "audio_seconds": self.audio_seconds,
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "chance": torch.get_rng_state(),
            "state": self._state,
            "negatives": self.negatives.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what a checkpoint kept."""
        self.step, self.audio_seconds = state["step"], state["audio_seconds"]
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["chance"])
        self._state = None if state["state"] is None else state["state"].to(self._device)
        self.negatives.restore(state["negatives"])
