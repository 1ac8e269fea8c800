import random

import pytest

from mmtune.judging.statistics import paired_bootstrap_interval, wilson_interval


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
