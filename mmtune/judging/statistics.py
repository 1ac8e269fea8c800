"""Intervals for scores: how far a share or a mean difference may be from what a sample shows."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Finish = Callable[[Floats], Floats]
"""Sums over what was drawn [..., parts] -> the statistic [...]; see `ratio`."""

_BLOCK = 1_000_000
"""Draws held at a time: 10,000 resamples of 10,000 items at once would be 800 MB."""


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
    block = max(1, _BLOCK // values.size)
    means = np.concatenate(
        [
            values[rng.integers(values.size, size=(min(block, resamples - i), values.size))].mean(1)
            for i in range(0, resamples, block)
        ]
    )
    return percentile_interval(means, level)


def percentile_interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """What `level` of the draws lie between, as many below as above (Efron, Tibshirani 1993,
    chapter 13)."""
    _check_level(level)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ratio(sums: Floats) -> Floats:
    """The mean, where `sums` ends in (sum of the values, number of them): [..., 2] -> [...]."""
    return sums[..., 0] / sums[..., 1]


def cluster_bootstrap(
    sums: Floats, finish: Finish = ratio, seed: int = 0, *, resamples: int = 2000
) -> Floats:
    """The bootstrap's draws of a statistic, whole clusters drawn with replacement.

    Values of one cluster (one example under ten templates; the questions on one passage) are not
    independent: drawn singly they would give intervals that are too narrow (Davison, Hinkley 1997,
    section 3.8; Miller 2024, "Adding error bars to evals", section 2.2).

    Args:
        sums: [clusters, measures, parts], each cluster's sums; all measures see the same draws.
        finish: makes the statistic of the drawn clusters' sums, [..., parts] -> [...].

    Returns:
        [resamples, measures]; nan where a draw met no value of a measure.
    """
    if sums.ndim != 3 or not len(sums) or not np.isfinite(sums).all():
        raise ValueError("sums must be finite numbers [clusters >= 1, measures, parts]")
    flat = sums.reshape(len(sums), -1)
    drawn = np.concatenate([counts @ flat for counts in _draw_counts(len(sums), seed, resamples)])
    with np.errstate(divide="ignore", invalid="ignore"):
        return finish(drawn.reshape(resamples, *sums.shape[1:]))


def cluster_bootstrap_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    level: float = 0.95,
    seed: int = 0,
    *,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """The percentile interval of a mean whose values come in clusters; see `cluster_bootstrap`.

    Example: ten copies of each of five answers tell no more than the five:
    `cluster_bootstrap_interval([1, 0] * 10, ["a", "b"] * 10)` -> (0.0, 1.0).
    """
    sums = cluster_sums(values, clusters)
    return percentile_interval(cluster_bootstrap(sums, seed=seed, resamples=resamples)[:, 0], level)


def cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> Floats:
    """(sum, number) of each cluster's values, as `cluster_bootstrap` takes them: [clusters, 1, 2].

    Clusters are in the order of their first value.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values and {len(clusters)} clusters")
    numbers = {cluster: n for n, cluster in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(numbers), 1, 2))
    rows = [numbers[cluster] for cluster in clusters]
    np.add.at(sums[:, 0, 0], rows, np.asarray(values, dtype=np.float64))
    np.add.at(sums[:, 0, 1], rows, 1.0)
    return sums


def _draw_counts(clusters: int, seed: int, resamples: int) -> Iterator[Floats]:
    """How often each cluster was drawn, float64 [some resamples, clusters] at a time."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // clusters)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(clusters, size=(rows, clusters))
        drawn += np.arange(rows)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=rows * clusters)
        yield counts.reshape(rows, clusters).astype(np.float64)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it lies between 0 and 1")
