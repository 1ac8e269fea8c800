"""A row as its file has it, before anybody asks what its columns mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtune.types import Dropped


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as the file has it. `where` is `file.jsonl:17` (a line) or `file.json#17` (a row)."""

    where: str
    values: dict[str, Any]


Raw = RawRow | Dropped


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to read. `label` is how messages call it, `kind` its suffix without `.gz`."""

    path: Path
    label: str
    kind: str
