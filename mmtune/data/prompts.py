"""Rows that ask without an answer: the layouts of training data, with the answer yet to come."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from mmtune.config.recipe import Source
from mmtune.data.files import Stream, streams
from mmtune.data.layouts import Inference, infer
from mmtune.data.raw import RawRow
from mmtune.data.sources import OpenedSource, examples
from mmtune.errors import DataError
from mmtune.types import Dropped, Example

_TO_COME = "?"
"""Stands where the answer goes, so that rows are read and checked as training rows are."""
_ANSWER_COLUMN = "completion"
_FIRST_ROWS = 20
_MAX_CHARS = 1_000_000
_SHOWN = 10


def read_prompts(path: Path) -> list[Example]:
    """The file's rows as Examples whose last answer is a stand-in, ids as the file has them.

    Rows are of any layout that training reads, their last answer given or not; also with nothing
    but `prompt`, `instruction` (and `input`, `system`), or `messages` that end with the user's.

        {"prompt": "Hi"}  ->  id "row-1", instruction "Hi"

    Raises DataError with the first faults where a row cannot be read: none is passed over.
    """
    opened = _opened(path)
    rows = list(examples(opened))
    bad = [row for row in rows if isinstance(row, Dropped)]
    if bad:
        more = [f"{path}: {len(bad) - _SHOWN} more rows like these"] if len(bad) > _SHOWN else []
        raise DataError(
            *(f"{row.where}: {row.reason}: {row.detail}" for row in bad[:_SHOWN]), *more
        )
    return [
        replace(row, id=row.id.removeprefix(f"{opened.name}/"))
        for row in rows
        if isinstance(row, Example)
    ]


def _opened(path: Path) -> OpenedSource:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file of prompts")
    source = Source(path=str(path))
    (stream,), _ = streams(source, name=path.name, max_line_bytes=8 * _MAX_CHARS)
    inference = _inferred(stream, source)
    closed = replace(stream, rows=lambda: (_closed(raw, inference) for raw in stream.rows()))
    return OpenedSource(path.name, source, inference, (closed,), (inference,), _MAX_CHARS)


def _inferred(stream: Stream, source: Source) -> Inference:
    """The layout of the rows as they are, or else with a column for the answer beside them."""
    first = [raw.values for raw in islice(stream.rows(), _FIRST_ROWS) if isinstance(raw, RawRow)]
    if not first:
        raise DataError(f"{stream.label}: no row that can be read.")
    try:
        inference = infer(first, source, label=stream.label)
    except DataError as error:
        answered = [{**values, _ANSWER_COLUMN: _TO_COME} for values in first]
        try:
            inference = infer(answered, source, label=stream.label)
        except DataError:
            raise error from None
    if inference.layout == "text":
        raise DataError(f"{stream.label}: running text asks nothing. Call the column `prompt`.")
    return inference


def _closed(raw: RawRow | Dropped, inference: Inference) -> RawRow | Dropped:
    if isinstance(raw, Dropped):
        return raw
    fields, values = inference.fields, dict(raw.values)
    if inference.layout in ("messages", "conversations"):
        column = fields[inference.layout]
        if isinstance(values.get(column), list):
            values[column] = _closed_turns(values[column])
    elif inference.layout == "prompt_completion" and isinstance(values.get(fields["prompt"]), list):
        values[fields["completion"]] = [_answer()]
    else:
        values[fields["completion" if "completion" in fields else "output"]] = _TO_COME
    return RawRow(raw.where, values)


def _closed_turns(turns: list[Any]) -> list[Any]:
    """With a stand-in for the last answer, or after the last question."""
    if turns and all(isinstance(turn, str) for turn in turns):
        return [*turns[: len(turns) - 1 + len(turns) % 2], _TO_COME]
    answered = bool(turns) and isinstance(turns[-1], Mapping) and _is_answer(turns[-1])
    return [*(turns[:-1] if answered else turns), _answer()]


def _is_answer(turn: Mapping[str, Any]) -> bool:
    role = turn.get("role", turn.get("from"))
    return isinstance(role, str) and role.casefold() in (
        "assistant",
        "gpt",
        "chatgpt",
        "model",
        "bot",
    )


def _answer() -> dict[str, str]:
    return {"role": "assistant", "content": _TO_COME}
