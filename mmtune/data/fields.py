"""One value of a row, checked: text, not too long, encodable; and the row's other columns."""

from collections.abc import Collection, Mapping
from typing import Any

from mmtune.data.reasons import BadRow, excerpt, type_name


def checked_text(value: Any, name: str, max_chars: int) -> str:
    """The value itself, where it is text that can be trained on. Raises BadRow."""
    if value is None:
        raise BadRow("missing_field", f"{name} is null")
    if not isinstance(value, str):
        raise BadRow("wrong_type", f"{name} is {type_name(value)} ({excerpt(value)}), not text")
    if len(value) > max_chars:
        raise BadRow("too_long_field", f"{name} has {len(value):,} characters")
    if "\0" in value:
        raise BadRow("nul_character", f"{name}: NUL at character {value.index(chr(0)) + 1}")
    if not value.isascii():
        _check_encodable(value, name)
    return value


def required(values: Mapping[str, Any], column: str, max_chars: int) -> str:
    """The text of a column that must be there; it may be blank."""
    if column not in values:
        raise BadRow("missing_field", f"no {column}")
    return checked_text(values[column], column, max_chars)


def optional(values: Mapping[str, Any], column: str | None, max_chars: int) -> str:
    """The text of a column, or "" where it is absent or null."""
    value = values.get(column) if column else None
    return "" if value is None else checked_text(value, str(column), max_chars)


def extras(values: Mapping[str, Any], used: Collection[str], max_chars: int) -> dict[str, str]:
    """The other columns that hold a text, a number or true/false, as texts."""
    return {
        name: checked_text(_scalar_text(value), name, max_chars)
        for name, value in values.items()
        if name not in used and isinstance(value, (str, int, float))
    }


def _scalar_text(value: str | int | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value)
    except ValueError as error:  # an integer of more digits than Python writes out
        raise BadRow("wrong_type", str(error)) from None


def _check_encodable(value: str, name: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        raise BadRow(
            "invalid_unicode",
            f"{name}: character {error.start + 1} is half of a surrogate pair (U+{code:04X}), "
            "or was a byte that is no UTF-8",
        ) from None
