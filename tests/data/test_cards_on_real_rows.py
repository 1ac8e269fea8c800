"""Shipped cards on real rows, cluster by cluster, where the shared data has them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from real_rows import REAL, Rows, opened

from mmtune.config.cards import Split
from mmtune.types import Dropped, Example


@pytest.mark.parametrize(
    ("rows", "split"),
    [(r, s) for r in REAL for s in ("train", "test") if getattr(r, s)],
    ids=lambda value: value.card if isinstance(value, Rows) else value,
)
def test_every_real_row_becomes_an_example_or_is_told(
    rows: Rows, split: Split, shared: Path
) -> None:
    card, found = opened(rows, shared, split)
    examples = [one for one in found if isinstance(one, Example)]
    left_out = Counter(one.reason for one in found if isinstance(one, Dropped))
    assert len(examples) == getattr(rows, split), left_out
    assert left_out == dict(rows.dropped)
    for example in examples:
        assert set(example.fields) == {*card.fields, "answer"}
        assert all(example.fields[name] for name in card.fields if name not in card.optional)
        assert not example.choices or example.fields["answer"] in example.choices
        assert not example.references or example.fields["answer"] in example.references
    assert len({example.id for example in examples}) == len(examples)


def test_no_class_takes_all_real_rows(shared: Path) -> None:
    """A label that is read from the wrong place would."""
    for rows in REAL:
        card, found = opened(rows, shared, "train" if rows.train else "test", max_rows=800)
        if isinstance(card.choices, list) and card.choices:
            counts = Counter(one.fields["answer"] for one in found if isinstance(one, Example))
            assert set(counts) == set(card.choices), rows.card
            assert max(counts.values()) < 0.8 * counts.total(), rows.card


def test_known_rows_come_out_as_they_should(shared: Path) -> None:
    first: dict[str, Any] = {}
    for rows in REAL:
        _, found = opened(rows, shared, "train" if rows.train else "test", max_rows=1)
        first[rows.card] = next(one for one in found if isinstance(one, Example))
    assert first["rte"].fields["answer"] == "no"
    assert first["gsm8k"].fields["answer"] == "72"
    assert "<<" not in first["gsm8k"].fields["rationale"]
    assert first["strategyqa"].fields["answer"] == "yes"
    assert first["e2e_nlg"].fields["slots"].startswith("name = Alimentum, area = ")
    assert len(first["aqua"].choices) == 5 and len(first["qasc_cot"].choices) == 8
    assert first["ag_news"].fields["answer"] == "Business"
    assert first["trec"].fields["answer"] == "description"
    assert not first["mrpc"].fields["sentence2"].endswith("\r")
    assert first["trivia_qa"].references[0] == "Onion"
    assert not first["trivia_qa"].fields["question"].endswith("Answer:")
    assert first["stsb"].fields["answer"] == "3"
