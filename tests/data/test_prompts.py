"""Prompts are read in every layout, answered or not; what cannot be asked is refused by place."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmtune.data.prompts import read_prompts
from mmtune.errors import DataError
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Turn

USER = {"role": "user", "content": "Hi"}
SAID = [{"role": "system", "content": "Be kind."}, USER, {"role": "assistant", "content": "Yes?"}]


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(turns: tuple[Turn, ...]) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in turns[:-1]]


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"prompt": "Hi"}, [("user", "Hi")]),
        ({"question": "Hi", "difficulty": 3}, [("user", "Hi")]),
        ({"instruction": "Add.", "input": "2 3"}, [("user", "Add.\n\n2 3")]),
        ({"instruction": "Add.", "input": "", "output": ""}, [("user", "Add.")]),
        ({"prompt": "Hi", "completion": "Known."}, [("user", "Hi")]),
        ({"messages": [USER]}, [("user", "Hi")]),
        ({"messages": SAID}, [("system", "Be kind."), ("user", "Hi")]),
        (
            {"messages": [*SAID, {"role": "user", "content": "Go on"}]},
            [("system", "Be kind."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Go on")],
        ),
        ({"conversations": [{"from": "human", "value": "Hi"}]}, [("user", "Hi")]),
        ({"conversations": ["Hi"]}, [("user", "Hi")]),
        ({"conversations": ["Hi", "Yes?"]}, [("user", "Hi")]),
        ({"conversations": ["Hi", ""]}, [("user", "Hi")]),
        (
            {"conversations": ["Hi", "Yes?", "No"]},
            [("user", "Hi"), ("assistant", "Yes?"), ("user", "No")],
        ),
        ({"prompt": [USER]}, [("user", "Hi")]),
        ({"prompt": [USER], "answer": "from an earlier run"}, [("user", "Hi")]),
        ({"prompt": "Hi", "system": "Be kind."}, [("system", "Be kind."), ("user", "Hi")]),
    ],
)
def test_a_row_asks_what_it_says_whether_its_answer_is_given_or_not(
    tmp_path: Path, row: dict[str, Any], turns: list[tuple[str, str]]
) -> None:
    [example] = read_prompts(written(tmp_path, row))
    assert asked(as_conversation(example).turns) == turns


def test_ids_are_the_rows_own_or_their_numbers(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"prompt": "a", "id": "x"}, {"prompt": "b"}, {"prompt": "c", "id": "x"}
    )
    assert [example.id for example in read_prompts(path)] == ["x", "row-2", "row-3"]


def test_a_row_that_asks_nothing_is_refused_with_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "a"}, {"prompt": " "}, {"prompt": 3})
    with pytest.raises(DataError) as caught:
        read_prompts(path)
    assert [fault.split(": ")[:2] for fault in caught.value.faults] == [
        ["prompts.jsonl:2", "empty_prompt"],
        ["prompts.jsonl:3", "wrong_type"],
    ]


@pytest.mark.parametrize("row", [{"text": "Once upon a time"}, {"chosen": "a", "rejected": "b"}])
def test_rows_that_are_no_prompts_are_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        read_prompts(written(tmp_path, row))
