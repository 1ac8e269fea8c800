"""Phrasing: data is filled into sandboxed templates and never compiled."""

import pytest

from mmtune.errors import FormatError
from mmtune.templates.phrasing import as_conversation
from mmtune.templates.template import Template
from mmtune.types import Example, Text, Turn


def example(task: str = "instruction", **fields: str) -> Example:
    return Example(id="s/1", source="s", task=task, fields=fields, where="a.jsonl:1")


def said(conversation) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in conversation.turns]


def sum_template(**parts: str) -> Template:
    settings = {"ask": "What is {{ a }} + {{ b }}?", "answer": "{{ c }}\n"} | parts
    return Template("sum/1", "sum", **settings)


SUM = example("sum", a="1", b="2", c="3", input="x")


def test_a_template_fills_fields_into_turns() -> None:
    found = sum_template(system="Be {{ a }}").render(SUM)
    assert said(found) == [("system", "Be 1"), ("user", "What is 1 + 2?"), ("assistant", "3\n")]
    assert (found.example_id, found.source) == ("s/1", "s")


def test_a_blank_system_text_makes_no_turn() -> None:
    assert len(sum_template(system=" {% if a == '9' %}x{% endif %}\n").render(SUM).turns) == 2


@pytest.mark.parametrize(
    "value", ["{{ 7 * 7 }}", "{% raw %}", "{# x #}", "<b>&amp;</b>", "a\r\nb\u2028\n"]
)
def test_data_is_never_compiled_escaped_or_trimmed(value: str) -> None:
    found = as_conversation(example(instruction=value, input=value, output=value))
    assert said(found) == [("user", f"{value}\n\n{value}"), ("assistant", value)]


def test_a_missing_field_is_named_with_those_that_are_there() -> None:
    with pytest.raises(FormatError) as error:
        sum_template(ask="{{ a }} {{ inputt }}").render(SUM)
    message = str(error.value)
    assert "'sum/1'" in message and "'s/1'" in message and "'inputt'" in message
    assert "a, b, c, input" in message and "Did you mean 'input'" in message


@pytest.mark.parametrize("part", ["ask", "answer"])
def test_a_turn_that_comes_out_empty_is_an_error(part: str) -> None:
    with pytest.raises(FormatError, match="comes out empty"):
        sum_template(**{part: " {{ '' }}"}).render(SUM)


@pytest.mark.parametrize("text", ["{{ a", "{% if %}", "{{ a | nosuch }}", "{% include 'x' %}"])
def test_a_template_that_is_no_jinja_is_refused_by_name(text: str) -> None:
    with pytest.raises(FormatError, match="sum/1"):
        sum_template(ask=text).render(SUM)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ a.__class__.__mro__[1].__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ 'a' * 999999999 }}",
        "{{ 999999999 * 'a' }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ a | center(999999999) }}",
        "{{ range(999999999) | list }}",
        "{% for i in range(99999) %}{{ 'x' * 0 }}{{ 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' }}"
        "{{ 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' }}{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ a + 1 }}",
    ],
)
def test_a_template_can_neither_leave_the_sandbox_nor_fill_the_memory(attack: str) -> None:
    with pytest.raises(FormatError):
        sum_template(ask=attack).render(SUM)


def test_a_text_that_grows_past_the_limit_is_refused() -> None:
    loop = "{% for i in range(99999) %}{{ a }}{% endfor %}"
    with pytest.raises(FormatError, match="characters come out"):
        sum_template(ask=loop).render(example("sum", a="x" * 50, b="2", c="3"))


def test_the_default_phrasing_is_instruction_blank_line_input() -> None:
    parts = {"instruction": "Ask", "output": "Say"}
    assert said(as_conversation(example(**parts))) == [("user", "Ask"), ("assistant", "Say")]
    full = example(**parts, input="this", system="Be kind")
    assert said(as_conversation(full)) == [
        ("system", "Be kind"),
        ("user", "Ask\n\nthis"),
        ("assistant", "Say"),
    ]
    assert said(as_conversation(example(instruction="", input="in", output="Say")))[0][1] == "in"


def test_a_given_template_comes_before_the_default_one() -> None:
    mine = Template("mine", "instruction", ask="Q: {{ instruction }}", answer="{{ output }}")
    found = as_conversation(example(instruction="Ask", output="Say"), [sum_template(), mine])
    assert found.turns[0].text == "Q: Ask"


def test_a_task_without_template_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(FormatError, match="'caption'.*there are: sum"):
        as_conversation(example("caption", picture="x"), [sum_template()])


def test_turns_pass_as_they_are_but_for_a_last_question_nobody_answers() -> None:
    turns = tuple(
        Turn(role, (Text(role),))  # type: ignore[arg-type]
        for role in ("system", "user", "assistant", "user")
    )
    dialogue = Example(id="s/1", source="s", task="dialogue", turns=turns)
    assert as_conversation(dialogue).turns == turns[:3]
    document = Example(
        id="s/1", source="s", task="document", turns=(Turn("document", (Text("words"),)),)
    )
    assert as_conversation(document).turns == document.turns
