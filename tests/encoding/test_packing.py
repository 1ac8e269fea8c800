"""Packing is best-fit-decreasing, loses no sample, and stays fast; dealing is fair."""

import time

import numpy as np
import pytest

from mmtune.encoding.packing import best_fit_decreasing, deal, group_padded


def lognormal(count: int, capacity: int, seed: int = 0) -> np.ndarray:
    draws = np.random.default_rng(seed).lognormal(4.5, 1.0, count)
    return np.clip(draws.astype(np.int64), 1, capacity)


def naive_best_fit_decreasing(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """The textbook: every sample looks at every open row."""
    rows: list[list[int]] = []
    rooms: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        fits = [row for row, room in enumerate(rooms) if room >= lengths[number]]
        if fits:
            row = min(fits, key=lambda r: rooms[r])
        else:
            rows.append([])
            rooms.append(capacity)
            row = len(rows) - 1
        rows[row].append(number)
        rooms[row] -= int(lengths[number])
    return rows


CASES = [
    (lognormal(400, 512), 512),
    (lognormal(300, 100, seed=1), 100),
    (np.random.default_rng(2).integers(1, 18, 500), 17),
    (np.full(30, 4), 17),
    (np.array([7]), 7),
    (np.ones(11, dtype=np.int64), 3),
    (np.array([6, 5, 5, 4, 3, 3, 2, 2, 1, 1]), 8),
]


@pytest.mark.parametrize(("lengths", "capacity"), CASES)
def test_rows_are_those_of_the_textbook_and_hold_every_sample_once(
    lengths: np.ndarray, capacity: int
) -> None:
    rows = best_fit_decreasing(lengths, capacity)
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    assert max(int(lengths[row].sum()) for row in rows) <= capacity

    textbook = naive_best_fit_decreasing(lengths, capacity)
    # Rows with equal room are interchangeable, so what they hold may be swapped, their sums not.
    held = sorted(int(lengths[row].sum()) for row in rows)
    assert held == sorted(int(lengths[row].sum()) for row in textbook)


def test_packing_is_the_same_each_time_and_prefers_the_earlier_of_equals() -> None:
    lengths = lognormal(500, 256)
    one, two = (best_fit_decreasing(lengths, 256) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert [row.tolist() for row in best_fit_decreasing(np.full(5, 3), 6)] == [[0, 1], [2, 3], [4]]


def test_nothing_packs_into_no_rows() -> None:
    assert best_fit_decreasing(np.zeros(0, dtype=np.int64), 8) == []
    assert group_padded(np.zeros(0, dtype=np.int64), 8) == []


@pytest.mark.parametrize("pack", [best_fit_decreasing, group_padded])
@pytest.mark.parametrize("bad", [0, 9, -1])
def test_a_sample_that_fits_no_row_is_a_mistake_that_names_it(pack, bad: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"sample 2 has {bad} tokens"):
        pack(np.array([1, 8, bad, 3]), 8)


def test_a_million_rows_pack_in_a_second_and_nearly_without_loss() -> None:
    lengths = lognormal(1_000_000, 2048)
    started = time.process_time()
    rows = best_fit_decreasing(lengths, 2048)
    seconds = time.process_time() - started
    assert seconds < 3  # under 1 s on an idle core; slack for a busy one
    assert sum(len(row) for row in rows) == len(lengths)
    assert lengths.sum() / (len(rows) * 2048) > 0.999


@pytest.mark.parametrize("width", [5, 16, 64])
def test_padded_groups_keep_the_order_and_the_budget_and_are_as_long_as_can_be(width: int) -> None:
    lengths = np.random.default_rng(3).integers(1, 6, 200)
    groups = group_padded(lengths, width)
    assert np.concatenate(groups).tolist() == list(range(200))
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        assert lengths[group].max() * len(group) <= width
        if following is not None:
            longer = np.append(group, following[0])
            assert lengths[longer].max() * len(longer) > width


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_dealing_gives_each_row_once_and_ranks_alike(ranks: int) -> None:
    loads = lognormal(37, 2048, seed=4).tolist()
    hands = deal(loads, ranks)
    assert sorted(row for hand in hands for row in hand) == list(range(37))
    sizes = [len(hand) for hand in hands]
    assert max(sizes) - min(sizes) <= 1
    held = [sum(loads[row] for row in hand) for hand in hands]
    assert max(held) - min(held) <= max(loads)


def test_dealing_balances_better_than_cards_in_turn() -> None:
    loads = [100, 90, 60, 50, 20, 10]
    held = sorted(sum(loads[row] for row in hand) for hand in deal(loads, 2))
    assert held == [160, 170]


def test_more_ranks_than_rows_leave_some_with_none() -> None:
    assert deal([3], 3) == [[0], [], []]
    assert deal([], 2) == [[], []]
