"""What a row is called in ids: by its own id where it has a usable one, else by its number."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

_OWN_IDS = ("id", "uid", "uuid", "prompt_id", "question_id")
_RUNNING = re.compile(r"row-\d+")
_MAX_CHARS = 200


def row_id(values: Mapping[str, Any], number: int, seen: set[int]) -> str:
    """The row's own id where it is usable and new to `seen`, else `row-<number>`.

    Hashes keep `seen` small: 8 bytes an id.
    """
    own = next((values[name] for name in _OWN_IDS if name in values), None)
    text = str(own) if isinstance(own, (str, int)) and not isinstance(own, bool) else ""
    usable = 0 < len(text) <= _MAX_CHARS and text.isprintable() and not _RUNNING.fullmatch(text)
    if not usable:
        return f"row-{number}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    if key in seen:
        return f"row-{number}"
    seen.add(key)
    return text
