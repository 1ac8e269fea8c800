"""The catalogue of bad rows: each is dropped under its own reason; nothing is mended silently."""

from typing import Any, get_args

import pytest

from mmtune.config.recipe import Source
from mmtune.data.dialogues import dialogue_turns
from mmtune.data.layouts import infer
from mmtune.data.reasons import REASONS, BadRow, Reason, excerpt
from mmtune.data.refusals import check_row
from mmtune.data.rows import Content, row_content
from mmtune.types import Turn

MAX_CHARS = 1000
GOOD: dict[str, dict[str, Any]] = {
    "instruction": {"instruction": "Ask", "input": "", "output": "Say", "history": []},
    "prompt_completion": {"prompt": "Ask", "completion": "Say"},
    "messages": {"messages": [], "system": ""},
    "conversations": {"conversations": []},
    "text": {"text": "Words"},
}


def content(layout: str, row: dict[str, Any]) -> Content:
    inference = infer([GOOD[layout]], Source(path="x", format=layout), label="x")
    check_row(row, stated=False)
    return row_content(row, inference, max_chars=MAX_CHARS)


def say(*texts: str) -> list[dict[str, Any]]:
    """A dialogue written as `u:Hi`, `a:Hello`, `s:Be kind`."""
    roles = {"u": "user", "a": "assistant", "s": "system"}
    return [{"role": roles.get(t[0], t[0]), "content": t[2:]} for t in texts]


def talk(*texts: str) -> dict[str, Any]:
    return {"messages": say(*texts)}


