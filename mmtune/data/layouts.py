"""Recognise what the columns of a set mean, and say why: instruction, messages, text ...

Works on the first rows of a file; knows nothing of Examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from mmtune.config.recipe import Source
from mmtune.data.refusals import refusal, refused_columns
from mmtune.errors import DataError

LayoutName = Literal["instruction", "conversations", "messages", "prompt_completion", "text"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a layout, each with the column names it usually goes by, likeliest first."""

    required: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]]

    @property
    def fields(self) -> dict[str, tuple[str, ...]]:
        return {**self.required, **self.optional}


_SYSTEM = {"system": ("system", "system_prompt")}
_ANSWERS = ("completion", "response", "answer", "output", "solution", "targets", "target")
LAYOUTS: dict[LayoutName, Layout] = {  # likeliest first: the first that fits is taken
    "messages": Layout({"messages": ("messages",)}, _SYSTEM),
    "conversations": Layout(
        {"conversations": ("conversations", "conversation", "dialogue", "dialog")}, _SYSTEM
    ),
    "instruction": Layout(
        {
            "instruction": ("instruction",),
            "output": ("output", "response", "answer", "completion"),
        },
        {"input": ("input", "context"), "history": ("history",), **_SYSTEM},
    ),
    "prompt_completion": Layout(
        {
            "prompt": ("prompt", "question", "query", "problem", "inputs", "input"),
            "completion": _ANSWERS,
        },
        _SYSTEM,
    ),
    "text": Layout({"text": ("text", "content", "document")}, {}),
}


@dataclass(frozen=True, slots=True)
class Inference:
    """How rows are read. `fields` maps a field of the layout to the column that holds it."""

    layout: LayoutName
    fields: Mapping[str, str]
    because: str
    """To be printed: `read as instruction: columns instruction, input, output`."""
    unused: tuple[str, ...] = ()
    """Columns that are no field of the layout."""


def infer(rows: Sequence[Mapping[str, Any]], source: Source, *, label: str) -> Inference:
    """The layout of a file with these first rows.

    `source.format` and `source.fields` (layout's field -> column) override what is inferred.
    Raises DataError where nothing fits, or what fits is no supervised text (preference pairs,
    pictures, tool calls, message trees), naming the columns and what each layout needs.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    stated = source.format != "auto" or bool(source.fields)
    names = _candidates(source)
    _check_mapping(source, names, columns, label)
    refused = refusal(rows, stated=stated)
    if refused is not None:
        shown = ", ".join(refused_columns(rows, refused) or columns)
        raise DataError(f"{label}: {refused.says} (columns {shown}). {refused.instead}")
    for name in names:
        fields = _fit(LAYOUTS[name], columns, source.fields)
        if fields is not None:
            return _inference(name, fields, columns, stated=stated)
    raise DataError(_no_fit(source, names, columns, label))


def _candidates(source: Source) -> list[LayoutName]:
    """The layouts that the source's settings leave open."""
    if source.format != "auto":
        return [source.format]
    wanted = set(source.fields)
    return [name for name, layout in LAYOUTS.items() if wanted <= layout.fields.keys()]


def _check_mapping(
    source: Source, names: Sequence[LayoutName], columns: Sequence[str], label: str
) -> None:
    known = [field for name in names or LAYOUTS for field in LAYOUTS[name].fields]
    layout = source.format if source.format != "auto" else "any one layout"
    faults = [
        f"{label}: fields maps {field!r}, which is no field of {layout}. {_nearest(field, known)}"
        for field in source.fields
        if not names or field not in known
    ]
    faults += [
        f"{label}: fields names the column {column!r}, which is not there. "
        f"{_nearest(column, columns)}"
        for column in source.fields.values()
        if column not in columns
    ]
    if faults:
        raise DataError(*faults)


def _fit(
    layout: Layout, columns: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, str] | None:
    """Column of each field that is there; None where a required one is not."""
    spelt = {column.casefold(): column for column in reversed(columns)}
    free = {key: column for key, column in spelt.items() if column not in mapping.values()}
    found = dict(mapping)
    for field, aliases in layout.fields.items():
        column = next((free[alias] for alias in aliases if alias in free), None)
        if field not in found and column is not None:
            found[field] = column
    return found if layout.required.keys() <= found.keys() else None


def _inference(
    name: LayoutName, fields: Mapping[str, str], columns: Sequence[str], *, stated: bool
) -> Inference:
    ordered = dict(sorted(fields.items(), key=lambda pair: columns.index(pair[1])))
    unused = tuple(column for column in columns if column not in fields.values())
    shown = ", ".join(
        field if field == column else f"{column} (as {field})" for field, column in ordered.items()
    )
    because = f"read as {name}{' (as the recipe says)' if stated else ''}: columns {shown}"
    if unused:
        because += f"; not part of it: {', '.join(unused)}"
    return Inference(name, ordered, because, unused)


def _no_fit(source: Source, names: Sequence[LayoutName], columns: Sequence[str], label: str) -> str:
    needs = "; ".join(
        f"{name} needs {' and '.join('/'.join(a) for a in LAYOUTS[name].required.values())}"
        for name in names
    )
    aliases = [alias for name in names for a in LAYOUTS[name].required.values() for alias in a]
    near = [
        f"{column!r} is near to {match[0]!r}"
        for column in columns
        if (match := get_close_matches(column.casefold(), aliases, n=1)) and match[0] != column
    ]
    hint = f" ({'; '.join(near[:3])})" if near else ""
    shown = ", ".join(column if len(column) <= 40 else column[:40] + "..." for column in columns)
    return (
        f"{label}: the columns {shown} fit no layout{hint}: {needs}. "
        "Map them with `fields`, e.g. `format: instruction`, `fields: {instruction: my_column}`."
    )


def _nearest(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    listed = ", ".join(dict.fromkeys(names))
    return f"Did you mean {near[0]!r}?" if near else f"There are: {listed}."
