"""A card's Jinja over one row's columns: a text, or a value as it is (a list, a number).

Each piece is compiled once per card; one that only names a column (`{{ premise }}`,
`{{ answers.text }}`) is looked up without Jinja. Knows nothing of what the pieces are for.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from mmtune.data.fields import checked_text
from mmtune.data.reasons import excerpt, type_name
from mmtune.errors import DataError
from mmtune.sandbox import Bounded, Sandbox, TemplateFault

CardReason = Literal[
    "missing_field",  # a column that is absent or null
    "wrong_type",  # a list where a text belongs ...
    "empty_field",  # a field that is not `optional` comes out blank
    "empty_answer",
    "bad_expression",  # the card's Jinja fails on this row
    "not_kept",  # the card's own `keep` says so
    "unlabelled",  # no label, or -1: the hidden labels of a test split
    "label_out_of_range",
    "unknown_label",  # a text that is none of the choices
    "too_few_choices",  # fewer than two different ones
    "nothing_prepared",  # the card's preparation made no row of it
]
Values = Mapping[str, Any]

_PATH = re.compile(r"\{\{-?\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*-?\}\}")
_BRACES = re.compile(r"\s*\{\{-?(.*?)-?\}\}\s*", re.DOTALL)
_ABSENT = object()


class LeftOut(Exception):
    """Raised and caught inside this room: the row makes no example."""

    def __init__(self, reason: CardReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class TextOf:
    """A Jinja text over a row; what it gives is stripped at both ends."""

    def __init__(self, sandbox: Sandbox, source: str, name: str) -> None:
        """Raises DataError where the source is no Jinja."""
        self._name = name
        self._path = _path(source)
        self._compiled = None if self._path else _compiled(sandbox, source, name)

    def __call__(self, values: Values, max_chars: int) -> str:
        """Raises LeftOut and BadRow."""
        if self._compiled is None:
            text = as_text(_followed(self._path, values, self._name), self._name)
        else:
            text = _rendered(self._compiled, values, self._name)
        return checked_text(text, self._name, max_chars).strip()


class ValueOf:
    """A Jinja expression over a row, with or without its braces; gives the value itself."""

    def __init__(self, sandbox: Sandbox, source: str, name: str) -> None:
        """Raises DataError where the source is no Jinja, or more than one expression."""
        self._name, self._source = name, source
        braced = _BRACES.fullmatch(source)
        body = braced[1] if braced else source
        if not body.strip() or "{{" in body or "{%" in body:
            raise DataError(f"{name}: found {excerpt(source)}, expected one expression")
        self._path = _path("{{" + body + "}}")
        capture = "{% set value_ = (" + body + ") %}{% if value_ is defined %}{{ keep_(value_) }}"
        self._compiled = None if self._path else _compiled(sandbox, capture + "{% endif %}", name)

    def __call__(self, values: Values) -> Any:
        """The value; None where a column that it needs is absent or null. Raises LeftOut."""
        if self._compiled is None:
            found = _looked_up(self._path, values)
            return None if found is _ABSENT else found
        held: list[Any] = []

        def keep(value: Any) -> str:
            held.append(value)
            return ""

        _rendered(self._compiled, {**values, "keep_": keep}, self._name)
        return held[0] if held else None


def as_text(value: Any, name: str) -> str:
    """A text, number or true/false as text. Raises LeftOut."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise LeftOut("wrong_type", f"{name} is {type_name(value)}, not text")


def as_texts(value: Any, name: str, max_chars: int) -> list[str]:
    """A list's texts, stripped, each once and none blank. Raises LeftOut."""
    if not isinstance(value, list | tuple):
        raise LeftOut("wrong_type", f"{name} is {type_name(value)}, not a list of texts")
    texts = [checked_text(as_text(item, name), name, max_chars).strip() for item in value]
    return list(dict.fromkeys(text for text in texts if text))


def _path(source: str) -> tuple[str, ...]:
    """The column, and the keys below it, that an expression only names; else ()."""
    found = _PATH.fullmatch(source.strip())
    parts = tuple(found[1].split(".")) if found else ()
    return () if {"true", "false", "none", "True", "False", "None", "row"} & {*parts[:1]} else parts


def _followed(path: tuple[str, ...], values: Values, name: str) -> Any:
    found = _looked_up(path, values)
    if found is _ABSENT:
        raise LeftOut("missing_field", f"{name} needs column {'.'.join(path)}; {_there(values)}")
    return found


def _looked_up(path: tuple[str, ...], values: Values) -> Any:
    value: Any = values
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return _ABSENT
    return value


def _compiled(sandbox: Sandbox, source: str, name: str) -> Bounded:
    try:
        return sandbox.compile(source)
    except TemplateFault as fault:
        raise DataError(f"{name}: is no Jinja: {fault}") from None


def _rendered(compiled: Bounded, values: Values, name: str) -> str:
    try:
        return compiled.render({**values, "row": values}, _chars(values))
    except TemplateFault as fault:
        if "undefined" in str(fault):
            raise LeftOut("missing_field", f"{name}: {fault}; {_there(values)}") from None
        raise LeftOut("bad_expression", f"{name}: {fault}") from None


def _chars(values: Values) -> int:
    """Roughly, of the row's texts: the sandbox allows more steps for more of them."""
    return sum(len(v) for v in values.values() if isinstance(v, str | list | tuple | dict))


def _there(values: Values) -> str:
    return f"there are: {', '.join(map(str, values)) or 'none'}"
