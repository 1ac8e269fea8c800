"""Counts, the limit on bad rows, and the ledger file."""

import json
from pathlib import Path

import pytest

from mmtune.data.accounting import RowCounts, check_bad_rows, counted, write_ledger
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


def test_the_ledger_grows_by_one_short_json_object_a_row(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ledger.jsonl"
    write_ledger(path, [])
    assert not path.exists()
    write_ledger(path, [dropped(1), Dropped("s", "a.jsonl:2", "nul_character", "\ud800\n" * 999)])
    write_ledger(path, [dropped(3)])
    lines = path.read_text(encoding="ascii").splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["where"] for entry in entries] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]
    assert entries[0].keys() == {"source", "where", "reason", "detail"}
    assert len(entries[1]["detail"]) < 300
