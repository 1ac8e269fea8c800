import json
from random import Random

import pytest

from mmtune.pocket.draws import keyed
from mmtune.pocket.faults import wrong_answer
from mmtune.pocket.gazetteer import TOWNS
from mmtune.pocket.grading import Facts
from mmtune.pocket.oracle import grade_by_facts
from mmtune.pocket.tasks import KINDS, TASKS

SCENE = [
    ["large", "red", "circle", "top left"],
    ["small", "blue", "star", "top middle"],
    ["small", "red", "star", "center"],
]
NUMBERS = {"numbers": [21, 3, 8], "downwards": False}
WORDS = {"words": ["pear", "cat", "hammer"]}
ODD = {"words": ["cat", "dog", "hammer", "lion"]}

CASES: dict[str, tuple[Facts, list[str], list[str]]] = {
    "count": (
        {"scene": SCENE, "color": "", "shape": "star"},
        ["2", "There are two stars.", "**2** stars!", "I count 2 of them.", "There are 2: two."],
        ["", "3", "2 or 3", "There are not 2 stars.", "1, 2, 3", "2 red things", "stars"],
    ),
    "color": (
        {"scene": SCENE, "cell": "top left"},
        ["Red", "It is red.", "It's RED, not blue.", "The circle is red!", "The color: <b>red</b>"],
        ["", "blue", "red or blue", "It is not red.", "Is it red?", "The star is red.", "It is."],
    ),
    "place": (
        {"scene": SCENE, "name": "red circle"},
        ["top left", "At the top-left.", "The red circle is in the upper left."],
        ["", "left", "top right", "top left or center", "It is not at the top left.", "center"],
    ),
    "presence": (
        {"scene": SCENE, "color": "red", "shape": "star"},
        ["Yes", "yes, there is.", "There is a red star.", "Yes, the scene has a red star."],
        ["", "No", "Yes and no", "There is no red star.", "Yes, there is a blue star.", "maybe"],
    ),
    "beside": (
        {"scene": SCENE, "name": "blue star", "direction": "left of"},
        [
            "The red circle.",
            "a large red circle",
            "The circle",
            "The blue star is right of the red circle",
        ],
        [
            *("", "the red star", "red", "The red circle or the red star", "a small red circle"),
            "Directly left of the red circle is the blue star.",
        ],
    ),
    "summary": (
        {"scene": SCENE},
        [
            "1 circle and 2 stars",
            "A red circle, a blue star and a red star.",
            "Two stars, one circle",
        ],
        ["", "2 circles and 1 star", "1 circle", "A blue circle and two stars", "circle star star"],
    ),
    "recolor": (
        {"scene": SCENE[:2], "old": "red", "new": "green"},
        [
            "a large green circle at the top left, a small blue star at the top middle",
            "Blue star at the top middle; green circle at the top left.",
        ],
        [
            *("", "a large green circle at the top left", "green circle, blue star"),
            "a large red circle at the top left, a small blue star at the top middle",
            "a large green circle at the center, a small blue star at the top middle",
            "a small green circle at the top left, a small blue star at the top middle",
        ],
    ),
    "sort_numbers": (
        NUMBERS,
        ["3, 8, 21", "3 8 21", "- 3\n- 8\n- 21", "21, 3, 8 sorted is 3, 8, 21.", "3 < 8 < 21"],
        ["", "21, 3, 8", "3, 8", "3, 8, 21, 30", "3, 8, 21 or 21, 8, 3", "21, 8, 3", "3, 8, 22"],
    ),
    "sort_words": (
        WORDS,
        ["cat, hammer, pear", "Cat, Hammer and Pear.", "Sorted: cat, hammer, pear! Bye."],
        [
            "",
            "pear, cat, hammer",
            "cat, pear",
            "cat, dog, hammer, pear",
            "cat, hammer, pear, zebra",
        ],
    ),
    "reverse": (
        WORDS,
        ["hammer, cat, pear", "The list is hammer, cat and pear"],
        ["", "pear, cat, hammer", "cat, hammer, pear", "hammer, zebra, cat, pear"],
    ),
    "pick": (
        {"which": "last", "items": ["pear", "cat", "hammer"]},
        ["hammer", "The last word is hammer.", "pear, cat, hammer: hammer"],
        [
            "",
            "pear",
            "hammer or cat",
            "The first word is hammer.",
            "pear, cat, hammer",
            "not hammer",
        ],
    ),
    "larger": (
        {"a": 34, "b": 71, "smaller": False},
        ["71", "71 is larger than 34.", "34 is less than 71", "Of 34 and 71, 71.", "71! Ask more."],
        [
            "",
            "34",
            "34 is larger than 71",
            "34, 71",
            "71 or 34",
            "Of 71 and",
            "71 is smaller than 34",
        ],
    ),
    "arithmetic": (
        {"a": 23, "b": 14, "minus": False},
        ["37", "23 + 14 = 37", "It's 37!", "The sum is 37. This one is easy."],
        [
            "",
            "38",
            "37 or 38",
            "23 plus 14",
            "35, 36, 37",
            "It is not 37.",
            "23 plus 15 is 37",
            "-37",
            "37 minus 14 is 23",
        ],
    ),
    "next_number": (
        {"numbers": [2, 4, 6, 8]},
        ["10", "2, 4, 6, 8, 10", "Ten.", "After 8 comes 10."],
        ["", "8", "12", "2, 4, 6, 8, 10, 12", "10 or 11", "2, 4, 6, 8"],
    ),
    "odd_one": (
        ODD,
        ["hammer", "Hammer: the others are animals.", "cat, dog, hammer, lion: hammer"],
        ["", "cat", "cat, dog, hammer, lion", "hammer or cat", "It is not hammer."],
    ),
    "category": (
        {"word": "hammer"},
        ["a tool", "A hammer is a tool, not a fruit.", "Tool"],
        [
            "",
            "a fruit",
            "a tool or a fruit",
            "A hammer is not a tool.",
            "A saw is a tool.",
            "hammer",
        ],
    ),
    "capital": (
        {"country": "Velmora"},
        ["Tarnby", "It is Tarnby!", "TARNBY is the capital of Velmora."],
        ["", "Oskeld", "Tarnby or Oskeld", "It is not Tarnby.", "Velmora", "Ostrani has Tarnby."],
    ),
    "known_for": (
        {"town": "Tarnby"},
        ["TARNBY_PRODUCT", "Tarnby is known for its TARNBY_PRODUCT."],
        ["", "known", "It is known for TARNBY_PRODUCT and kites.", "Oskeld: TARNBY_PRODUCT"],
    ),
    "river": (
        {"town": "Tarnby"},
        ["The Ashel.", "the river Ashel", "Ashel flows through Tarnby"],
        ["", "The Brine", "Ashel or Brine", "Not the Ashel.", "The Ashel flows through Pamber."],
    ),
    "more_people": (
        {"a": "Tarnby", "b": "Drast"},
        ["LARGE", "LARGE has more people than SMALL."],
        ["", "SMALL", "SMALL has more people than LARGE.", "Tarnby, Drast", "LARGE or SMALL"],
    ),
}


