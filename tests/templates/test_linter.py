"""The linter: a clean set has no findings, and each fault that is planted is found."""

from dataclasses import replace

import pytest

from mmtune.templates.linter import lint, near_identical, similarity
from mmtune.templates.template import Template
from mmtune.types import Example

ASKS = [
    "{{ text }}\n\nIs the mood of this glad or gloomy?\n\n{{ options }}",
    "Sort by mood:\n    {{ text }}\n{{ options }}",
    "A diary has this line.\n\n{{ text }}\n\nWhat weather in the writer's heart?\n\n{{ options }}",
    "Exam. Mark the feeling in {{ place }}.\nSentence: {{ text }}\n{{ options }}",
    "mood({{ text }}) =\n{{ options }}",
    'Tell me how someone felt who wrote "{{ text }}"\n\n{{ options }}',
    "My sister wrote to me: {{ text }} Should I cheer her up or be happy?\n\n{{ options }}",
]
TURNED = ["Write a {{ answer }} line.", "Compose words for someone {{ answer }} at {{ place }}."]
TURNED += ["What might a person say who is {{ answer }} today?"]


def template(number: int, ask: str, **parts) -> Template:
    return Template(f"mood/t{number}", "mood", ask, **parts)


GOOD = [template(i, ask) for i, ask in enumerate(ASKS)] + [
    template(7 + i, ask, answer="{{ text }}", turned_around=True) for i, ask in enumerate(TURNED)
]


def row(number: int, answer: str, **fields: str) -> Example:
    known = {"text": f"Line {number} of a day", "place": f"P{number}", "answer": answer} | fields
    return Example(
        id=f"mood/{number}", source="m", task="mood", fields=known, choices=("glad", "gloomy")
    )


ROWS = [row(n, ("glad", "gloomy")[n % 2]) for n in range(10)]
FIELDS = ("text", "place")


def rules(templates, fields=FIELDS, rows=ROWS, **known) -> list[tuple[str, str]]:
    return [(f.template, f.rule) for f in lint(templates, fields, rows, **known)]


def with_first(**parts) -> list[Template]:
    return [replace(GOOD[0], **parts), *GOOD[1:]]


def test_a_clean_set_has_no_findings() -> None:
    assert rules(GOOD) == [] and rules(GOOD, rows=(), choices=True) == []


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        ({"ask": "{{ text }}\n\nGlad or gloomy? \n\n{{ options }}"}, "trailing space"),
        ({"ask": "{{ text }} glad or gloomy, then?\n\n{{ options }}\n"}, "blank line"),
        ({"ask": "{{ text }}\n\n\nGlad or gloomy?\n{{ options }}"}, "blank line"),
        ({"ask": "{{ txt }} glad or gloomy?\n{{ options }}"}, "unknown name"),
        ({"ask": "{{ image:pic }} {{ text }} glad?\n{{ options }}"}, "unknown name"),
        ({"ask": "{{ options }}\n\n{{ text }} Glad or gloomy?"}, "options"),
        ({"ask": "{{ options }}\n\nGlad or gloomy? {{ text }}"}, "options"),
        ({"ask": "{{ text }} Glad or gloomy? One of {{ options }}"}, "options"),
        ({"ask": "{{ text }} What now?\n{{ options }}\n{{ options }}"}, "options"),
        ({"ask": "{{ text }} What mood is it?"}, "not recoverable"),
        ({"ask": "{{ text }} It is {{ answer }}. Which?\n{{ options }}"}, "leaked answer"),
        ({"ask": "{{ text }} Say glad. Or what?\n{{ options }}", "answer": "yes"}, "no target"),
        ({"turned_around": True}, "turned around"),
        ({"answer": "{{ text }} ok"}, "turned around"),
        ({"answer": "{{ text }}", "turned_around": True}, "options"),
        ({"ask": "{% if not text %}x{% endif %}\n{{ options[:0] }}"}, "does not render"),
        ({"name": "mood/t1"}, "name"),
    ],
)
def test_a_planted_fault_is_found_in_its_template(parts: dict[str, str], rule: str) -> None:
    found = rules(with_first(**parts))
    assert (parts.get("name", "mood/t0"), rule) in found


