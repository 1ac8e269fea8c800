"""The closed set of reasons for which a row is not used, and how values are shown in messages."""

import re
from typing import Literal, get_args

from mmtune.types import Dropped

Reason = Literal[
    "broken_json",  # not JSON; an unterminated string, a stray comma ...
    "broken_csv",  # a quote that is never closed ...
    "wrong_columns",  # a table's row with more or fewer cells than the header
    "duplicate_key",  # one name twice in an object: which value is meant?
    "not_an_object",  # JSON, but no {"column": value}
    "too_deep",  # JSON nested deeper than the parser goes
    "too_long_line",  # a line longer than any usable row
    "too_long_field",  # longer than data.max_field_chars
    "invalid_unicode",  # bytes that are not UTF-8, or half of a surrogate pair
    "nul_character",
    "missing_field",  # absent or null
    "wrong_type",  # a number where text belongs ...
    "empty_prompt",
    "empty_answer",
    "empty_text",
    "bad_roles",  # unknown role, two turns of one role in a row, a system turn in the middle ...
    "no_assistant_turn",
    "nothing_to_learn",  # every assistant turn has weight 0
    "preference_pair",
    "tool_call",
    "has_media",
    "message_tree",
]
REASONS: tuple[str, ...] = get_args(Reason)
UNPHRASABLE = "unphrasable"
"""An example that a template cannot say: of draws from a mixture, not of rows."""
ON_PURPOSE = frozenset(("not_kept", "unlabelled"))
"""What a card leaves out because it is not meant to be used; nothing is wrong with such rows."""

_SURROGATES = re.compile("[\ud800-\udfff]")


class BadRow(Exception):
    """Raised and caught inside this room: one row cannot be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")

    def dropped(self, source: str, where: str) -> Dropped:
        """The ledger's line for this row."""
        return Dropped(source, where, self.reason, self.detail)


def excerpt(value: object, limit: int = 60) -> str:
    """A value as it may stand in a message: short, on one line, always encodable.

    >>> excerpt("a" * 100, 8)
    "'aaaaaaaa...'"
    """
    if isinstance(value, (list, tuple, dict)):
        return f"{type_name(value)} of {len(value)}"
    text = value if isinstance(value, str) else ascii(value)
    cut = text[:limit] + "..." if len(text) > limit else text
    if not isinstance(value, str):
        return cut
    return repr(cut) if not _SURROGATES.search(cut) else ascii(cut)


def type_name(value: object) -> str:
    """A JSON value's type in words: 'text', 'a number', 'a list' ..."""
    names: dict[type, str] = {str: "text", bool: "true/false", int: "a number", float: "a number"}
    names |= {list: "a list", tuple: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")
