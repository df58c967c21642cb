"""The head of a pretrained network: what is fitted in seconds on a frozen embedding.

The embedding's numbers are standardised, reduced to their principal components and given to a softmax over the labels
and "none": a convex problem. Parts of the embedding get a softmax each, and the posteriors are averaged: parts err
differently. Then they are calibrated on groups that the head did not hear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from streamd.errors import DataError

N_COMPONENTS = 300
"""Of each part: more than that fits the noise of a few hundred clips."""
PENALTY = 1e-3
"""On the squared weights. A third and three times as much changed balanced accuracy on percussion by under 0.01."""
N_EPOCHS = 12
BATCH = 256
LEARNING_RATE = 0.02
N_CALIBRATION_FOLDS = 3

EDGE = 1e-6
"""Posteriors of a softmax are kept so far from 0 and 1 before their log-odds are taken."""
LEAST_SLOPE = 0.1
LEAST_DEVIATION = 1e-2
"""A unit that hardly ever answers must not become the loudest."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Examples:
    """Embeddings of windows, and what is to be answered."""

    embedding: Floats
    """(n, n_embedding)"""
    target: NDArray[np.intp]
    """(n,) number of the label; n_labels: none."""
    group: NDArray[np.str_]
    """(n,)"""

    def rows(self, chosen: NDArray[np.bool_]) -> Examples:
        """Return some of them, chosen (n,)."""
        return Examples(self.embedding[chosen], self.target[chosen], self.group[chosen])


@dataclass(frozen=True)
class Head:
    """Embedding (n, n_embedding) → posteriors (n, n_labels)."""

    weights: tuple[Floats, ...]
    """Of each part of the embedding, in order: (n_in, n_labels + 1), none last."""
    biases: tuple[Floats, ...]
    slope: float
    """Of the calibration of log-odds; the same for all labels, as is the offset: it never changes which is highest."""
    offset: float

    @property
    def n_labels(self) -> int:
        """How many posteriors it gives."""
        return len(self.biases[0]) - 1

    def posteriors(self, embedding: Floats) -> Floats:
        """Return calibrated posteriors (n, n_labels)."""
        odds = _log_odds(_averaged(self.weights, self.biases, embedding))
        return np.asarray(1 / (1 + np.exp(-(odds * self.slope + self.offset))), np.float32)


def fit_head(given: Examples, n_labels: int, parts: Sequence[int] | None = None, seed: int = 0) -> Head:
    """Fit a head; every label and none weigh the same in it, however many clips they have.

    Args:
        given: examples, of at least two groups.
        n_labels: how many there are; all of them occur.
        parts: lengths of the embedding's parts, in order; None: it is one.
        seed: of the order of examples, and of the folds.

    Raises:
        DataError: one group only: there is nothing to calibrate on.
    """
    groups = sorted(set(given.group))
    if len(groups) < 2:
        raise DataError("a head needs clips of at least two groups; found one: name their sources in labels.csv")
    lengths = list(parts or (given.embedding.shape[1],))
    pieces = np.split(given.embedding, np.cumsum(lengths)[:-1], axis=1)
    weights, biases = [], []
    held_out = np.zeros((len(given.target), n_labels), np.float32)
    fold_of = dict(zip(np.random.default_rng(seed).permutation(groups), range(len(groups)), strict=True))
    fold = np.array([fold_of[group] % N_CALIBRATION_FOLDS for group in given.group])
    for piece in pieces:
        reduction, centre = _principal(piece)
        reduced = np.asarray((piece - centre) @ reduction, np.float32)
        weight, bias = _softmax_fit(reduced, given.target, n_labels + 1, seed)
        weights.append(np.asarray(reduction @ weight, np.float32))
        biases.append(np.asarray(bias - centre @ (reduction @ weight), np.float32))
        for number in range(min(N_CALIBRATION_FOLDS, len(groups))):
            rest, out = fold != number, fold == number
            weight, bias = _softmax_fit(reduced[rest], given.target[rest], n_labels + 1, seed)
            held_out[out] += _softmax(reduced[out] @ weight + bias)[:, :n_labels] / len(pieces)
    slope, offset = _calibrate(_log_odds(held_out), given.target)
    return Head(tuple(weights), tuple(biases), slope, offset)


