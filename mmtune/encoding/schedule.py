"""Which samples each step and each rank trains on: a pure function of (seed, epoch, step).

Nothing here is stateful, so that resuming computes its place instead of replaying the data.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mmtune.config.recipe import Batching, ExamplesBatch, RowsBatch
from mmtune.data.mixture import epoch_order
from mmtune.encoding.packing import best_fit_decreasing, deal, group_padded


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step of all ranks."""

    epoch: int
    index: int
    """within the epoch (or window)"""
    rows: tuple[np.ndarray, ...]
    """sample numbers of each micro-batch"""

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.rows)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of any epoch over samples of the given lengths."""

    lengths: np.ndarray
    batch: ExamplesBatch | RowsBatch
    batching: Batching
    seed: int

    def steps_in(self, epoch: int) -> int:
        """Steps of one epoch; rows padded in random order differ in number between epochs."""
        if isinstance(self.batch, ExamplesBatch):
            return -(-len(self.lengths) // self.batch.count)
        return -(-len(self._rows_of_epoch(epoch)) // self.batch.count)

    def steps_of(self, epochs: float) -> int:
        """Steps of so many epochs from the first on, a part of one rounded up."""
        whole = int(epochs)
        alike = isinstance(self.batch, ExamplesBatch) or self.batching.kind != "padded"
        if alike:
            return math.ceil(epochs * self.steps_in(0))
        rest = math.ceil((epochs - whole) * self.steps_in(whole)) if epochs > whole else 0
        return sum(self.steps_in(epoch) for epoch in range(whole)) + rest

    def steps(self, epoch: int, start: int = 0) -> Iterator[Step]:
        """The epoch's steps from number `start` on; the last may be smaller than the others."""
        if isinstance(self.batch, ExamplesBatch):
            yield from self._steps_by_examples(epoch, start, self.batch.count)
        else:
            yield from self._steps_by_rows(epoch, start, self.batch.count)

    def _steps_by_examples(self, epoch: int, start: int, count: int) -> Iterator[Step]:
        order = epoch_order(self.seed, epoch, len(self.lengths))
        for index in range(start, self.steps_in(epoch)):
            chosen = order[index * count : (index + 1) * count]
            rows = rows_of(self.lengths[chosen], self.batching)
            yield Step(epoch, index, tuple(chosen[row] for row in rows))

    def _steps_by_rows(self, epoch: int, start: int, count: int) -> Iterator[Step]:
        rows = self._rows_of_epoch(epoch)
        order = epoch_order(self.seed + 1, epoch, len(rows))
        for index in range(start, -(-len(rows) // count)):
            chosen = order[index * count : (index + 1) * count]
            yield Step(epoch, index, tuple(rows[number] for number in chosen))

    def _rows_of_epoch(self, epoch: int) -> list[np.ndarray]:
        order = epoch_order(self.seed, epoch, len(self.lengths))
        return [order[row] for row in rows_of(self.lengths[order], self.batching)]


def rows_of(lengths: np.ndarray, batching: Batching) -> list[np.ndarray]:
    """Indices into `lengths` of each micro-batch."""
    if batching.kind == "packed":
        return best_fit_decreasing(lengths, batching.row_tokens)
    if batching.kind == "padded":
        return group_padded(lengths, batching.row_tokens)
    by_length = np.argsort(-lengths, kind="stable")
    return [by_length[row] for row in group_padded(lengths[by_length], batching.row_tokens)]


def split(step: Step, lengths: np.ndarray, pieces: int) -> Step:
    """The same step with each micro-batch cut, between its samples, into up to `pieces` parts of
    about as many tokens each.

    >>> split(Step(0, 0, (np.array([0, 1, 2]),)), np.array([4, 2, 2]), 2).rows
    (array([0]), array([1, 2]))
    """
    if pieces == 1:
        return step
    parts = [part for row in step.rows for part in _parts(row, lengths[row], pieces)]
    return replace(step, rows=tuple(parts))


def _parts(row: np.ndarray, lengths: np.ndarray, pieces: int) -> list[np.ndarray]:
    middles = np.cumsum(lengths) - lengths / 2
    part = (middles * pieces / lengths.sum()).astype(np.int64)
    return np.split(row, np.flatnonzero(np.diff(part)) + 1)


def share(step: Step, lengths: np.ndarray, rank: int, ranks: int) -> list[np.ndarray | None]:
    """The micro-batches of one rank. Every rank gets as many; None is one without targets."""
    hands = deal([int(lengths[row].sum()) for row in step.rows], ranks)
    most = max(len(hand) for hand in hands)
    mine: list[np.ndarray | None] = [step.rows[number] for number in hands[rank]]
    return mine + [None] * (most - len(mine))


def noise_key(seed: int, epoch: int, example_id: str) -> int:
    """A 63-bit key for all noise of one example in one epoch (DESIGN section 7, invariant 7)."""
    text = f"{seed}/{epoch}/{example_id}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
