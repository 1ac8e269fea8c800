"""The right option of every pocket task, found again from the fields' text alone."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mmtune.config.cards import load_cards
from mmtune.data.cards import open_card
from mmtune.errors import DataError
from mmtune.pocket import rows as pocket
from mmtune.pocket.gazetteer import COUNTRIES, TOWNS
from mmtune.pocket.lexicon import CATEGORY_OF
from mmtune.pocket.quiz import among
from mmtune.pocket.quizzes import CLUSTERS, SIZES, TASKS, quiz_rows
from mmtune.pocket.world import CELLS, COLORS, SHAPES
from mmtune.pocket.world import SIZES as THING_SIZES
from mmtune.types import Example

Row = Mapping[str, Any]
COUNT = 120
CARDS = Path(__file__).resolve().parents[2] / "datasets_cfg" / "pocket" / "cards"


def numbers(text: str) -> list[int]:
    return [int(one) for one in re.findall(r"\d+", text)]


def words(text: str) -> list[str]:
    return text.split(", ")


def things(text: str) -> list[dict[str, str]]:
    """Each thing of a told scene; what is unsaid is missing."""
    found = []
    for part in re.split(r", | and ", text):
        noun, _, cell = part.partition(" at the ")
        said = set(noun.removesuffix(" in some place").split())
        thing = {"cell": cell} if cell else {}
        for key, values in (("size", THING_SIZES), ("color", COLORS), ("shape", SHAPES)):
            thing |= dict.fromkeys([key], *said.intersection(values)) if said & {*values} else {}
        found.append(thing)
    return found


def counted(row: Row) -> str:
    first = row["noun"].split()[0]
    return str(sum(first.rstrip("s") in (t["color"], t["shape"]) for t in things(row["scene"])))


def named(row: Row, name: str) -> list[dict[str, str]]:
    return [t for t in things(row["scene"]) if f"{t['color']} {t['shape']}" == name]


def verdict(row: Row) -> str:
    """By every way in which what is unsaid could be: true in all, in none, or in some."""
    said = re.fullmatch(r"The (.+) is (?:at the )?(.+)\.", row["hypothesis"])
    assert said
    subject, value = said.groups()
    truths = set()
    options = {"size": THING_SIZES, "color": COLORS, "cell": CELLS}
    told = things(row["premise"])
    gaps = [(n, key) for n, thing in enumerate(told) for key in options if key not in thing]
    taken = {thing.get("cell") for thing in told}
    for filling in product(*(options[key] for _, key in gaps)):
        world = [dict(thing) for thing in told]
        for (n, key), one in zip(gaps, filling, strict=True):
            world[n][key] = one
        if any(key == "cell" and one in taken for (_, key), one in zip(gaps, filling, strict=True)):
            continue  # two things in one place
        if subject.startswith("object at the "):
            about = [t for t in world if t["cell"] == subject.removeprefix("object at the ")]
        else:
            about = [t for t in world if f"{t['color']} {t['shape']}" == subject]
        assert len(about) == 1, "the statement is about one thing"
        truths.add(value in about[0].values())
    return "cannot tell" if len(truths) == 2 else "yes" if truths == {True} else "no"


def odd(row: Row) -> str:
    kinds = Counter(CATEGORY_OF[word] for word in words(row["words"]))
    return next(word for word in words(row["words"]) if kinds[CATEGORY_OF[word]] == 1)


def yes(truth: bool) -> str:
    return "yes" if truth else "no"


ORACLE: Mapping[str, Callable[[Row], str]] = {
    "sort_numbers": lambda r: ", ".join(map(str, sorted(numbers(r["numbers"])))),
    "sort_words": lambda r: ", ".join(sorted(words(r["words"]))),
    "reverse_list": lambda r: ", ".join(reversed(words(r["words"]))),
    "larger_number": lambda r: max(r["first"], r["second"], key=int),
    "smaller_number": lambda r: min(r["first"], r["second"], key=int),
    "longer_list": lambda r: (
        f"the {'first' if len(words(r['first'])) > len(words(r['second'])) else 'second'} list"
    ),
    "first_word": lambda r: words(r["words"])[0],
    "last_word": lambda r: words(r["words"])[-1],
    "smallest_number": lambda r: str(min(numbers(r["numbers"]))),
    "count_shape": counted,
    "color_at": lambda r: next(t["color"] for t in things(r["scene"]) if t["cell"] == r["cell"]),
    "place_of": lambda r: named(r, r["name"])[0]["cell"],
    "presence": lambda r: yes(bool(named(r, re.sub("^an? ", "", r["name"])))),
    "follows_color": verdict,
    "follows_size": verdict,
    "follows_place": verdict,
    "capital": lambda r: COUNTRIES[r["country"]].capital,
    "known_for": lambda r: TOWNS[r["town"]].product,
    "river": lambda r: f"the {TOWNS[r['town']].river}",
    "more_people": lambda r: max(r["first"], r["second"], key=lambda t: TOWNS[t].thousands),
    "plus": lambda r: str(int(r["first"]) + int(r["second"])),
    "minus": lambda r: str(int(r["first"]) - int(r["second"])),
    "next_number": lambda r: str(2 * numbers(r["numbers"])[-1] - numbers(r["numbers"])[-2]),
    "kind_of": lambda r: CATEGORY_OF[r["word"]],
    "same_kind": lambda r: yes(len({CATEGORY_OF[w] for w in words(r["words"])}) == 1),
    "odd_one": odd,
}


def some(task: str, split: str = "train") -> list[dict[str, Any]]:
    return [row for _, row in zip(range(COUNT), quiz_rows(task, split), strict=False)]


def subject(row: Row) -> tuple[str, ...]:
    return tuple(text for name, text in row.items() if name not in ("id", "choices", "answer"))


@pytest.mark.parametrize("task", TASKS)
def test_exactly_one_option_is_right_by_the_rules_of_the_world(task: str) -> None:
    for row in some(task):
        right = ORACLE[task](row)
        assert row["answer"] == right, row
        assert row["choices"].count(right) == 1, row
        assert 2 <= len(row["choices"]) == len(set(row["choices"])) <= 4, row


@pytest.mark.parametrize("task", TASKS)
def test_no_split_asks_about_what_another_asks_about(task: str) -> None:
    asked = {split: {subject(row) for row in quiz_rows(task, split)} for split in SIZES}
    assert all(asked.values())
    assert not asked["train"] & asked["dev"]
    assert not asked["train"] & asked["test"]
    assert not asked["dev"] & asked["test"]


@pytest.mark.parametrize("task", TASKS)
def test_rows_differ_and_are_the_same_for_the_same_seed(task: str) -> None:
    rows = some(task, "test")
    assert rows == some(task, "test")
    assert len({(subject(row), *row["choices"]) for row in rows}) == len(rows)
    assert next(quiz_rows(task, "test", seed=1))["id"] != rows[0]["id"]


@pytest.mark.parametrize("task", TASKS)
def test_no_place_and_no_verdict_is_right_much_more_often_than_the_others(task: str) -> None:
    rows = list(quiz_rows(task, "train"))
    places = Counter(row["choices"].index(row["answer"]) for row in rows)
    of_all = [row for row in rows if len(row["choices"]) == max(len(r["choices"]) for r in rows)]
    for place, count in places.items():
        share = sum(row["choices"].index(row["answer"]) == place for row in of_all) / len(of_all)
        assert abs(share - 1 / len(of_all[0]["choices"])) < 0.12, (place, count)


def test_there_are_enough_clusters_of_enough_tasks_each_with_a_card() -> None:
    assert len(CLUSTERS) >= 6 and min(map(len, CLUSTERS.values())) >= 3
    cards = load_cards(CARDS)
    assert {name: card.cluster for name, card in cards.items()} == {
        task: f"pocket_{cluster}" for cluster, own in CLUSTERS.items() for task in own
    }


def test_a_card_reads_every_row_and_knows_the_answer() -> None:
    for card in load_cards(CARDS).values():
        for split in ("train", "dev", "test"):
            examples = list(open_card(card, split, max_rows=20))
            assert len(examples) == 20
            for example in examples:
                assert isinstance(example, Example)
                assert example.fields["answer"] in example.choices


def test_a_wrong_option_that_is_right_is_refused() -> None:
    from random import Random

    with pytest.raises(ValueError, match="no choice"):
        among(Random(0), {}, 3, [4, "3"])


def test_a_task_that_does_not_exist_is_no_set_of_rows() -> None:
    with pytest.raises(DataError, match="does not exist"):
        pocket.rows("tasks/capitol/train")