def test_an_ask_that_names_all_choices_needs_no_block() -> None:
    assert rules(with_first(ask="{{ text }} Is that glad or gloomy?")) == []
    assert ("mood/t0", "not recoverable") in rules(with_first(ask="{{ text }} Is that glad?"))


def test_a_turned_around_template_may_not_show_what_it_asks_for() -> None:
    leak = replace(GOOD[7], ask="Write {{ text }} as a {{ answer }} line.")
    assert ("mood/t7", "leaked answer") in rules([*GOOD[:7], leak, *GOOD[8:]])


def test_a_field_that_holds_the_answer_is_a_leak_and_one_that_resembles_it_once_is_not() -> None:
    told = with_first(ask="{{ text }} ({{ label }}) mood?\n{{ options }}")
    leaky = [replace(r, fields={**r.fields, "label": r.fields["answer"].title()}) for r in ROWS]
    assert ("mood/t0", "leaked answer") in rules(told, (*FIELDS, "label"), leaky)
    chance = [replace(r, fields={**r.fields, "label": "glad"}) for r in ROWS]
    assert ("mood/t0", "leaked answer") not in rules(told, (*FIELDS, "label"), chance)
    alike = chance[::2]  # one answer only says nothing
    assert ("mood/t0", "leaked answer") not in rules(told, (*FIELDS, "label"), alike)


def test_the_right_choice_in_the_words_of_the_ask_is_a_leak() -> None:
    leaky = [row(n, ("glad", "gloomy")[n % 2], text=("Glad!", "So gloomy.")[n % 2]) for n in ROWS_N]
    assert ("mood/t1", "leaked answer") in rules(GOOD, rows=leaky)
    for words in (("Gladness", "Gloomyish"), ("unglad", "engloomy")):
        alike = [row(n, ("glad", "gloomy")[n % 2], text=words[n % 2]) for n in ROWS_N]
        assert rules(GOOD, rows=alike) == []


ROWS_N = range(10)


def test_faults_of_the_set_are_found() -> None:
    assert ("mood", "count") in rules(GOOD[:9]) and ("mood", "count") in rules([*GOOD, GOOD[0]])
    assert ("mood", "unused field") in rules(GOOD, (*FIELDS, "author"))
    fourth = replace(GOOD[6], ask="Write of {{ answer }} days.", answer="{{ text }}")
    turned = [*GOOD[:6], replace(fourth, turned_around=True), *GOOD[7:]]
    assert ("mood", "turned around") in rules(turned)


def test_near_identical_wording_is_found_and_the_same_field_alone_is_not() -> None:
    copy = replace(
        GOOD[2], name="mood/t6", ask=GOOD[2].ask.replace("writer's", "author's").replace(".", " :")
    )
    found = lint([*GOOD[:6], copy, *GOOD[7:]], FIELDS, ROWS)
    assert [(f.template, f.rule) for f in found] == [("mood/t2", "near-identical")]
    assert "mood/t6" in found[0].message and "\n" not in str(found[0])
    assert similarity(GOOD[0], GOOD[0]) == 1.0
    assert not list(near_identical(GOOD))


def test_a_rationale_counts_as_used_where_the_answer_is_reasoned() -> None:
    reasoned = with_first(answer="{{ reasoned }}")
    assert rules(reasoned, (*FIELDS, "rationale"), rows=(), choices=True) == []
    leak = with_first(answer="{{ reasoned }}", ask="{{ text }} {{ rationale }}\n{{ options }}")
    found = rules(leak, (*FIELDS, "rationale"), rows=(), choices=True)
    assert found == [("mood/t0", "leaked answer")]
