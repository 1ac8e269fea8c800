"""The law of a mixture: shares by rule, draws by seed alone, from any place."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmtune.config.cards import Card
from mmtune.config.mixtures import Fixed, PerTemplate, Proportional, Rule, Temperature
from mmtune.data.example_store import has_examples, open_examples, write_examples
from mmtune.data.holding_out import left_out_clusters, may_train
from mmtune.data.mixing import Drawing, Part, shares
from mmtune.data.mixture import epoch_order
from mmtune.types import Example, Image

PARTS = [
    Part("small", 500, 10, ("flan", "nli")),
    Part("middle", 4_000, 8, ("flan", "sentiment")),
    Part("large", 700_000, 5, ("t0_train", "topic")),
]


@pytest.mark.parametrize(
    ("rule", "weights"),
    [
        (Proportional(kind="proportional"), [500, 3_000, 3_000]),
        (Proportional(kind="proportional", maximum=600_000), [500, 4_000, 600_000]),
        # T0: 500 x 10, 4,000 x 8, and 500,000 in all.
        (PerTemplate(kind="per_template"), [5_000, 32_000, 500_000]),
        (Temperature(kind="temperature", temperature=1), [500, 4_000, 700_000]),
        (Temperature(kind="temperature", temperature=2), [500**0.5, 4_000**0.5, 700_000**0.5]),
        (Fixed(kind="fixed", weights={"flan": 0.9, "large": 0.1}), [0.1, 0.8, 0.1]),
        (Fixed(kind="fixed", weights={"nli": 1, "middle": 2, "t0_train": 5}), [1, 2, 5]),
    ],
)
def test_shares_follow_the_rule(rule: Rule, weights: list[float]) -> None:
    found = shares(PARTS, rule)
    assert list(found) == ["small", "middle", "large"]
    assert list(found.values()) == pytest.approx([w / sum(weights) for w in weights])


@pytest.mark.parametrize("weights", [{"flan": 1.0}, {"flan": 1.0, "large": 1.0, "lrage": 1.0}])
def test_a_weight_of_nothing_and_a_source_without_one_are_refused(
    weights: dict[str, float],
) -> None:
    with pytest.raises(ValueError, match="weight"):
        shares(PARTS, Fixed(kind="fixed", weights=weights))


RULES: list[Rule] = [
    Proportional(kind="proportional"),
    PerTemplate(kind="per_template"),
    Temperature(kind="temperature", temperature=3),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_million_draws_have_the_shares_within_sampling_error(rule: Rule) -> None:
    wanted = np.array(list(shares(PARTS, rule).values()))
    count = 1_000_000
    drawing = Drawing(7, tuple(part.size for part in PARTS), tuple(wanted))
    found = np.array(drawing.counts(0, count)) / count
    error = np.sqrt(wanted * (1 - wanted) / count)
    assert (abs(found - wanted) < 4 * error).all()
    # And they are draws, not an even deal: those of a block spread as a binomial does.
    blocks = [drawing.counts(n * 65_536, (n + 1) * 65_536)[0] for n in range(15)]
    spread = np.sqrt(65_536 * wanted[0] * (1 - wanted[0]))
    assert 0.4 * spread < np.std(blocks) < 2 * spread


def test_every_example_comes_once_before_any_comes_again() -> None:
    drawing = Drawing(0, (5, 40), (0.5, 0.5))
    seen: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for draw in drawing.draws(0, 200):
        seen[draw.source].append((draw.visit, draw.row))
    for source, size in ((0, 5), (1, 40)):
        for visit in range(len(seen[source]) // size):
            rows = seen[source][visit * size : (visit + 1) * size]
            assert sorted(rows) == [(visit, row) for row in range(size)]
        passes = [[row for v, row in seen[source] if v == visit] for visit in (0, 1)]
        assert passes[0] != passes[1]


@pytest.mark.parametrize("start", [0, 1, 65_535, 65_536, 70_001])
def test_the_remainder_is_the_same_from_any_place(start: int) -> None:
    drawing = Drawing(3, (700, 90, 11), (0.6, 0.3, 0.1))
    whole = list(drawing.draws(0, 70_100))
    assert list(drawing.draws(start, 70_100)) == whole[start:]
    assert drawing.counts(start, 70_100) == [
        sum(draw.source == n for draw in whole[start:]) for n in range(3)
    ]


def test_workers_that_share_the_draws_make_the_same_sequence() -> None:
    drawing = Drawing(3, (70, 9), (0.6, 0.4))
    whole = list(drawing.draws(0, 90))
    parts = [list(drawing.draws(n * 30, (n + 1) * 30)) for n in range(3)]
    assert [draw for part in parts for draw in part] == whole


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_order_of_an_epoch_does_not_sort_the_draws_by_source(seed: int) -> None:
    """Both are made of a seed and a small number: from one key they would be the same draws."""
    drawing = Drawing(seed, (100, 100), (0.5, 0.5))
    sources = np.array([draw.source for draw in drawing.draws(0, 1000)])
    assert 200 < sources[epoch_order(seed, 0, 1000)[:500]].sum() < 300


def test_another_seed_is_another_sequence() -> None:
    one, two = (list(Drawing(seed, (70, 9), (0.6, 0.4)).draws(0, 50)) for seed in (0, 1))
    assert [d.source for d in one] != [d.source for d in two]
    assert Counter(d.row for d in one) != Counter(d.row for d in two)


# Held-out clusters.


def card(name: str, cluster: str, siblings: str = "") -> Card:
    fields = {"text": "{{ text }}"}
    return Card.model_validate(
        {
            "name": name,
            "cluster": cluster,
            "siblings": siblings,
            "path": f"{name}.jsonl",
            "splits": {"train": "train"},
            "fields": fields,
            "answer": "{{ answer }}",
        }
    )


CARDS = [
    card("rte", "nli"),
    card("mrpc", "paraphrase"),
    card("boolq", "reading_comprehension"),
    card("cosmos_qa", "reading_comprehension_commonsense"),
    card("copa", "commonsense"),
    card("squad_v1", "reading_comprehension", "squad"),
    card("squad_questions", "struct_to_text", "squad"),
    card("sst2", "sentiment"),
]


@pytest.mark.parametrize(
    ("held_out", "kept"),
    [
        (["nli"], "boolq cosmos_qa copa squad_v1 squad_questions sst2"),
        (["paraphrase"], "boolq cosmos_qa copa squad_v1 squad_questions sst2"),
        (["reading_comprehension"], "rte mrpc copa sst2"),
        (["commonsense"], "rte mrpc boolq squad_v1 squad_questions sst2"),
        (["reading_comprehension_commonsense"], "rte mrpc squad_questions sst2"),
        (["sentiment"], "rte mrpc boolq cosmos_qa copa squad_v1 squad_questions"),
        ([], "rte mrpc boolq cosmos_qa copa squad_v1 squad_questions sst2"),
    ],
)
def test_what_would_tell_of_a_held_out_cluster_is_left_out(held_out: list[str], kept: str) -> None:
    assert [c.name for c in CARDS if may_train(c, held_out, CARDS) is None] == kept.split()


def test_a_refusal_says_why() -> None:
    assert may_train(CARDS[1], ["nli"], CARDS) == (
        "its cluster paraphrase tells of one that is held out"
    )
    assert "sibling in squad" in str(may_train(CARDS[6], ["reading_comprehension"], CARDS))
    assert left_out_clusters(["nli"]) == {"nli", "paraphrase"}


# Examples on disk.


def example(number: int) -> Example:
    return Example(
        id=f"s/{number}",
        source="s",
        task="t",
        fields={"text": "grün\n" * number, "answer": "\u2028"},
        choices=("a", "b") if number % 2 else (),
        references=("x",) if number % 3 else (),
        images={"picture": Image("p.png", "ab", 3, 4)} if number == 2 else {},
        where=f"s.jsonl:{number}",
    )


def test_examples_come_back_by_number_as_they_were(tmp_path: Path) -> None:
    rows = [example(n) for n in range(7)]
    assert not has_examples(tmp_path / "s", "key")
    with write_examples(tmp_path / "s", rows, "key") as store:
        assert [store[n] for n in (6, 0, 2, 3)] == [rows[n] for n in (6, 0, 2, 3)]
        assert len(store) == 7
    assert has_examples(tmp_path / "s", "key") and not has_examples(tmp_path / "s", "other")
    assert os.listdir(tmp_path) == ["s"]
    with open_examples(tmp_path / "s") as again:
        assert again[1] == rows[1]


def test_a_store_cut_short_is_none(tmp_path: Path) -> None:
    def rows() -> object:
        yield example(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_examples(tmp_path / "s", rows(), "key")  # type: ignore[arg-type]
    assert not has_examples(tmp_path / "s", "key")