ASK = {"role": "user", "content": "Hi"}
ALPACA = {"instruction": "Ask", "input": "", "output": "Say"}
BAD_ROWS: list[tuple[str, dict[str, Any], Reason]] = [
    ("instruction", {"instruction": "Ask"}, "missing_field"),
    ("instruction", {"output": "Say"}, "missing_field"),
    ("instruction", ALPACA | {"output": None}, "missing_field"),
    ("instruction", ALPACA | {"output": ""}, "empty_answer"),
    ("instruction", ALPACA | {"output": " \n\t\u3000"}, "empty_answer"),
    ("instruction", ALPACA | {"instruction": "  "}, "empty_prompt"),
    ("instruction", ALPACA | {"output": 42}, "wrong_type"),
    ("instruction", ALPACA | {"output": ["a"]}, "wrong_type"),
    ("instruction", ALPACA | {"instruction": True}, "wrong_type"),
    ("instruction", ALPACA | {"input": {"a": 1}}, "wrong_type"),
    ("instruction", ALPACA | {"output": "half \ud800"}, "invalid_unicode"),
    ("instruction", ALPACA | {"output": "a\0b"}, "nul_character"),
    ("instruction", ALPACA | {"output": "x" * 1001}, "too_long_field"),
    ("instruction", ALPACA | {"note": "\udfff"}, "invalid_unicode"),
    ("instruction", ALPACA | {"note": "x" * 1001}, "too_long_field"),
    ("instruction", ALPACA | {"note": 10**5000}, "wrong_type"),
    ("instruction", ALPACA | {"history": [["a", "b", "c"]]}, "wrong_type"),
    ("instruction", ALPACA | {"history": [["a", ""]]}, "empty_answer"),
    ("instruction", ALPACA | {"history": [["a", None]]}, "missing_field"),
    ("instruction", ALPACA | {"images": ["a.png"]}, "has_media"),
    ("prompt_completion", {"prompt": "Ask", "completion": ""}, "empty_answer"),
    ("prompt_completion", {"prompt": "", "completion": "Say"}, "empty_prompt"),
    ("prompt_completion", {"prompt": "Ask"}, "missing_field"),
    ("prompt_completion", {"prompt": [ASK], "completion": "Say"}, "wrong_type"),
    (
        "prompt_completion",
        {"prompt": "Ask", "completion": "Say", "chosen": "a", "rejected": "b"},
        "preference_pair",
    ),
    ("text", {"text": " \n"}, "empty_text"),
    ("text", {"text": 1.5}, "wrong_type"),
    ("text", {}, "missing_field"),
    ("text", {"text": "x", "message_tree_id": "1"}, "message_tree"),
    ("messages", {}, "missing_field"),
    ("messages", {"messages": None}, "missing_field"),
    ("messages", {"messages": "Hi"}, "wrong_type"),
    ("messages", {"messages": [1, 2]}, "wrong_type"),
    ("messages", {"messages": []}, "no_assistant_turn"),
    ("messages", talk("u:Hi"), "no_assistant_turn"),
    ("messages", talk("s:Be kind", "u:Hi"), "no_assistant_turn"),
    ("messages", talk("a:Hello"), "bad_roles"),
    ("messages", talk("u:Hi", "u:You?", "a:Yes"), "bad_roles"),
    ("messages", talk("u:Hi", "a:Yes", "a:And"), "bad_roles"),
    ("messages", talk("u:Hi", "s:Be kind", "a:Yes"), "bad_roles"),
    ("messages", talk("s:One", "s:Two", "u:Hi", "a:Yes"), "bad_roles"),
    ("messages", talk("s:One", "u:Hi", "a:Yes") | {"system": "Two"}, "bad_roles"),
    ("messages", talk("narrator:Hi", "a:Yes"), "bad_roles"),
    ("messages", talk("u:Hi", "a: "), "empty_answer"),
    ("messages", talk("u:", "a:Yes"), "empty_prompt"),
    ("messages", talk("u:Hi", "a:x\0"), "nul_character"),
    ("messages", talk("u:Hi", "a:" + "x" * 1001), "too_long_field"),
    ("messages", {"messages": [ASK, {"content": "Yes"}]}, "missing_field"),
    ("messages", {"messages": [ASK, {"role": "assistant"}]}, "missing_field"),
    ("messages", {"messages": [ASK, {"role": 1, "content": "Yes"}]}, "wrong_type"),
    ("messages", {"messages": [ASK, {"role": "assistant", "content": 1}]}, "wrong_type"),
    ("messages", {"messages": [ASK, {"role": "assistant", "content": [{}]}]}, "wrong_type"),
    (
        "messages",
        {"messages": [ASK, {"role": "assistant", "content": "Yes", "weight": 0}]},
        "nothing_to_learn",
    ),
    (
        "messages",
        {"messages": [ASK, {"role": "assistant", "content": "Yes", "weight": 0.5}]},
        "wrong_type",
    ),
    ("messages", {"messages": [ASK, {"role": "tool", "content": "3"}]}, "tool_call"),
    (
        "messages",
        {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
        "tool_call",
    ),
    (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, *say("a:Yes")]},
        "has_media",
    ),
    ("conversations", {"conversations": ["Hi"]}, "no_assistant_turn"),
    ("conversations", {"conversations": ["Hi", ""]}, "empty_answer"),
    ("conversations", {"conversations": [{"from": "gpt", "value": "Hi"}]}, "bad_roles"),
]


@pytest.mark.parametrize(("layout", "row", "reason"), BAD_ROWS)
def test_a_bad_row_is_refused_under_its_reason(
    layout: str, row: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadRow) as bad:
        content(layout, row)
    assert bad.value.reason == reason
    bad.value.detail.encode()
    assert 0 < len(bad.value.detail) < 300


def test_the_reasons_are_a_closed_set() -> None:
    assert {reason for _, _, reason in BAD_ROWS} <= set(REASONS) == set(get_args(Reason))


def turns(row: dict[str, Any], layout: str = "messages") -> list[tuple[str, str, bool]]:
    return [(turn.role, turn.text, turn.learn) for turn in content(layout, row)[2]]


HELLO = [("user", "Hi", True), ("assistant", "Yes", True)]


