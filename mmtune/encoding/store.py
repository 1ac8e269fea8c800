"""Encoded samples as flat arrays on disk: fast to open again, shared by ranks, never all in RAM."""

import json
import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtune.encoding.samples import TokenSample

_COMPLETE = "store.json"
_PARTS = (".bin", ".npy")


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Samples end to end; sample n lies at `offsets[n]` to `offsets[n + 1]`."""

    ids: np.ndarray
    """int32 [tokens]"""
    supervised: np.ndarray
    """bool [tokens]"""
    offsets: np.ndarray
    """int64 [samples + 1]"""
    source_numbers: np.ndarray
    """int32 [samples], index into `sources`"""
    num_targets: np.ndarray
    """int64 [samples], tokens learnt"""
    id_bytes: np.ndarray
    """uint8, the example ids end to end"""
    id_offsets: np.ndarray
    """int64 [samples + 1]"""
    sources: tuple[str, ...]
    lengths: np.ndarray
    """int64 [samples], tokens of each"""

    def __len__(self) -> int:
        return len(self.lengths)

    def example_id(self, number: int) -> str:
        start, stop = self.id_offsets[number : number + 2]
        return bytes(self.id_bytes[start:stop]).decode()

    def sample(self, number: int) -> TokenSample:
        """Sample `number`, its arrays views of the store's."""
        start, stop = self.offsets[number : number + 2]
        return TokenSample(
            ids=self.ids[start:stop],
            supervised=self.supervised[start:stop],
            example_id=self.example_id(number),
            source=self.sources[self.source_numbers[number]],
        )


def write_store(folder: Path, batches: Iterable[Sequence[TokenSample]]) -> TokenStore:
    """Write samples to `folder` as they come, then open them. A marker is written last, so that a
    store cut short is never taken for a whole one.

    In memory stay 28 bytes a sample. A store that lay there before goes on for whoever has it open.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove(folder)
    offsets, id_offsets = array("q", [0]), array("q", [0])
    numbers, targets = array("i"), array("q")
    sources: dict[str, int] = {}
    with (
        open(folder / "ids.bin", "wb") as ids,
        open(folder / "supervised.bin", "wb") as supervised,
        open(folder / "example_ids.bin", "wb") as names,
    ):
        for sample in (sample for batch in batches for sample in batch):
            name = sample.example_id.encode()
            ids.write(sample.ids.astype(np.int32).tobytes())
            supervised.write(sample.supervised.astype(np.bool_).tobytes())
            names.write(name)
            offsets.append(offsets[-1] + len(sample.ids))
            id_offsets.append(id_offsets[-1] + len(name))
            numbers.append(sources.setdefault(sample.source, len(sources)))
            targets.append(int(np.count_nonzero(sample.supervised[1:])))
    np.save(folder / "offsets.npy", np.asarray(offsets, dtype=np.int64))
    np.save(folder / "id_offsets.npy", np.asarray(id_offsets, dtype=np.int64))
    np.save(folder / "source_numbers.npy", np.asarray(numbers, dtype=np.int32))
    np.save(folder / "num_targets.npy", np.asarray(targets, dtype=np.int64))
    _mark_complete(folder, {"samples": len(numbers), "sources": list(sources)})
    return open_store(folder)


def _remove(folder: Path) -> None:
    """Unlink the parts, the marker first: to write into files that are mapped would change, or
    take away, the memory of those who read them."""
    for path in (folder / _COMPLETE, *folder.iterdir()):
        if path.name == _COMPLETE or path.suffix in _PARTS:
            path.unlink(missing_ok=True)


def _mark_complete(folder: Path, about: dict[str, Any]) -> None:
    parts = [path for path in folder.iterdir() if path.suffix in _PARTS]
    for path in parts:
        _sync(path)  # else a power cut could leave a marker beside files of the right size, empty
    sizes = {path.name: path.stat().st_size for path in parts}
    aside = folder / f"{_COMPLETE}.tmp"
    aside.write_text(json.dumps(about | {"bytes": sizes}))
    os.replace(aside, folder / _COMPLETE)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_complete(folder: Path) -> bool:
    """Whether `write_store` came to its end there, and its files still have the sizes it wrote."""
    try:
        about = json.loads((folder / _COMPLETE).read_text())
        return all((folder / name).stat().st_size == size for name, size in about["bytes"].items())
    except (OSError, ValueError):
        return False


def open_store(folder: Path) -> TokenStore:
    """Map a store that `write_store` finished."""
    about = json.loads((folder / _COMPLETE).read_text())
    offsets = np.load(folder / "offsets.npy")
    return TokenStore(
        ids=_mapped(folder / "ids.bin", np.int32),
        supervised=_mapped(folder / "supervised.bin", np.bool_),
        offsets=offsets,
        source_numbers=np.load(folder / "source_numbers.npy"),
        num_targets=np.load(folder / "num_targets.npy"),
        id_bytes=_mapped(folder / "example_ids.bin", np.uint8),
        id_offsets=np.load(folder / "id_offsets.npy"),
        sources=tuple(about["sources"]),
        lengths=np.diff(offsets),
    )


def _mapped(path: Path, dtype: type) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype=dtype, mode="r")
