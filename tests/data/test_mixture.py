"""Hold-out and order are pure functions of ids and seeds."""

import random
import subprocess
import sys

import numpy as np
import pytest

from mmtune.data.mixture import epoch_order, holdout, is_held_out

IDS = [f"s/row-{n}" for n in range(5000)]


def test_the_held_out_do_not_depend_on_the_order_or_on_the_other_rows() -> None:
    chosen = holdout(IDS, 0.1, seed=1)
    shuffled = random.Random(0).sample(IDS, len(IDS))
    assert holdout(shuffled, 0.1, seed=1) == chosen
    half = IDS[::2]
    assert holdout(half, 0.1, seed=1) == chosen & set(half)
    assert chosen == {one for one in IDS if is_held_out(one, fraction=0.1, seed=1)}


def test_about_the_fraction_is_held_out_and_a_larger_one_holds_out_more_of_the_same() -> None:
    small, large = holdout(IDS, 0.1, seed=3), holdout(IDS, 0.3, seed=3)
    assert abs(len(small) - 500) < 100 and abs(len(large) - 1500) < 150
    assert small < large


def test_another_seed_holds_out_others() -> None:
    assert holdout(IDS, 0.1, seed=1) != holdout(IDS, 0.1, seed=2)


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (1.0, 5000), (1e-12, 1)])
def test_none_all_and_at_least_one(fraction: float, count: int) -> None:
    assert len(holdout(IDS, fraction, seed=0)) == count
    assert holdout([], fraction, seed=0) == set()


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_an_order_is_a_permutation(n: int) -> None:
    assert sorted(epoch_order(0, 0, n)) == list(range(n))


def test_orders_differ_by_seed_and_epoch_and_repeat() -> None:
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (-1, 0)]
    orders = {key: tuple(epoch_order(*key, 100)) for key in keys}
    assert len(set(orders.values())) == len(keys)
    assert tuple(epoch_order(0, 1, 100)) == orders[0, 1]


def test_another_process_draws_the_same_order_and_hold_out() -> None:
    code = (
        "from mmtune.data.mixture import *\n"
        "print(epoch_order(7, 3, 50).tolist(), sorted(holdout(map(str, range(99)), 0.2, 5)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = f"{epoch_order(7, 3, 50).tolist()} {sorted(holdout(map(str, range(99)), 0.2, 5))}"
    assert done.stdout.strip() == expected


def test_every_place_of_the_order_is_taken_by_anyone() -> None:
    firsts = np.bincount([epoch_order(0, epoch, 10)[0] for epoch in range(2000)], minlength=10)
    assert firsts.min() > 140 and firsts.max() < 260  # 200 expected, standard deviation 13
