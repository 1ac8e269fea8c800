"""A row before any preparation, and its columns read with their kind checked."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmtune.data.reasons import BadRow, type_name

Row = Mapping[str, Any]
Prepared = list[dict[str, Any]]


def text_at(row: Row, name: str) -> str:
    """The text of a column. Raises BadRow."""
    value = row.get(name)
    if value is None:
        raise BadRow("missing_field", f"no {name}; there are: {', '.join(map(str, row))}")
    if not isinstance(value, str):
        raise BadRow("wrong_type", f"{name} is {type_name(value)}, not text")
    return value


def texts_at(row: Row, name: str) -> list[str]:
    """A column's list of texts. Raises BadRow."""
    value = row.get(name)
    if value is None:
        raise BadRow("missing_field", f"no {name}; there are: {', '.join(map(str, row))}")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRow("wrong_type", f"{name} is {type_name(value)}, not a list of texts")
    return value


def mapping_at(row: Row, name: str) -> Mapping[str, Any]:
    """A column's object. Raises BadRow."""
    value = row.get(name)
    if not isinstance(value, Mapping):
        raise BadRow("wrong_type", f"{name} is {type_name(value)}, not an object")
    return value


def numbered(texts: Sequence[Any]) -> str:
    """["a", "b"]  ->  "1. a\\n2. b" """
    return "\n".join(f"{number}. {str(text).strip()}" for number, text in enumerate(texts, 1))
