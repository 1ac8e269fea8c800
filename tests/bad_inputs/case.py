"""One bad input of the catalogue: how it is made, what becomes of it, what is said."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANYTHING = "…"
"""In `says`: whatever stands here, for parts that differ from machine to machine."""

Make = Callable[[], Sequence[str]]
"""Prepares the current folder, which holds a good `model/`, `chat/`, `rows.jsonl` and `bad.yaml`;
gives overrides for the command line."""


@dataclass(frozen=True)
class Case:
    """An input that a command is given; `says` is the whole line after `error: `.

    Where `says` is empty the command succeeds, and `does` says what it makes of the input.
    """

    name: str
    says: str
    make: Make
    verb: str = "check"
    does: str = "refused"
    not_as_root: bool = False


@dataclass(frozen=True)
class Row:
    """A line between two good ones. `reason` is the ledger's, empty where the row is kept."""

    name: str
    line: bytes
    reason: str = ""
    says: str = ""
    """The ledger's detail"""
    becomes: str = ""
    """Of a kept row, for the page"""
    holds: Callable[[Any], bool] = lambda example: True
    """Of a kept row: what must be so of its Example"""


def matches(pattern: str, text: str) -> bool:
    return bool(re.fullmatch(".*".join(map(re.escape, pattern.split(ANYTHING))), text))


def with_file(name: str, content: bytes | str) -> Make:
    """Rows in a file of this name."""

    def make() -> list[str]:
        data = content if isinstance(content, bytes) else content.encode()
        Path(name).write_bytes(data)
        return [f"data.path={name}"]

    return make


def with_override(*overrides: str) -> Make:
    return lambda: overrides


def with_recipe(text: str, *overrides: str) -> Make:
    def make() -> Sequence[str]:
        Path("bad.yaml").write_text(text)
        return overrides

    return make


def with_model(change: Callable[[Path], object], source: str = "model") -> Make:
    """A copy of a good model's folder, changed for the worse."""

    def make() -> list[str]:
        shutil.copytree(source, "broken")
        change(Path("broken"))
        return ["model.path=broken"]

    return make


def with_template(text: str) -> Make:
    return with_model(lambda folder: (folder / "chat_template.jinja").write_text(text), "chat")


def edit_json(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | values))
