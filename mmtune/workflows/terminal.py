"""How workflows print: data never reads as markup, and never as a terminal's control codes."""

import os
import sys
from collections.abc import Iterator
from typing import NoReturn, TypeVar

from rich.console import Console
from tqdm import tqdm

from mmtune.encoding.samples import TokenSample

Row = TypeVar("Row")

_MIN_WIDTH = 100
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0x2423)


def console() -> Console:
    """Standard output, with colours where it is a terminal and NO_COLOR is not set."""
    made = Console(markup=False, emoji=False, highlight=False)
    if not made.is_terminal:  # a file or a pipe has no width: lines are left as long as they are
        made.width = max(made.width, _MIN_WIDTH)
        made.soft_wrap = True
    return made


def has_colours() -> bool:
    """Whether what is printed may be told apart by colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def visible(text: str) -> str:
    r"""The text with control characters as pictures, so that data cannot steer the terminal.

    >>> visible("a\x1b[31m")
    'a␛[31m'
    """
    return text.translate(_PICTURES)


def encoding_bar(batches: Iterator[list[TokenSample]]) -> Iterator[list[TokenSample]]:
    """Passes batches on while a bar on the terminal counts their samples."""
    with tqdm(desc="encoding", unit="row", delay=1, leave=False, disable=None) as bar:
        for batch in batches:
            bar.update(len(batch))
            yield batch


def row_bar(rows: Iterator[Row]) -> Iterator[Row]:
    """Passes rows on while a bar on the terminal counts them."""
    with tqdm(desc="reading", unit="row", delay=1, leave=False, disable=None) as bar:
        for row in rows:
            bar.update(1)
            yield row


def reading_bar(name: str, size: int) -> "tqdm[NoReturn]":
    """A bar on the terminal over the bytes of a big file, to be used in a `with`."""
    return tqdm(
        desc=f"reading {name}",
        total=size,
        unit="B",
        unit_scale=True,
        delay=1,
        leave=False,
        disable=None,
    )
