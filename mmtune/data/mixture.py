"""Which rows are held out, and in which order the others come: pure functions of seed and ids."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_WORD = 2**64


def is_held_out(example_id: str, *, fraction: float, seed: int) -> bool:
    """Whether an example belongs to the held-out part; depends on nothing but its id and the seed.

    Of many ids about `fraction` (0 to 1) are held out.
    """
    return _draw(example_id, seed) < fraction * _WORD


def holdout(ids: Iterable[str], fraction: float, seed: int) -> set[str]:
    """The held-out ids, whatever the order of `ids`; at least one where `fraction` is positive."""
    everyone = list(ids)
    chosen = {one for one in everyone if is_held_out(one, fraction=fraction, seed=seed)}
    if not chosen and fraction > 0 and everyone:
        chosen = {min(everyone, key=lambda one: _draw(one, seed))}
    return chosen


def epoch_order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """A permutation of 0..n-1, the same for the same (seed, epoch, n) on any machine.

    Made by sorting the raw output of a counter-based generator (Philox; Salmon et al. 2011), which
    numpy keeps stable across versions, as it does not keep `Generator.permutation`.
    """
    key = np.array([seed % _WORD, epoch % _WORD], dtype=np.uint64)
    draws = np.random.Philox(key=key).random_raw(n)
    return np.argsort(draws, kind="stable").astype(np.int64)


def _draw(example_id: str, seed: int) -> int:
    """A number from 0 to 2**64 - 1, evenly drawn by (seed, id)."""
    digest = hashlib.blake2b(f"{seed}/{example_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
