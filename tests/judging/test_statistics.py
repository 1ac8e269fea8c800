import random

import numpy as np
import pytest

from mmtune.judging.statistics import (
    cluster_bootstrap,
    cluster_bootstrap_interval,
    cluster_sums,
    paired_bootstrap_interval,
    percentile_interval,
    wilson_interval,
)


def test_wilson_gives_the_published_figures() -> None:
    # Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_wilson_is_inside_the_unit_interval_and_mirrors(n: int) -> None:
    for successes in range(n + 1):
        low, high = wilson_interval(successes, n)
        assert 0 <= low <= successes / n <= high <= 1
        assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low))


def test_wilson_covers_as_often_as_it_says() -> None:
    rng = random.Random(0)
    covered = 0
    for _ in range(2000):
        low, high = wilson_interval(sum(rng.random() < 0.3 for _ in range(60)), 60)
        covered += low <= 0.3 <= high
    assert 0.935 <= covered / 2000 <= 0.97


def test_nothing_known_is_the_whole_interval_and_nonsense_is_refused() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    for successes, n, level in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(ValueError):
            wilson_interval(successes, n, level)


def test_bootstrap_is_near_the_normal_interval() -> None:
    rng = random.Random(1)
    values = [rng.gauss(0.2, 1.0) for _ in range(400)]
    mean = sum(values) / 400
    deviation = (sum((value - mean) ** 2 for value in values) / 400) ** 0.5
    half = 1.96 * deviation / 20
    assert paired_bootstrap_interval(values) == pytest.approx((mean - half, mean + half), abs=0.01)


def test_bootstrap_is_seeded_and_widens_with_its_level() -> None:
    values = [0.03, 1.21, 0.94, -1.17, 0.11, 0.72, 0.38]
    assert paired_bootstrap_interval(values, 0.9, 3) == paired_bootstrap_interval(values, 0.9, 3)
    narrow = paired_bootstrap_interval(values, 0.5)
    wide = paired_bootstrap_interval(values, 0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_bootstrap_of_equal_differences_is_a_point() -> None:
    assert paired_bootstrap_interval([0.25] * 5, resamples=100) == (0.25, 0.25)


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_bootstrap_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError):
        paired_bootstrap_interval(values)


def test_clusters_are_drawn_whole() -> None:
    """Ten copies of each of 30 answers tell what the 30 tell; drawn singly they would tell more."""
    rng = random.Random(3)
    answers = [float(rng.random() < 0.5) for _ in range(30)]
    copied = [answer for answer in answers for _ in range(10)]
    once = cluster_bootstrap_interval(answers, range(30), seed=1)
    assert cluster_bootstrap_interval(copied, [n // 10 for n in range(300)], seed=1) == once
    low, high = cluster_bootstrap_interval(copied, range(300), seed=1)
    assert high - low < 0.5 * (once[1] - once[0])


def test_a_cluster_bootstrap_of_single_values_is_the_plain_one() -> None:
    rng = random.Random(5)
    values = [rng.gauss(1, 2) for _ in range(200)]
    plain = paired_bootstrap_interval(values, seed=0)
    assert cluster_bootstrap_interval(values, range(200), seed=0) == pytest.approx(plain, abs=0.03)


def test_a_cluster_bootstrap_covers_as_often_as_it_says() -> None:
    """Sixty clusters of one to five values that share a level of their own; the truth is 0."""
    rng = np.random.default_rng(0)
    covered = {"clustered": 0, "singly": 0}
    for seed in range(300):
        sizes = rng.integers(1, 6, size=60)
        clusters = np.repeat(np.arange(60), sizes)
        values = np.repeat(rng.normal(size=60), sizes) + 0.3 * rng.normal(size=sizes.sum())
        for how, groups in (("clustered", clusters.tolist()), ("singly", range(len(values)))):
            low, high = cluster_bootstrap_interval(
                values.tolist(), groups, seed=seed, resamples=500
            )
            covered[how] += low <= 0 <= high
    assert 0.90 <= covered["clustered"] / 300 <= 0.98
    assert covered["singly"] / 300 < 0.85


def test_sums_are_of_each_cluster_in_the_order_met() -> None:
    sums = cluster_sums([1.0, 2.0, 3.0], ["b", "a", "b"])
    assert sums.tolist() == [[[4.0, 2.0]], [[2.0, 1.0]]]
    with pytest.raises(ValueError, match="3 values and 2 clusters"):
        cluster_sums([1, 2, 3], ["a", "b"])


def test_measures_see_the_same_draws_and_blocks_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = cluster_sums([0.0, 1.0, 1.0, 0.0, 1.0], range(5))
    draws = cluster_bootstrap(np.concatenate([one, one], axis=1), seed=4, resamples=50)
    assert draws.shape == (50, 2)
    assert (draws[:, 0] == draws[:, 1]).all()
    monkeypatch.setattr("mmtune.judging.statistics._BLOCK", 12)
    assert (cluster_bootstrap(one, seed=4, resamples=50) == draws[:, :1]).all()


def test_a_bootstrap_of_nothing_is_the_callers_fault() -> None:
    for bad in (np.zeros((0, 1, 2)), np.zeros((3, 2)), np.full((2, 1, 2), np.nan)):
        with pytest.raises(ValueError, match="sums"):
            cluster_bootstrap(bad)
    with pytest.raises(ValueError, match="level"):
        percentile_interval(np.ones(3), level=1.0)