def _averaged(weights: Sequence[Floats], biases: Sequence[Floats], embedding: Floats) -> Floats:
    pieces = np.split(embedding, np.cumsum([len(weight) for weight in weights])[:-1], axis=1)
    each = [_softmax(x @ w + b) for x, w, b in zip(pieces, weights, biases, strict=True)]
    return np.asarray(np.mean(each, axis=0)[:, :-1], np.float32)


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def _log_odds(posteriors: Floats) -> Floats:
    inside = np.clip(posteriors, EDGE, 1 - EDGE)
    return np.asarray(np.log(inside / (1 - inside)), np.float32)


def _principal(x: Floats) -> tuple[Floats, Floats]:
    """Return the matrix (n_in, n_components) from centred x to components of its standardised columns, and the centre.

    Components keep their sizes relative to each other, so that the penalty weighs as it would on all columns.
    """
    centre = x.mean(axis=0)
    deviation = x.std(axis=0) + LEAST_DEVIATION
    rng = np.random.default_rng(0)
    some = (x[rng.permutation(len(x))[:3000]] - centre) / deviation
    n = min(N_COMPONENTS, *some.shape)
    # Randomised range finder with one power iteration (Halko and others 2011, https://arxiv.org/abs/0909.4061).
    basis = some.T @ (some @ rng.standard_normal((x.shape[1], min(n + 20, x.shape[1])), np.float32))
    basis = np.linalg.qr(some.T @ (some @ np.linalg.qr(basis)[0]))[0]
    rotation = np.linalg.svd(some @ basis, full_matrices=False)[2]
    components = basis @ rotation.T[:, :n]
    size = float((some @ components).std()) or 1.0
    return np.asarray(components / deviation[:, None] / size, np.float32), centre


def _softmax_fit(x: Floats, target: NDArray[np.intp], n_classes: int, seed: int) -> tuple[Floats, Floats]:
    """Return weights (n_in, n_classes) and bias of a penalised softmax regression with balanced classes."""
    chance = torch.Generator().manual_seed(seed)
    inputs, wanted = torch.from_numpy(x), torch.from_numpy(target)
    counts = torch.bincount(wanted, minlength=n_classes).clamp(min=1)
    heavy = (len(wanted) / n_classes / counts)[wanted].float()
    weight = torch.zeros(x.shape[1], n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimiser = torch.optim.Adam([weight, bias], LEARNING_RATE)
    n_batches = -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, N_EPOCHS * n_batches)
    for _ in range(N_EPOCHS):
        for rows in torch.randperm(len(x), generator=chance).tensor_split(n_batches):
            losses = torch.nn.functional.cross_entropy(inputs[rows] @ weight + bias, wanted[rows], reduction="none")
            loss = (losses * heavy[rows]).mean() + PENALTY * weight.square().sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return weight.detach().numpy(), bias.detach().numpy()


def _calibrate(odds: Floats, target: NDArray[np.intp]) -> tuple[float, float]:
    """Return slope and offset of log-odds (Platt 1999), one pair for all labels.

    A pair for each label would say more of each, but it would also decide between them: the label that is hardest to
    tell gets the flattest slope, and wins where nothing is clear.
    """
    counts = np.maximum(np.bincount(target, minlength=odds.shape[1] + 1), 1)
    heavy = torch.from_numpy((len(target) / len(counts) / counts)[target].astype(np.float32))[:, None]
    is_label = torch.from_numpy((target[:, None] == np.arange(odds.shape[1])).astype(np.float32))
    x = torch.from_numpy(odds)
    pair = torch.tensor([1.0, 0.0], requires_grad=True)
    optimiser = torch.optim.LBFGS([pair], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = x * pair[0] + pair[1]
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, is_label, weight=heavy)
        value.backward()
        return value

    optimiser.step(loss)
    slope, offset = pair.tolist()
    # A negative slope would turn the answer round: then it is better left as it was.
    return max(slope, LEAST_SLOPE), offset