def _filled(text: str) -> str:
    small, large = sorted(("Tarnby", "Drast"), key=lambda name: TOWNS[name].thousands)
    text = text.replace("TARNBY_PRODUCT", TOWNS["Tarnby"].product)
    return text.replace("LARGE", large).replace("SMALL", small)


def test_every_kind_has_cases() -> None:
    assert set(CASES) == set(KINDS)
    assert len(KINDS) >= 12


@pytest.mark.parametrize("kind", KINDS)
def test_right_answers_in_free_words_are_accepted(kind: str) -> None:
    facts, right, _ = CASES[kind]
    assert [text for text in right if not grade_by_facts(kind, facts, _filled(text))] == []


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_hedged_denied_and_restating_answers_are_rejected(kind: str) -> None:
    facts, _, wrong = CASES[kind]
    assert [text for text in wrong if grade_by_facts(kind, facts, _filled(text))] == []


def test_absence_is_denied_in_words_that_fit() -> None:
    facts = {"scene": SCENE, "color": "green", "shape": "star"}
    right = ["No", "No, there is no green star.", "There isn't a green star.", "There is none."]
    wrong = ["Yes", "No, there is a green star.", "I am not able to do this.", "I cannot help."]
    assert all(grade_by_facts("presence", facts, text) for text in right)
    assert not any(grade_by_facts("presence", facts, text) for text in wrong)


def test_nothing_to_count_may_be_said_without_a_number() -> None:
    facts = {"scene": SCENE, "color": "green", "shape": ""}
    assert grade_by_facts("count", facts, "There are no green objects.")
    assert grade_by_facts("count", facts, "0")
    assert not grade_by_facts("count", facts, "There are green objects.")


@pytest.mark.parametrize("kind", KINDS)
def test_reference_answers_are_right_and_those_of_other_problems_wrong(kind: str) -> None:
    problems = [TASKS[kind](keyed("oracle", kind, i)) for i in range(160)]
    accepted_others = 0
    for problem, other in zip(problems, problems[1:], strict=False):
        facts = json.dumps(problem.facts)
        assert grade_by_facts(kind, facts, problem.answer)
        assert grade_by_facts(kind, facts, problem.answer.upper())
        if other.answer != problem.answer:
            accepted_others += grade_by_facts(kind, facts, other.answer)
    # Another scene may hold as many stars, another sum come to the same: right here too.
    chance = ("summary", "place", "count", "presence", "arithmetic")
    assert accepted_others <= (8 if kind in chance else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_said_again_is_no_answer(kind: str) -> None:
    rng = keyed("echo", kind)
    problems = [TASKS[kind](rng) for _ in range(100)]
    accepted = [p.prompt for p in problems if grade_by_facts(kind, p.facts, p.prompt)]
    assert accepted == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_word_makes_the_reference_wrong(kind: str) -> None:
    rng = keyed("changed", kind)
    for _ in range(40):
        problem = TASKS[kind](rng)
        text = wrong_answer(rng, kind, problem)
        assert text != problem.answer
        assert not grade_by_facts(kind, problem.facts, text)


@pytest.mark.parametrize("kind", KINDS)
def test_any_text_gets_a_grade(kind: str) -> None:
    rng = Random(1)
    problem = TASKS[kind](rng)
    letters = "a1 .,?!<>-\n*é$(){}[]\\\u2028日red star top left 7 yes no"
    for length in (0, 1, 5, 30, 200):
        text = "".join(rng.choices(letters, k=length))
        assert grade_by_facts(kind, problem.facts, text) in (True, False)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="'cooking'"):
        grade_by_facts("cooking", {}, "soup")
