"""Lines of a file, split on the newline byte only and never longer than a limit in memory.

Knows bytes, gzip and Unicode; knows nothing of rows.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from mmtune.data.reasons import BadRow
from mmtune.errors import DataError

_BOM = b"\xef\xbb\xbf"
_OTHER_KINDS = {  # the longer marks first
    b"\xff\xfe\0\0": "is UTF-32. Save it as UTF-8",
    b"\0\0\xfe\xff": "is UTF-32. Save it as UTF-8",
    b"\xff\xfe": "is UTF-16. Save it as UTF-8",
    b"\xfe\xff": "is UTF-16. Save it as UTF-8",
    b"\x1f\x8b": "is packed with gzip. Let its name end in .gz",
    b"PK\x03\x04": "is a zip archive. Unpack it",
    b"PAR1": "is Parquet. Let its name end in .parquet",
}
_SKIP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline; `number` counts from 1.

    `whole` is false where the line is over the limit: `data` is then its first bytes only.
    """

    number: int
    data: bytes
    whole: bool = True

    def decoded(self) -> str:
        """The line as text. Raises BadRow where it is too long, no UTF-8, or holds a NUL."""
        if not self.whole:
            raise BadRow("too_long_line", f"longer than the limit; begins {self.data[:40]!r}")
        if b"\0" in self.data:
            raise BadRow("nul_character", f"NUL byte at column {self.data.index(0) + 1}")
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRow(
                "invalid_unicode",
                f"byte 0x{self.data[error.start]:02x} at byte {error.start + 1} is not UTF-8",
            ) from None


def lines(path: Path, *, max_bytes: int) -> Iterator[Line]:
    """The file's lines (of the unpacked file for `.gz`).

    A byte-order mark and the `\\r` of a `\\r\\n` are taken off; U+2028 and its like are text.
    Raises DataError where the file cannot be read or is UTF-16.
    """
    with opened(path) as handle:
        for number in count(1):
            data = handle.readline(max_bytes + 2)
            if not data:
                return
            if number == 1:
                data = _text_start(data, path)
            body = data.removesuffix(b"\n").removesuffix(b"\r")
            whole = len(body) <= max_bytes
            if not data.endswith(b"\n"):
                whole = not _skip_rest(handle) and whole
            yield Line(number, body if whole else body[:80], whole)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where its name ends in `.gz`; read errors become DataError."""
    try:
        opener = gzip.open if path.suffix.lower() == ".gz" else open
        with opener(path, "rb") as handle:
            yield handle  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: cannot be read ({reason}). Is the file complete?") from error


def _text_start(data: bytes, path: Path) -> bytes:
    """The first line without its byte-order mark. Raises DataError for a file that is no UTF-8
    text but of a kind that its first bytes tell."""
    for start, what in _OTHER_KINDS.items():
        if data.startswith(start):
            raise DataError(f"{path}: {what}.")
    if len(data) > 3 and (data[1] == 0) != (data[0] == 0) and data[:4].count(0) == 2:
        raise DataError(f"{path}: is UTF-16. Save it as UTF-8.")  # of ASCII, without a mark
    return data.removeprefix(_BOM)


def _skip_rest(handle: IO[bytes]) -> bool:
    """Read on to the end of the line, keeping nothing; whether there was anything."""
    more = False
    while piece := handle.readline(_SKIP_BYTES):
        more = True
        if piece.endswith(b"\n"):
            break
    return more
