"""Samples laid into forwards of one fixed shape; see `likelihood` for why."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mmtune.encoding.batches import TokenBatch, pack
from mmtune.encoding.packing import best_fit_decreasing
from mmtune.encoding.pairs import PairBatch, divided, pack_pairs
from mmtune.encoding.samples import TokenSample

TILE_TOKENS = 2048
"""Of every forward. A constant, not a setting: another width can change last bits."""
TARGET_TOKENS = 512
"""Of a decoder's, beside an encoder's `TILE_TOKENS`."""
_FILLERS = 32
"""Documents that nobody reads; several, since attention costs the square of their lengths."""

Tiles = Callable[[Sequence[TokenSample]], Iterator[list[int]]]
Fill = Callable[[Sequence[TokenSample]], Any]


def text_tiles(samples: Sequence[TokenSample]) -> Iterator[list[int]]:
    """Which samples share a tile; one that is longer than a tile is alone.

    Lengths 2000, 5000, 40 -> [1], [0, 2]
    """
    sizes = np.array([len(sample.ids) for sample in samples], dtype=np.int64)
    yield from ([number] for number in np.flatnonzero(sizes > TILE_TOKENS).tolist())
    short = np.flatnonzero(sizes <= TILE_TOKENS)
    for row in best_fit_decreasing(sizes[short], TILE_TOKENS):
        yield short[row].tolist()


def text_tile(samples: Sequence[TokenSample]) -> TokenBatch:
    """The samples in one row of whole tiles, filled up with documents of token 0."""
    free = -sum(len(sample.ids) for sample in samples) % TILE_TOKENS
    fillers = [
        TokenSample(np.zeros(n, np.int32), np.zeros(n, np.bool_), "", "")
        for n in _shares(free, _FILLERS)
        if n
    ]
    packed = [*samples, *fillers]
    return pack(packed, [0] * len(packed))


def pair_tiles(samples: Sequence[TokenSample]) -> Iterator[list[int]]:
    """As `text_tiles`, for samples of two sides, both of which must find room."""
    sides = [tuple(map(len, divided(sample))) for sample in samples]
    tile: list[int] = []
    inputs = targets = 0
    for number in sorted(range(len(sides)), key=lambda n: sides[n], reverse=True):
        more_in, more_out = sides[number]
        over = inputs + more_in > TILE_TOKENS - _FILLERS
        if tile and (over or targets + more_out > TARGET_TOKENS - _FILLERS):
            yield tile
            tile, inputs, targets = [], 0, 0
        tile.append(number)
        inputs, targets = inputs + more_in, targets + more_out
    if tile:
        yield tile


def pair_tile(samples: Sequence[TokenSample]) -> PairBatch:
    """The samples' prompts in one row, their targets in another, both filled up to whole tiles."""
    sides = [divided(sample) for sample in samples]
    free_in = _free(sum(len(prompt) for prompt, _ in sides), TILE_TOKENS)
    free_out = _free(sum(len(target) for _, target in sides), TARGET_TOKENS)
    shares = zip(_shares(free_in, _FILLERS), _shares(free_out, _FILLERS), strict=True)
    packed = [*samples, *(_filler_pair(a, b) for a, b in shares)]
    return pack_pairs(packed, [0] * len(packed))


def _filler_pair(prompt: int, target: int) -> TokenSample:
    supervised = np.arange(prompt + target) >= prompt
    return TokenSample(np.zeros(prompt + target, np.int32), supervised, "", "")


def _free(used: int, tile: int) -> int:
    """To the end of a tile, with room for a token of each filler."""
    return -(used + _FILLERS) % tile + _FILLERS


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]
