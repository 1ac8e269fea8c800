"""The law of a mixture: which source each draw takes, as a pure function of (seed, draw).

Nothing is stateful: the state of a stream is the number of draws made, and any place of it is
found by arithmetic, the same for any number of workers.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmtune.config.mixtures import Fixed, PerTemplate, Proportional, Rule, Temperature
from mmtune.data.mixture import epoch_order

_BLOCK = 1 << 16
"""Draws made at a time."""


@dataclass(frozen=True, slots=True)
class Part:
    """One source of a mixture, as its rule sees it."""

    name: str
    size: int
    """examples, after the cap"""
    templates: int = 1
    groups: tuple[str, ...] = ()
    """collections and cluster, in this order"""


def shares(parts: list[Part], rule: Rule) -> dict[str, float]:
    """The part of all draws that each source gets; they add up to 1.

    Raises ValueError where a fixed weight is of nothing there is, or a source has none.
    """
    if isinstance(rule, Fixed):
        weights = _fixed(parts, rule.weights)
    else:
        weights = {part.name: _weight(part, rule) for part in parts}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _weight(part: Part, rule: Proportional | PerTemplate | Temperature) -> float:
    if isinstance(rule, Proportional):
        return min(part.size, rule.maximum)
    if isinstance(rule, PerTemplate):
        each = part.size if part.size <= rule.most_examples else rule.most_examples / part.templates
        return each * part.templates
    return part.size ** (1 / rule.temperature)


def _fixed(parts: list[Part], weights: Mapping[str, float]) -> dict[str, float]:
    known = {name for part in parts for name in (part.name, *part.groups)}
    if unknown := sorted(set(weights) - known):
        raise ValueError(f"weights of {unknown[0]!r}, but no card, collection or cluster is that")
    group_of = {
        part.name: next((g for g in (part.name, *part.groups) if g in weights), None)
        for part in parts
    }
    if bare := [name for name, group in group_of.items() if group is None]:
        raise ValueError(f"{bare[0]!r} has no weight, nor has its collection or cluster")
    sizes: dict[str | None, int] = {}
    for part in parts:
        group = group_of[part.name]
        sizes[group] = sizes.get(group, 0) + part.size
    return {
        part.name: weights[group] * part.size / sizes[group]
        for part in parts
        if (group := group_of[part.name]) is not None
    }


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw: example `row` of source number `source`, on its `visit`-th pass through it."""

    number: int
    source: int
    row: int
    visit: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """An endless sequence of draws. Each source is gone through whole, in an order of its own,
    before any of its examples comes again."""

    seed: int
    sizes: tuple[int, ...]
    shares: tuple[float, ...]

    def draws(self, start: int, stop: int) -> Iterator[Draw]:
        """Draws `start` to `stop` (exclusive). Starting late costs a count of what came before, at
        some 50 million a second, and no replay."""
        taken = self._taken_before(start)
        orders: dict[tuple[int, int], NDArray[np.int64]] = {}
        for first in range(start - start % _BLOCK, stop, _BLOCK):
            sources = self._sources(first // _BLOCK)
            low, high = max(start, first) - first, min(stop, first + _BLOCK) - first
            for offset in range(low, high):
                source = int(sources[offset])
                visit, place = divmod(taken[source], self.sizes[source])
                taken[source] += 1
                order = orders.get((source, visit))
                if order is None:
                    orders.pop((source, visit - 1), None)
                    order = epoch_order(self._key(source), visit, self.sizes[source])
                    orders[source, visit] = order
                yield Draw(first + offset, source, int(order[place]), visit)

    def counts(self, start: int, stop: int) -> list[int]:
        """How often each source comes from draw `start` to `stop` (exclusive)."""
        before, after = self._taken_before(start), self._taken_before(stop)
        return [b - a for a, b in zip(before, after, strict=True)]

    def _sources(self, block: int) -> NDArray[np.int64]:
        """The source of each draw of a block, drawn independently by `shares`."""
        # A key of its own: `epoch_order` sorts by the draws of (seed, epoch), and what is sorted by
        # the very draws that chose its sources comes source after source.
        key = np.array([self._key(-1), block], dtype=np.uint64)
        draws = np.random.Philox(key=key).random_raw(_BLOCK)
        ends = np.cumsum(self.shares)
        places = np.searchsorted(ends / ends[-1], draws / 2.0**64, side="right")
        return np.minimum(places, len(self.shares) - 1)

    def _taken_before(self, draw: int) -> list[int]:
        counts = np.zeros(len(self.sizes), dtype=np.int64)
        for block in range(draw // _BLOCK):
            counts += np.bincount(self._sources(block), minlength=len(self.sizes))
        if rest := draw % _BLOCK:
            sources = self._sources(draw // _BLOCK)[:rest]
            counts += np.bincount(sources, minlength=len(self.sizes))
        return counts.tolist()

    def _key(self, source: int) -> int:
        digest = hashlib.blake2b(f"{self.seed}/{source}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")
