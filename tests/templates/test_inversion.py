"""Reasoning asked for and given; tasks turned inside out."""

import pytest

from mmtune.errors import FormatError
from mmtune.templates.inversion import chain_of_thought, inversions, inverted_dialogue
from mmtune.templates.template import Template
from mmtune.types import Conversation, Example, Image, Text, Turn

ROW = Example(
    id="g/1",
    source="g",
    task="g",
    fields={"question": "How many?", "rationale": "Two and two.", "answer": "four"},
)


def test_reasoning_is_asked_for_and_comes_before_the_answer() -> None:
    made = chain_of_thought(Template("g/a", "g", "{{ question }}"))
    asked, answered = made.render(ROW).turns
    assert asked.text.startswith("How many?\n\n") and len(asked.text) > 12
    assert answered.text.index("Two and two.") < answered.text.index("four")


def test_words_around_the_answer_stay() -> None:
    made = chain_of_thought(Template("g/a", "g", "{{ question }}", "<{{ answer }}>"))
    text = made.render(ROW).turns[1].text
    assert text.startswith("<Two and two.") and text.endswith(">")


def test_a_template_that_reasons_is_left_alone_and_a_turned_one_refused() -> None:
    reasons = Template("g/r", "g", "{{ question }}", "{{ reasoned }}")
    assert chain_of_thought(reasons) is reasons
    turned = Template("g/t", "g", "{{ answer }}", "{{ question }}", turned_around=True)
    with pytest.raises(FormatError, match="'g/t'"):
        chain_of_thought(turned)


def test_a_label_stands_in_the_reasoned_answer_too() -> None:
    letters = Template("g/l", "g", "{{ question }}\n{{ options }}", "{{ reasoned }}")
    row = Example(id="1", source="g", task="g", fields=ROW.fields, choices=("two", "four"))
    text = letters.render(row, "lettered").turns[1].text
    assert "(B)" in text and "four" not in text
    assert letters.targets(row, "lettered")[1] == text


def test_inversions_cover_the_four_kinds_and_never_show_what_they_ask_for() -> None:
    made = inversions("g", ["question", "rationale"])
    kinds = set()
    for template in made:
        asked, answered = (turn.text for turn in template.render(ROW).turns)
        shown = {name for name, value in ROW.fields.items() if value in asked}
        wanted = {name for name, value in ROW.fields.items() if value in answered}
        assert template.turned_around and wanted
        assert not wanted & shown
        kinds.add((frozenset(shown), frozenset(wanted)))
    three = {"question", "rationale", "answer"}
    assert {(shown, wanted) for shown, wanted in kinds if shown | wanted == three} == {
        (frozenset(three - wanted), frozenset(wanted))
        for wanted in (
            {"question"},
            {"rationale"},
            {"question", "answer"},
            {"question", "rationale"},
        )
    }


def test_without_a_rationale_the_answer_gives_the_question() -> None:
    made = inversions("g", ["claim"], question="claim")
    assert [template.names for template in made] == [{"claim", "answer"}]


def turns(*said: str) -> tuple[Turn, ...]:
    roles = ("user", "assistant")
    return tuple(Turn(roles[i % 2], (Text(text),)) for i, text in enumerate(said))


def test_a_dialogue_is_asked_for_from_its_last_reply() -> None:
    found = inverted_dialogue(Conversation("d", turns("Hi", "Hello", "Why?", "Because.")))
    assert found is not None
    assert found.turns[0].text.endswith("Assistant: Because.") and "Why" not in found.turns[0].text
    assert found.turns[1].text == "User: Hi\nAssistant: Hello\nUser: Why?"


def test_a_dialogue_without_a_reply_or_with_pictures_is_not_inverted() -> None:
    assert inverted_dialogue(Conversation("d", turns("Hi"))) is None
    shown = Turn("user", (Image("a", "b", 1, 1),))
    assert inverted_dialogue(Conversation("d", (shown, *turns("x", "y")[1:]))) is None
