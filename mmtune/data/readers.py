"""Raw rows out of files, one at a time: where each stands and what its columns hold.

Knows file formats; knows nothing of layouts (what a column means).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmtune.data.lines import Line, lines, opened
from mmtune.data.raw import DataFile, Raw, RawRow
from mmtune.data.reasons import BadRow, excerpt, type_name
from mmtune.data.tables import parquet_rows, table_rows
from mmtune.errors import DataError
from mmtune.types import Dropped

MAX_DOCUMENT_BYTES = 512 << 20
"""A `.json` file is parsed whole; a bigger one must be JSONL."""


def read_file(file: DataFile, *, source: str, max_line_bytes: int) -> Iterator[Raw]:
    """The file's rows in order; an unreadable row is Dropped and reading goes on.

    Raises DataError where the file as a whole cannot be read.
    """
    return _READERS[file.kind](file, source, max_line_bytes)


def _json(file: DataFile, source: str, max_bytes: int) -> Iterator[Raw]:
    """`.json` and `.jsonl` by content: an array or object is parsed whole, else line by line."""
    if _is_document(file, max_bytes):
        return _json_document(file, source)
    return _json_lines(file, source, max_bytes)


def _is_document(file: DataFile, max_bytes: int) -> bool:
    filled = (line for line in lines(file.path, max_bytes=max_bytes) if line.data.strip())
    first = next(filled, None)
    if first is None:
        return False
    if first.data.lstrip().startswith(b"["):
        return True
    if file.kind != ".json" or not first.data.lstrip().startswith(b"{"):
        return False
    return next(filled, None) is None or not _is_object(first)


def _is_object(line: Line) -> bool:
    try:
        _parsed(line)
    except BadRow:
        return False
    return True


def _json_lines(file: DataFile, source: str, max_bytes: int) -> Iterator[Raw]:
    for line in lines(file.path, max_bytes=max_bytes):
        if not line.data.strip():
            continue
        where = f"{file.label}:{line.number}"
        try:
            yield RawRow(where, _parsed(line))
        except BadRow as bad:
            yield bad.dropped(source, where)


def _parsed(line: Line) -> dict[str, Any]:
    try:
        value = _DECODER.decode(line.decoded())
    except json.JSONDecodeError as error:
        raise BadRow("broken_json", f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise BadRow("too_deep", "JSON nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python will convert
        raise BadRow("broken_json", str(error)) from None
    if not isinstance(value, dict):
        raise BadRow("not_an_object", f"{type_name(value)} where an object of columns belongs")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As json makes it, but that no value is overwritten in silence. Raises BadRow."""
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in value if names.count(name) > 1)
        raise BadRow("duplicate_key", f"{excerpt(twice)} is given {names.count(twice)} times")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object)  # made once: json.loads makes one a call


def _json_document(file: DataFile, source: str) -> Iterator[Raw]:
    for number, row in enumerate(_rows_inside(_whole_document(file), file), 1):
        where = f"{file.label}#{number}"
        if isinstance(row, dict):
            yield RawRow(where, row)
        else:
            detail = f"{type_name(row)} where an object of columns belongs"
            yield Dropped(source, where, "not_an_object", detail)


def _whole_document(file: DataFile) -> Any:
    with opened(file.path) as handle:
        data = handle.read(MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        limit = MAX_DOCUMENT_BYTES >> 20
        raise DataError(f"{file.label}: a JSON document over {limit} MiB. Convert it to JSONL.")
    try:
        # A byte that is no UTF-8 becomes half a surrogate pair: its row alone is dropped later.
        return _DECODER.decode(data.decode("utf-8-sig", errors="surrogateescape"))
    except BadRow as bad:
        raise DataError(f"{file.label}: {bad.detail}. Keep one of them.") from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.label}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}. "
            "Mend it there; rows of one line each belong in a .jsonl file, where a broken row "
            "costs only itself."
        ) from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{file.label}: JSON that cannot be parsed ({error}).") from None


def _rows_inside(value: Any, file: DataFile) -> list[Any]:
    """The rows of a document: the array itself, or the one array of objects inside an object."""
    if isinstance(value, list):
        return value
    arrays = {
        key: inner
        for key, inner in (value.items() if isinstance(value, dict) else ())
        if isinstance(inner, list) and inner and isinstance(inner[0], dict)
    }
    if any({"role", "from"} & inner[0].keys() for inner in arrays.values()):
        return [value]  # the array is a dialogue, so the object is one row
    if isinstance(value, dict) and not arrays and any(isinstance(v, str) for v in value.values()):
        return [value]
    if len(arrays) != 1:
        found = f"{len(arrays)} of them ({', '.join(arrays)})" if arrays else "none"
        raise DataError(
            f"{file.label}: {type_name(value)} that should hold one array of rows, and holds "
            f"{found}. Give a file whose rows are one array, or one object a line (.jsonl)."
        )
    return next(iter(arrays.values()))


def _text(file: DataFile, source: str, max_bytes: int) -> Iterator[Raw]:
    """Documents as rows of one column, `text`: blocks between blank lines; where the file has no
    blank line inside, each line is a document. Line ends inside a document become `\\n`."""
    blocks = has_blank_lines(file.path)
    held: list[Line] = []
    size = 0
    for line in lines(file.path, max_bytes=max_bytes):
        blank = line.whole and not line.data.strip()
        if held and (blank or not blocks):
            yield _document(held, file, source)
            held, size = [], 0
        if blank:
            continue
        size += len(line.data) + 1 if line.whole else max_bytes + 2
        if size <= max_bytes + 1:
            held.append(line)
        else:  # too long: keep no more than its beginning
            first = held[0] if held else line
            held = [Line(first.number, first.data[:80], whole=False)]
    if held:
        yield _document(held, file, source)


def has_blank_lines(path: Path) -> bool:
    """Whether a blank line stands between two lines of text."""
    seen_text = seen_blank = False
    for line in lines(path, max_bytes=1 << 16):
        if not line.whole or line.data.strip():
            if seen_blank:
                return True
            seen_text = True
        else:
            seen_blank = seen_text
    return False


def _document(held: list[Line], file: DataFile, source: str) -> Raw:
    where = f"{file.label}:{held[0].number}"
    try:
        return RawRow(where, {"text": "\n".join(line.decoded() for line in held)})
    except BadRow as bad:
        return bad.dropped(source, where)


_READERS: dict[str, Callable[[DataFile, str, int], Iterator[Raw]]] = {
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,
    ".csv": table_rows,
    ".tsv": table_rows,
    ".parquet": parquet_rows,
    ".txt": _text,
}
KINDS = tuple(_READERS)
