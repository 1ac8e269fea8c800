"""Examples on disk, any of them read by number: what a mixture draws from without holding it.

Read with `pread`, not mapped: a mixture of a million rows stays out of the process's memory.
"""

import hashlib
import json
import os
import shutil
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mmtune.types import Dropped, Example, Image

_ROWS, _OFFSETS, _DROPPED = "examples.jsonl", "offsets.npy", "dropped.jsonl"
_COMPLETE = "store.json"


@dataclass(slots=True)
class ExampleStore:
    """Opened by `open_examples`; `len(store)` and `store[n]`."""

    folder: Path
    offsets: NDArray[np.int64]
    sha256: str
    """Of all examples in order, not of what was dropped"""
    _file: int = field(repr=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> Example:
        start, stop = self.offsets[number : number + 2].tolist()
        return _example(json.loads(os.pread(self._file, stop - start, start)))

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_examples(folder: Path, rows: Iterable[Example | Dropped], key: str) -> ExampleStore:
    """Write examples without turns to `folder`, whole or not at all, and open them; rows that were
    dropped are kept for `dropped_rows`.

    `key` says what they were made from, for `has_examples`.
    """
    aside = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    offsets, digest = array("q", [0]), hashlib.sha256()
    with open(aside / _ROWS, "wb") as file, open(aside / _DROPPED, "w") as bad:
        for row in rows:
            if isinstance(row, Dropped):
                bad.write(json.dumps(asdict(row)) + "\n")
                continue
            line = json.dumps(_row(row), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            file.write(line)
            digest.update(line)
            offsets.append(offsets[-1] + len(line))
    np.save(aside / _OFFSETS, np.frombuffer(offsets, dtype=np.int64))
    (aside / _COMPLETE).write_text(json.dumps({"key": key, "sha256": digest.hexdigest()}))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(aside, folder)
    return open_examples(folder)


def has_examples(folder: Path, key: str) -> bool:
    """Whether `folder` holds what was made from the very same."""
    try:
        return bool(json.loads((folder / _COMPLETE).read_text())["key"] == key)
    except (OSError, ValueError, KeyError):
        return False


def open_examples(folder: Path) -> ExampleStore:
    offsets = np.load(folder / _OFFSETS)
    sha256 = json.loads((folder / _COMPLETE).read_text())["sha256"]
    return ExampleStore(
        folder, offsets, sha256, os.open(folder / _ROWS, os.O_RDONLY | os.O_CLOEXEC)
    )


def dropped_rows(folder: Path) -> Iterator[Dropped]:
    """The rows that did not become examples, with their reasons."""
    with open(folder / _DROPPED) as file:
        for line in file:
            yield Dropped(**json.loads(line))


def _row(example: Example) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": example.id,
        "source": example.source,
        "task": example.task,
        "fields": dict(example.fields),
        "where": example.where,
    }
    if example.choices:
        row["choices"] = example.choices
    if example.references:
        row["references"] = example.references
    if example.images:
        row["images"] = {name: asdict(image) for name, image in example.images.items()}
    return row


def _example(row: dict[str, Any]) -> Example:
    images = {name: Image(**image) for name, image in row.get("images", {}).items()}
    lists = {name: tuple(row.get(name, ())) for name in ("choices", "references")}
    return Example(**row | lists | {"images": images})
