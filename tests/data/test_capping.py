"""No more than so many examples of a card, first ones or spread; bad rows are told all the same."""

from collections.abc import Iterator

from mmtune.data.capping import capped
from mmtune.types import Dropped, Example


def rows(count: int, bad_every: int = 10) -> Iterator[Example | Dropped]:
    for n in range(count):
        if n % bad_every == bad_every - 1:
            yield Dropped("s", f"s:{n}", "empty_field", "")
        else:
            yield Example(id=f"s/{n}", source="s", task="t", where=f"s:{n}")


def numbers(found: list[Example | Dropped]) -> list[int]:
    return [int(row.where[2:]) for row in found if isinstance(row, Example)]


def test_the_first_are_read_and_no_row_beyond_them() -> None:
    source = rows(100)
    found = list(capped(source, 20, spread=False))
    assert numbers(found) == [n for n in range(22) if n % 10 != 9]
    assert len(found) == 22 and next(source) == list(rows(23))[22]


def test_a_spread_sample_is_from_all_over_in_order_and_any_bad_row_is_told() -> None:
    found = list(capped(rows(1000), 90, spread=True))
    kept = numbers(found)
    assert len(kept) == 90 and kept == sorted(kept)
    assert all(2 <= sum(low <= n < low + 200 for n in kept) <= 40 for low in range(0, 1000, 200))
    assert sum(isinstance(row, Dropped) for row in found) == 100


def test_a_larger_sample_holds_the_smaller_one() -> None:
    small, large = (set(numbers(list(capped(rows(500), n, spread=True)))) for n in (30, 60))
    assert small < large


def test_fewer_rows_than_the_cap_are_all_kept() -> None:
    for spread in (False, True):
        assert len(numbers(list(capped(rows(50), 1000, spread=spread)))) == 45
