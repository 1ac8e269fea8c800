"""What a set's columns mean, inferred or stated."""

from typing import Any

import pytest

from mmtune.config.recipe import Source
from mmtune.data.layouts import Inference, infer
from mmtune.errors import DataError


def inferred(*rows: dict[str, Any], **settings: Any) -> Inference:
    return infer(rows, Source(path="set.jsonl", **settings), label="set.jsonl")


TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
LAYOUT_OF_COLUMNS = [
    ("instruction input output", "instruction"),
    ("instruction output system history", "instruction"),
    ("instruction context response category", "instruction"),
    ("instruction input output text", "instruction"),
    ("Instruction Response", "instruction"),
    ("prompt completion", "prompt_completion"),
    ("prompt response", "prompt_completion"),
    ("question answer", "prompt_completion"),
    ("system_prompt question response", "prompt_completion"),
    ("inputs targets", "prompt_completion"),
    ("input target", "prompt_completion"),
    ("input output", "prompt_completion"),
    ("messages", "messages"),
    ("prompt prompt_id messages", "messages"),
    ("id conversations", "conversations"),
    ("system conversations", "conversations"),
    ("text", "text"),
    ("text label", "text"),
]


@pytest.mark.parametrize(("columns", "layout"), LAYOUT_OF_COLUMNS)
def test_columns_tell_the_layout(columns: str, layout: str) -> None:
    row = {c: TALK if c in ("messages", "conversations") else "x" for c in columns.split()}
    assert inferred(row).layout == layout


def test_the_inference_says_which_column_is_which_and_what_is_left() -> None:
    found = inferred({"question": "q", "answer": "a", "id": 3})
    assert found.fields == {"prompt": "question", "completion": "answer"}
    assert found.unused == ("id",)
    assert found.because == (
        "read as prompt_completion: columns question (as prompt), answer (as completion); "
        "not part of it: id"
    )


def test_columns_are_gathered_over_all_first_rows() -> None:
    found = inferred({"instruction": "a", "output": "b"}, {"instruction": "a", "input": "c"})
    assert found.fields["input"] == "input"


def test_a_stated_mapping_overrides_the_columns_own_names() -> None:
    row = {"instruction": "no", "output": "no", "ask": "yes", "say": "yes"}
    found = inferred(row, format="instruction", fields={"instruction": "ask", "output": "say"})
    assert found.fields == {"instruction": "ask", "output": "say"}
    found = inferred(row, fields={"text": "say"})
    assert (found.layout, found.fields) == ("text", {"text": "say"})


def test_a_stated_format_is_not_second_guessed() -> None:
    row = {"prompt": "p", "completion": "c", "text": "t"}
    assert inferred(row, format="text").layout == "text"
    pair = {"prompt": "p", "chosen": "c", "rejected": "r"}
    mapping = {"prompt": "prompt", "completion": "chosen"}
    assert inferred(pair, fields=mapping).fields["completion"] == "chosen"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "preference data"),
        ({"messages": TALK, "label": True}, "preference data"),
        ({"prompt": "p", "completion": "c", "label": False}, "preference data"),
        ({"message_tree_id": "1", "prompt": {"replies": []}}, "message trees"),
        ({"messages": TALK, "tools": "[{}]"}, "tool calls"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tool calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "tool calls"),
        ({"conversations": [{"from": "function_call", "value": "x"}]}, "tool calls"),
        ({"conversations": TALK, "image": "cat.jpg"}, "vision_language"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "vision_language"),
    ],
)
def test_what_is_recognised_but_is_no_text_to_imitate_is_refused_by_name(
    row: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        inferred(row, row)


def test_empty_tool_and_picture_columns_refuse_nothing() -> None:
    row = {"messages": TALK, "tools": None, "images": [], "functions": ""}
    assert inferred(row).layout == "messages"


def test_one_odd_row_among_others_does_not_refuse_the_set() -> None:
    assert inferred({"messages": TALK, "tools": "[{}]"}, {"messages": TALK}).layout == "messages"


def test_unknown_columns_are_listed_with_what_each_layout_needs_and_near_names() -> None:
    with pytest.raises(DataError) as error:
        inferred({"instructions": "a", "outputt": "b"})
    message = str(error.value)
    assert "set.jsonl" in message and "instructions, outputt" in message
    assert "'outputt' is near to 'output'" in message
    assert "text needs text" in message and "fields" in message


def test_every_fault_of_a_mapping_is_told_at_once() -> None:
    with pytest.raises(DataError) as error:
        inferred(
            {"question": "q", "answer": "a"},
            format="instruction",
            fields={"instructon": "question", "output": "anser"},
        )
    assert len(error.value.faults) == 2
    assert "Did you mean 'instruction'?" in error.value.faults[0]
    assert "Did you mean 'answer'?" in error.value.faults[1]
