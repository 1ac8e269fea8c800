"""Intervals for scores: how far a share or a mean difference may be from what a sample shows."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval for a share (Wilson 1927; recommended in Brown, Cai and DasGupta 2001).

    Unlike the mean +- z * standard error it stays inside [0, 1] and is sound at 0 and at n
    successes. `n` 0 gives (0, 1): nothing is known.
    Raises ValueError where `successes` is not in 0..n or `level` not between 0 and 1.
    Example: `wilson_interval(8, 10)` -> (0.490, 0.943).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    _check_level(level)
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high


def paired_bootstrap_interval(
    differences: Sequence[float], level: float = 0.95, seed: int = 0, *, resamples: int = 10_000
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean difference (Efron, Tibshirani 1993, chapter 13).

    `differences` holds one number an item: system A's score less system B's on the same item
    (the pairing; Koehn 2004 for its use in comparing systems). Items are resampled with
    replacement; the same seed gives the same interval.
    Raises ValueError without items, for a number that is not finite, or a bad `level`.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError("differences must be one or more finite numbers, one an item")
    _check_level(level)
    rng = np.random.default_rng(seed)
    # In blocks: 10,000 resamples of 10,000 items at once would be 800 MB.
    block = max(1, 1_000_000 // values.size)
    means = np.concatenate(
        [
            values[rng.integers(values.size, size=(min(block, resamples - i), values.size))].mean(1)
            for i in range(0, resamples, block)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it lies between 0 and 1")
