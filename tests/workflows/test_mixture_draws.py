"""The draws of an opened mixture: which examples, in which formats, from any place on."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mixture_worlds import FORMATS, World, about, of_store, said

from mmtune.data.example_store import write_examples
from mmtune.templates.options import HEADERS
from mmtune.types import Example


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def three(world: World) -> World:
    for card in ("rte", "sst2", "gsm8k"):
        world.write(card)
    return world


def test_a_sample_comes_again_under_another_name_and_only_after_all_others(three: World) -> None:
    rows = list(three.opened(three.mixture(examples_per_epoch=600)).rows(0))
    ids = [row.id for row in rows if isinstance(row, Example)]
    assert len(ids) == len(set(ids)) == 600
    rte = [one for one in ids if one.startswith("rte/")]
    size = len({one.partition("#")[0] for one in rte})
    assert size == 55  # all that train[but every 12] leaves of 60
    assert [one.partition("#")[2] or "0" for one in rte] == [
        str(n // size) for n in range(len(rte))
    ]


def test_without_a_number_an_epoch_is_as_many_draws_as_there_are_examples(three: World) -> None:
    opened = three.opened(three.mixture(cap={"examples": 35, "by_collection": {"cot": 20}}))
    assert {part.name: part.size for part in opened.parts} == {"rte": 35, "sst2": 30, "gsm8k": 20}
    assert opened.rows_per_epoch == 85 == len(list(opened.rows(0)))


def test_rows_sorted_by_label_are_capped_from_all_over(world: World) -> None:
    rows = [{"text": f"Film {n}", "label": int(n >= 2000)} for n in range(4000)]
    world.write("imdb", rows)
    opened = world.opened(world.mixture(cap={"examples": 100}))
    kept = of_store(opened, "imdb")
    labels = Counter(row.fields["answer"] for row in kept)
    assert len(kept) == 100 and len(labels) == 2 and min(labels.values()) > 25
    numbers = [int(row.where.rpartition(":")[2]) for row in kept]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("templates", ["random", "round_robin"])
@pytest.mark.parametrize("start", [1, 100, 257])
def test_a_start_from_the_middle_changes_nothing_that_follows(
    three: World, start: int, templates: str
) -> None:
    mixture = three.mixture(
        formats=FORMATS, options="varied", templates=templates, examples_per_epoch=300
    )
    whole = said(three.opened(mixture).rows(1))
    assert said(three.opened(mixture).rows(1, start)) == whole[start:]
    assert said(three.opened(mixture).rows(1, start, start + 20)) == whole[start : start + 20]
    assert whole != said(three.opened(mixture).rows(0))
    assert whole != said(three.opened(mixture, seed=1).rows(1))


def test_files_that_were_only_touched_are_the_same(three: World) -> None:
    mixture = three.mixture(examples_per_epoch=100)
    before = three.opened(mixture)
    os.utime(three.rows["sst2"], (1, 1))
    after = three.opened(mixture)
    assert after.facts() == before.facts() and after.key == before.key
    assert three.opened(mixture, seed=1).key != before.key


def test_cards_are_read_once(three: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = three.mixture()
    three.opened(mixture)
    monkeypatch.setattr("mmtune.workflows.reading_cards.write_examples", None)
    three.opened(mixture)
    monkeypatch.setattr("mmtune.workflows.reading_cards.write_examples", write_examples)
    assert three.opened(three.mixture(cap={"examples": 5})).rows_per_epoch == 15


# Formats.


def rendered(world: World, count: int = 1500, **keys: Any) -> list[Example]:
    mixture = world.mixture(examples_per_epoch=count, turned_around=False, **keys)
    return [row for row in world.opened(mixture).rows(0) if isinstance(row, Example)]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_few_shot_prompts_are_the_stated_part(world: World, share: float) -> None:
    world.write("sst2")
    rows = rendered(world, formats={"few_shot": share, "exemplars": 3})
    films = [row.turns[0].text.count("A film ") for row in rows]
    assert set(films) <= {1, 4}
    assert about(films.count(4), share, len(rows))
    for row in rows[:50]:  # the question stands last, and none of the others is the same
        *shown, asked = (piece.split(".")[0] for piece in row.turns[0].text.split("A film ")[1:])
        assert asked not in shown and f"A film {asked}." in row.turns[0].text


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_rationales_are_the_stated_part_of_answers(world: World, share: float) -> None:
    world.write("gsm8k")
    rows = rendered(world, formats={"reasoned": share})
    shown = [row for row in rows if "Add one to" in row.turns[-1].text]
    bare = [row for row in rows if row.turns[-1].text.strip().isdigit()]
    own = share_that_reasons_anyway(world)
    assert about(len(shown), own + (1 - own) * share, len(rows))
    assert bool(bare) == (share < 1)


def share_that_reasons_anyway(world: World) -> float:
    """The part of the card's own templates that ask for the rationale."""
    templates = world.opened(world.mixture(turned_around=False)).pool.of("gsm8k")
    return sum(bool({"rationale", "reasoned"} & t.names) for t in templates) / len(templates)


def test_inverted_tasks_are_the_stated_part_of_what_has_a_rationale(world: World) -> None:
    for card in ("gsm8k", "sst2", "esnli"):
        world.write(card)
    rows = rendered(world, formats={"inverted": 0.4})
    inverted = [r for r in rows if r.source == "gsm8k" and is_inverted(r)]
    assert about(len(inverted), 0.4, sum(row.source == "gsm8k" for row in rows))
    kinds = {asked_for(row) for row in inverted}
    assert kinds == {"question", "rationale", "both"}
    others = [row for row in rows if row.source == "sst2"]
    assert {row.turns[-1].text for row in others} <= {"positive", "negative"}


def asked_for(row: Example) -> str:
    answer = row.turns[-1].text
    question, rationale = "+1?" in answer, "Add one to" in answer
    return "both" if question and rationale else "question" if question else "rationale"


def is_inverted(row: Example) -> bool:
    """The question is asked for, or the answer is given away."""
    asked, answered = row.turns[0].text, row.turns[-1].text
    return "+1?" in answered or "right answer is" in asked or "(missing)" in asked


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_options_are_left_out_of_the_stated_part(world: World, share: float) -> None:
    world.write("rte")
    rows = rendered(world, formats={"without_options": share})
    templates = world.opened(world.mixture(turned_around=False)).pool.of("rte")
    showing = sum(t.shows_options for t in templates) / len(templates)
    shown = sum(HEADERS[0] in row.turns[0].text for row in rows)
    assert about(shown, showing * (1 - share), len(rows)) and {"yes", "no"} >= {
        row.turns[-1].text for row in rows
    }


def test_round_robin_deals_all_templates_in_turn_and_moves_on_with_each_pass(world: World) -> None:
    world.write("rte")
    opened = world.opened(world.mixture(templates="round_robin", examples_per_epoch=110))
    templates = opened.pool.of("rte")
    positions = {row.id: n for n, row in enumerate(of_store(opened, "rte"))}
    for row in opened.rows(0):
        assert isinstance(row, Example)
        name, _, visit = row.id.partition("#")
        place = positions[name] + int(visit or 0)
        asked = of_store(opened, "rte")[positions[name]]
        assert row.turns == templates[place % len(templates)].render(asked).turns
