"""Where a card's rows come from: a local file or folder, or the hub; which split of it, which part.

Knows nothing of what the columns mean.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmtune.config.cards import Card, Split
from mmtune.config.recipe import Source
from mmtune.data.files import Stream, streams
from mmtune.data.hub import online
from mmtune.data.lines import lines
from mmtune.data.raw import Raw, RawRow
from mmtune.data.reasons import BadRow
from mmtune.errors import DataError
from mmtune.types import Dropped

_PART = re.compile(
    r"(?P<name>[^\[\]]+)(?:\[(?:(?P<first>\d*):(?P<last>\d*)|(?P<but>but )?every (?P<step>\d+))\])?"
)
_LIKE = {"validation": ("validation", "valid", "val", "dev"), "dev": ("dev", "validation", "valid")}
_WORDS = re.compile(r"[a-z0-9]+")

LoadDataset = Callable[..., Any]
"""`datasets.load_dataset`, or what stands for it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A split as the card names it, and which of its rows.

    `train[200:]`: from row 201 on; `train[every 10]`: rows 10, 20, 30 ...; `train[but every 10]`:
    all others. The last two make a dev split of rows that are sorted by label, as IMDB's are.
    """

    name: str
    first: int = 0
    last: int | None = None
    step: int = 0
    but: bool = False

    @classmethod
    def parsed(cls, text: str) -> "Part":
        """Raises DataError."""
        found = _PART.fullmatch(text)
        if found is None or found["step"] in ("0", "1"):
            wanted = "train, train[200:], train[every 10] or train[but every 10]"
            raise DataError(f"found {text!r}, expected a split such as {wanted}")
        last = found["last"]
        return cls(
            found["name"],
            int(found["first"] or 0),
            int(last) if last else None,
            int(found["step"] or 0),
            bool(found["but"]),
        )

    def holds(self, number: int) -> bool:
        """Whether the row of this number, from 1, is among those between first and last."""
        return not self.step or (number % self.step == 0) != self.but


def card_streams(
    card: Card, split: Split, *, max_line_bytes: int, load_dataset: LoadDataset | None = None
) -> tuple[Part, list[Stream]]:
    """What to read for a split of a card, and which part of it. Raises DataError."""
    named: str = getattr(card.splits, split)
    if not named:
        have = [name for name in ("train", "dev", "test") if getattr(card.splits, name)]
        raise DataError(f"card {card.name}: has no split {split}; it has {', '.join(have)}.")
    try:
        part = Part.parsed(named)
    except DataError as error:
        raise DataError(f"card {card.name}: splits.{split}: {error}") from None
    if not card.path and not card.hub.path:
        raise DataError(
            f"card {card.name}: no hub data set serves these rows. Get them, and set its path. "
            f"{card.note}".strip()
        )
    if not card.path:
        return part, [_hub_stream(card, part.name, load_dataset)]
    found = _local_streams(card, split, part.name, max_line_bytes)
    return part, [_with_columns(s, card, max_line_bytes) for s in found]


def _local_streams(card: Card, split: Split, name: str, max_line_bytes: int) -> list[Stream]:
    path = card.path.replace("{split}", name)
    found, _ = streams(Source(path=path), name=card.name, max_line_bytes=max_line_bytes)
    if "{split}" in card.path:
        return found
    for wanted in (name, *_LIKE.get(name, ()), split):
        if mine := [stream for stream in found if _holds(stream, wanted)]:
            return mine
    if name == "train" and (mine := [s for s in found if not _holds_any(s, card)]):
        return mine  # a file that names no split is the training rows
    there = ", ".join(stream.label for stream in found[:5])
    raise DataError(
        f"card {card.name}: {card.path} has no file for split {name} ({split}); it has {there}. "
        "Name the files after their splits, or write {split} in the path where it stands."
    )


def _holds(stream: Stream, split: str) -> bool:
    """Whether the file's path says so: `validation.jsonl`, `test/0000.parquet`, `rte_test.tsv`."""
    stem = stream.label.rpartition(".")[0].lower() or stream.label.lower()
    return set(_WORDS.findall(split.lower())) <= set(_WORDS.findall(stem.replace("_", " ")))


def _holds_any(stream: Stream, card: Card) -> bool:
    named = [Part.parsed(text).name for text in _named(card)]
    return any(_holds(stream, word) for word in ("test", "dev", "validation", "valid", *named))


def _named(card: Card) -> list[str]:
    return [text for text in (card.splits.train, card.splits.dev, card.splits.test) if text]


def _hub_stream(card: Card, name: str, load_dataset: LoadDataset | None) -> Stream:
    """Streamed; nothing is fetched before the first row is asked for."""
    config = f":{card.hub.config}" if card.hub.config else ""
    label = f"{card.hub.path}{config}[{name}]"

    def rows() -> Iterator[Raw]:
        for number, values in enumerate(_hub_rows(card, name, load_dataset), 1):
            yield RawRow(f"{label}#{number}", dict(values))

    return Stream(label, rows, "hub")


def _hub_rows(
    card: Card, name: str, load_dataset: LoadDataset | None
) -> Iterator[Mapping[str, Any]]:
    hub = card.hub
    converted = hub.revision.startswith("refs/convert/")  # bare folders, one for each config
    try:
        yield from (load_dataset or _real_load_dataset())(
            hub.path,
            name=None if converted else hub.config or None,
            data_dir=(hub.config or "default") if converted else None,
            split=name,
            revision=hub.revision or None,
            streaming=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"card {card.name}: {hub.path} (config {hub.config or 'none'}, split {name}) cannot be "
            f"opened on the hub: {reason} Check the network; or download it and set "
            f"{card.name}.path to the folder."
        ) from error


def _real_load_dataset() -> LoadDataset:
    import datasets

    if not online():  # what was downloaded before may still do
        datasets.config.HF_HUB_OFFLINE = True
    load: LoadDataset = datasets.load_dataset
    return load


def _with_columns(stream: Stream, card: Card, max_line_bytes: int) -> Stream:
    """The file's cells under the card's column names, where the file has no line of names."""
    path, kind = stream.path, stream.kind
    if not card.columns or path is None or kind not in (".tsv", ".csv"):
        return stream

    def rows() -> Iterator[Raw]:
        for line in lines(path, max_bytes=max_line_bytes):
            if line.data.strip():
                where = f"{stream.label}:{line.number}"
                try:
                    yield _table_row(_cells(line.decoded(), kind), card, where)
                except BadRow as bad:
                    yield bad.dropped(card.name, where)

    return Stream(stream.label, rows, kind, path)


def _cells(text: str, kind: str) -> list[str]:
    if kind == ".tsv":
        return text.rstrip("\r\n").split("\t")
    return next(csv.reader([text]))


def _table_row(cells: Sequence[str], card: Card, where: str) -> Raw:
    if len(cells) != len(card.columns):
        detail = f"{len(cells)} cells for {len(card.columns)} columns"
        return Dropped(card.name, where, "wrong_columns", detail)
    return RawRow(where, dict(zip(card.columns, cells, strict=True)))


def part_of(part: Part, found: Sequence[Stream]) -> Iterator[tuple[int, Raw]]:
    """The part's rows, each with its number in the whole split, from 1."""
    rows = (raw for stream in found for raw in stream.rows())
    between = islice(enumerate(rows, 1), part.first, part.last)
    return ((number, raw) for number, raw in between if part.holds(number))


def is_local(card: Card) -> bool:
    """Whether the rows come from a file that is there."""
    return bool(card.path) and Path(card.path.partition("{split}")[0]).expanduser().exists()