@pytest.mark.parametrize(
    ("layout", "row"),
    [
        ("messages", talk("u:Hi", "a:Yes")),
        ("messages", talk("s:", "u:Hi", "a:Yes")),
        ("messages", {"messages": [ASK | {"loss_weight": 0.0}, *say("a:Yes")]}),
        ("messages", {"messages": [{"from": "human", "value": "Hi"}, *say("a:Yes")]}),
        (
            "messages",
            {"messages": [{"role": "USER", "content": ["H", {"value": "i"}]}, *say("a:Yes")]},
        ),
        ("conversations", {"conversations": ["Hi", "Yes"]}),
        ("conversations", {"conversations": say("u:Hi", "a:Yes")}),
        ("prompt_completion", {"prompt": say("u:Hi"), "completion": say("a:Yes")}),
    ],
)
def test_every_way_to_write_a_dialogue_gives_the_same_turns(
    layout: str, row: dict[str, Any]
) -> None:
    assert turns(row, layout) == HELLO


def test_a_system_text_comes_first_from_its_turn_or_its_column() -> None:
    first = ("system", "Be kind", True)
    assert turns(talk("s:Be kind", "u:Hi", "a:Yes")) == [first, *HELLO]
    assert turns(talk("u:Hi", "a:Yes") | {"system": "Be kind"}) == [first, *HELLO]


def test_a_weight_of_zero_is_context_and_a_last_question_stays_in_the_turns() -> None:
    row = talk("u:Hi", "a:Yes", "u:Hi", "a:Yes", "u:So?")
    row["messages"][1]["weight"] = 0
    assert [learn for _, _, learn in turns(row)] == [True, False, True, True, True]
    assert turns(row)[-1] == ("user", "So?", True)


def test_only_the_completion_of_a_listed_pair_is_learnt() -> None:
    row = {"prompt": say("u:Hi", "a:Yes", "u:So?"), "completion": say("a:No")}
    assert [learn for _, _, learn in turns(row, "prompt_completion")] == [True, False, True, True]


def test_an_instruction_row_keeps_its_text_to_the_letter_and_its_scalar_columns() -> None:
    row = {"instruction": " Ask\r\n", "input": None, "output": "\tSay {{ x }}<|end|> "}
    task, fields, no_turns = content(
        "instruction", row | {"kind": "sum", "score": 3, "ok": True, "tags": ["x"], "none": None}
    )
    assert (task, no_turns) == ("instruction", ())
    assert fields == {
        "instruction": " Ask\r\n",
        "input": "",
        "output": "\tSay {{ x }}<|end|> ",
        "system": "",
        "kind": "sum",
        "score": "3",
        "ok": "true",
    }


def test_a_prompt_and_its_completion_are_an_instruction_without_input() -> None:
    task, fields, _ = content("prompt_completion", {"prompt": "Ask", "completion": "Say"})
    assert task == "instruction"
    assert fields == {"instruction": "Ask", "input": "", "output": "Say", "system": ""}


def test_an_instruction_row_with_a_history_is_a_dialogue() -> None:
    row = ALPACA | {"input": "this", "history": [["Hi", "Yes"]]}
    said = [(turn.role, turn.text) for turn in content("instruction", row)[2]]
    assert said[0:2] == [("user", "Hi"), ("assistant", "Yes")]
    assert said[2:] == [("user", "Ask\n\nthis"), ("assistant", "Say")]


def test_a_text_is_one_document() -> None:
    task, fields, (turn,) = content("text", {"text": " Words\n", "url": "x"})
    assert (task, fields, turn.role, turn.text) == ("document", {}, "document", " Words\n")


def test_a_pocket_of_plain_texts_takes_turns() -> None:
    found: tuple[Turn, ...] = dialogue_turns(["a", "b", "c"], field="x", system="", max_chars=9)
    assert [turn.role for turn in found] == ["user", "assistant", "user"]


@pytest.mark.parametrize("value", ["\ud800" * 200, "a\nb" * 200, [1] * 9, {"a": 1}, 10**30, None])
def test_an_excerpt_is_short_encodable_and_on_one_line(value: object) -> None:
    shown = excerpt(value)
    shown.encode()
    assert len(shown) < 500 and "\n" not in shown
