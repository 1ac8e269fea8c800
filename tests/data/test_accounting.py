"""Counts, the limit on bad rows, and the ledger file."""

import json
from pathlib import Path

import pytest

from mmtune.data.accounting import RowCounts, check_bad_rows, counted, ledger
from mmtune.errors import DataError
from mmtune.types import Dropped, Example, Text, Turn


def example(*roles: str) -> Example:
    turns = tuple(Turn(role, (Text("x"),)) for role in roles)  # type: ignore[arg-type]
    return Example(id="s/1", source="s", task="dialogue", turns=turns)


def dropped(number: int, reason: str = "broken_json") -> Dropped:
    return Dropped("s", f"a.jsonl:{number}", reason, "why")


def counts_of(kept: int, bad: int) -> RowCounts:
    counts = RowCounts("s")
    rows = [example("user", "assistant")] * kept + [dropped(n) for n in range(bad)]
    assert list(counted(rows, counts)) == rows
    return counts


def test_rows_seen_are_rows_kept_and_dropped_by_reason() -> None:
    counts = counts_of(3, 2)
    counts.add(dropped(9, "bad_roles"))
    counts.add(example("user", "assistant", "user"))
    assert (counts.seen, counts.kept, counts.dropped, counts.unanswered) == (7, 4, 3, 1)
    assert counts.described() == (
        "s: 7 rows: 4 kept, 3 dropped (2 broken_json, 1 bad_roles); "
        "1 end with a user turn, which is left off"
    )


def test_a_kept_row_that_proves_unusable_moves_to_the_dropped() -> None:
    counts = counts_of(3, 0)
    counts.reject(dropped(1, "too_many_tokens"))
    assert (counts.seen, counts.kept, counts.by_reason["too_many_tokens"]) == (3, 2, 1)


@pytest.mark.parametrize(
    ("kept", "bad", "fraction", "stops"),
    [
        (95, 5, 0.05, False),
        (94, 6, 0.05, True),
        (10, 0, 0.0, False),
        (99, 1, 0.0, True),
        (1, 99, 1.0, False),
        (0, 5, 1.0, True),
        (0, 0, 1.0, True),
    ],
)
def test_the_run_stops_past_the_fraction_or_without_a_usable_row(
    kept: int, bad: int, fraction: float, stops: bool
) -> None:
    counts = counts_of(kept, bad)
    if stops:
        with pytest.raises(DataError):
            check_bad_rows([counts], fraction)
    else:
        check_bad_rows([counts], fraction)


def test_the_error_names_each_bad_source_its_reasons_and_the_first_places() -> None:
    good, bad = counts_of(9, 0), counts_of(1, 5)
    with pytest.raises(DataError) as error:
        check_bad_rows([good, bad, bad], 0.05)
    assert len(error.value.faults) == 2
    message = error.value.faults[0]
    assert "s: 5 of 6 rows" in message and "5 broken_json" in message
    assert all(f"a.jsonl:{n} " in message for n in range(3)) and "a.jsonl:3" not in message


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_the_ledger_is_one_short_json_object_a_row_and_no_file_without_any(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ledger.jsonl"
    with ledger(path) as note:
        note(dropped(1))
        note(Dropped("s", "a.jsonl:2", "nul_character", "\ud800\n" * 999))
        assert not path.exists()
    found = entries(path)
    assert [entry["where"] for entry in found] == ["a.jsonl:1", "a.jsonl:2"]
    assert found[0].keys() == {"source", "where", "reason", "detail"}
    assert len(str(found[1]["detail"])) < 300
    with ledger(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_ledger_that_is_not_finished_leaves_the_one_before_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with ledger(path) as note:
        note(dropped(1))
    with pytest.raises(KeyboardInterrupt), ledger(path) as note:
        note(dropped(2))
        raise KeyboardInterrupt
    assert [entry["where"] for entry in entries(path)] == ["a.jsonl:1"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_rows_of_a_window_take_the_place_of_those_it_left_out_before(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with ledger(path) as note:
        note(dropped(0, "of_a_run_before_that_did_not_stream"))
    for window, row in [(0, 1), (1, 2), (10, 3), (1, 4), (0, 1)]:
        with ledger(path, window=window) as note:
            note(dropped(row))
    found = [(entry["window"], entry["where"]) for entry in entries(path)]
    assert sorted(found) == [(0, "a.jsonl:1"), (1, "a.jsonl:4"), (10, "a.jsonl:3")]


def test_tokens_lost_to_the_limit_are_told() -> None:
    counts = counts_of(4, 0)
    counts.cut, counts.tokens_lost = 2, 1234
    assert counts.described().endswith("0 dropped; 2 cut short; 1,234 tokens lost to the limit")


def test_rows_that_are_left_out_on_purpose_are_counted_but_not_bad() -> None:
    counts = RowCounts("rte/train")
    for reason in ("unlabelled",) * 8 + ("not_kept", "empty_field"):
        counts.add(Dropped("rte/train", f"rte.jsonl:{reason}", reason, "why"))
    for number in range(10):
        counts.add(Example(id=str(number), source="rte/train", task="rte"))
    assert (counts.seen, counts.dropped, counts.bad) == (20, 10, 1)
    check_bad_rows([counts], 0.1)
    with pytest.raises(DataError, match="1 of 11 rows cannot be used .*first: rte.jsonl:empty"):
        check_bad_rows([counts], 0.0)
    alone = RowCounts("rte/test")
    alone.add(Dropped("rte/test", "rte.jsonl:1", "unlabelled", "label is -1"))
    with pytest.raises(DataError, match="leaves all rows out .1 unlabelled.; see its keep"):
        check_bad_rows([alone], 0.5)
