"""Where rows come from: a file, a folder of files, a hub data set, or the pocket world."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmtune.config.recipe import Source
from mmtune.data.hub import HUB_ID, online, was_downloaded
from mmtune.data.raw import DataFile, Raw, RawRow
from mmtune.data.readers import KINDS, read_file
from mmtune.errors import DataError

_METADATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows that can be read again and again, in the same order. `label` is for messages."""

    label: str
    rows: Callable[[], Iterator[Raw]]
    kind: str
    """The file's suffix, `hub` or `pocket`."""
    path: Path | None = None
    """Of a file."""

    def fingerprint(self) -> tuple[str, int, int]:
        """Changes when a file does: label, bytes, time of its last change in ns."""
        if self.path is None:
            return self.label, 0, 0
        about = self.path.stat()
        return self.label, about.st_size, about.st_mtime_ns


def streams(source: Source, *, name: str, max_line_bytes: int) -> tuple[list[Stream], list[str]]:
    """What to read for a source, and what its folder holds that is not read.

    Raises DataError where there is nothing to read.
    """
    if source.path.startswith("pocket:"):
        return [_pocket_stream(source)], []
    if not source.path.strip():
        raise DataError("data: a path is empty. Give a file, a folder or a hub id.")
    path = _found(source.path)
    if path is None:
        return [_hub_stream(source)], []
    files, skipped = _walk(path) if path.is_dir() else ([_single(path)], [])
    return [_file_stream(file, name, max_line_bytes) for file in files], skipped


def _found(path: str) -> Path | None:
    """What is there under this name; None where nothing is. Raises DataError for a broken link."""
    if "://" in path:
        raise DataError(f"{path}: URLs are not read. Download the file and give its path.")
    try:
        place = Path(path).expanduser()
        if place.is_symlink() and not place.exists():
            raise DataError(f"{path}: is a link that leads nowhere ({os.readlink(place)}).")
        return place if place.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, no such user
        return None


def _file_stream(file: DataFile, name: str, max_line_bytes: int) -> Stream:
    def rows() -> Iterator[Raw]:
        return read_file(file, source=name, max_line_bytes=max_line_bytes)

    return Stream(file.label, rows, file.kind, file.path)


def _single(path: Path) -> DataFile:
    file = _data_file(path, path.name)
    if file is not None and not path.is_file():
        raise DataError(f"{path}: is no plain file (a pipe or a device). Save the rows as a file.")
    if file is None:
        raise DataError(f"{path}: not a kind of file that is read ({_kinds_in_words()}).")
    return file


def _data_file(path: Path, label: str) -> DataFile | None:
    """The file with its kind, or None for a kind that is not read."""
    name = path.name.lower()
    kind = Path(name.removesuffix(".gz")).suffix
    packed = name.endswith(".gz")
    return (
        None
        if kind not in KINDS or (packed and kind == ".parquet")
        else DataFile(path, label, kind)
    )


def _walk(folder: Path) -> tuple[list[DataFile], list[str]]:
    """The folder's data files, sorted by path; and the hidden, empty and other files in it."""
    files: list[DataFile] = []
    skipped: list[str] = []
    for path in _paths_below(folder):
        label = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        usable = path.is_file() and path.stat().st_size and path.name not in _METADATA
        file = _data_file(path, label) if usable and not hidden else None
        if file is None:
            skipped.append(label)
        else:
            files.append(file)
    if not files:
        found = f"It holds {', '.join(skipped[:5])}." if skipped else "It is empty."
        raise DataError(
            f"{folder}: no file in this folder can be read ({_kinds_in_words()}). {found}"
        )
    return files, skipped


def _paths_below(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=_unreadable)
        for name in names
    )


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}).")


def _kinds_in_words() -> str:
    return f"{' '.join(KINDS)}; all but .parquet also with .gz"


def _pocket_stream(source: Source) -> Stream:
    from mmtune.pocket import rows as pocket

    name = source.path.removeprefix("pocket:")
    if name not in pocket.NAMES:
        raise DataError(
            f"{source.path}: the pocket has no rows of this name. {_nearest(name, pocket.NAMES)}"
        )
    if name == pocket.CORPUS and not source.max_rows:
        raise DataError(f"{source.path}: the corpus has no end. Set `max_rows` of this source.")

    def rows() -> Iterator[Raw]:
        for number, values in enumerate(pocket.rows(name), 1):
            yield RawRow(f"{source.path}#{number}", values)

    return Stream(source.path, rows, "pocket")


def _hub_stream(source: Source) -> Stream:
    """A data set of the hub, streamed; nothing is fetched before its first row is asked for."""
    if not HUB_ID.fullmatch(source.path) or Path(source.path).suffix in (*KINDS, ".gz"):
        shown = source.path if len(source.path) <= 200 else source.path[:200] + "..."
        raise DataError(f"{shown}: no such file or folder. {_neighbours(Path(source.path))}")
    label = f"{source.path}[{source.split}]"

    def rows() -> Iterator[Raw]:
        for number, values in enumerate(_hub_rows(source), 1):
            yield RawRow(f"{label}#{number}", dict(values))

    return Stream(label, rows, "hub")


def _hub_rows(source: Source) -> Iterator[dict[str, Any]]:
    reachable = online()
    if not reachable and not was_downloaded(source.path):
        raise DataError(
            _not_opened(source, "the hub cannot be reached, and nothing of it is here.")
        )
    import datasets

    if not reachable:
        datasets.config.HF_HUB_OFFLINE = True
    try:
        yield from datasets.load_dataset(
            source.path, name=source.subset or None, split=source.split, streaming=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(_not_opened(source, reason)) from error


def _not_opened(source: Source, reason: str) -> str:
    subset = f", subset {source.subset!r}" if source.subset else ""
    return (
        f"{source.path}: no such file or folder here, and the hub data set of this id "
        f"(split {source.split!r}{subset}) could not be opened: {reason} "
        "Check the spelling and the network, or download it and give the folder."
    )


def _neighbours(path: Path) -> str:
    """Files beside a missing one with a like name."""
    try:
        there = path.parent.is_dir()
    except (OSError, ValueError):  # too long, a NUL
        there = False
    if not there:
        return f"There is no folder {path.parent} either."
    return _nearest(path.name, [entry.name for entry in path.parent.iterdir()])


def _nearest(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(names)[:10])}."
