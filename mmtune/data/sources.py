"""A recipe's Source -> Examples, in file order, each row either an Example or Dropped."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from mmtune.config.recipe import Source
from mmtune.data.files import Stream, streams
from mmtune.data.layouts import Inference, infer
from mmtune.data.raw import Raw, RawRow
from mmtune.data.reasons import BadRow
from mmtune.data.refusals import check_row
from mmtune.data.rows import row_content
from mmtune.errors import DataError
from mmtune.types import Dropped, Example

_FIRST_ROWS = 20
_FIRST_TRIES = 1000
_OWN_IDS = ("id", "uid", "uuid", "prompt_id", "question_id")
_RUNNING = re.compile(r"row-\d+")
_MAX_ID_CHARS = 200


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source whose files were found and whose columns are understood."""

    name: str
    source: Source
    inference: Inference
    streams: tuple[Stream, ...]
    inferences: tuple[Inference, ...]
    """Of each stream: the same layout, though columns may differ."""
    max_field_chars: int
    skipped: tuple[str, ...] = ()
    """What its folder holds that is not read."""

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(stream.label for stream in self.streams)

    def described(self) -> str:
        """To be printed: `lima: 1 file, read as conversations: columns conversations`."""
        count = f"{len(self.streams)} files" if len(self.streams) > 1 else self.streams[0].label
        skipped = f"; not read: {', '.join(self.skipped)}" if self.skipped else ""
        return f"{self.name}: {count}, {self.inference.because}{skipped}"


def open_sources(sources: Sequence[Source], *, max_field_chars: int) -> list[OpenedSource]:
    """All sources, or one DataError with the faults of all of them."""
    opened: list[OpenedSource] = []
    faults: list[str] = []
    for source in sources:
        try:
            opened.append(open_source(source, max_field_chars=max_field_chars))
        except DataError as error:
            faults += error.faults
    names = [source_name(source) for source in sources]
    faults += [
        f"two sources are called {name!r}. Give one of them another `name`."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if faults:
        raise DataError(*faults)
    return opened


def open_source(source: Source, *, max_field_chars: int) -> OpenedSource:
    """Find the files of a source and infer its layout from their first rows.

    Raises DataError where there are no rows, or rows that no layout fits.
    """
    name = source_name(source)
    line_bytes = max(1 << 20, 8 * max_field_chars)  # room for escapes and several fields
    found, skipped = streams(source, name=name, max_line_bytes=line_bytes)
    inferences: list[Inference] = []
    faults: list[str] = []
    for stream in found:
        try:
            inferences.append(_inferred(stream, source))
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(*faults)
    _check_same_layout(name, found, inferences)
    return OpenedSource(
        name,
        source,
        inferences[0],
        tuple(found),
        tuple(inferences),
        max_field_chars,
        tuple(skipped),
    )


def source_name(source: Source) -> str:
    """How reports call a source: its `name`, or the last part of its path."""
    return source.name or source.path.rstrip("/").rpartition("/")[2].removeprefix("pocket:")


def examples(opened: OpenedSource) -> Iterator[Example | Dropped]:
    """Every row of the source, once and in order: an Example, or Dropped with its reason.

    An example's id is `<source>/<the row's own id>`, or `<source>/row-<n>` where the row has none,
    or one that another row had before it; `n` counts all rows of the source from 1, bad ones too.
    """
    seen: set[int] = set()
    for number, (raw, inference) in enumerate(_limited(opened), 1):
        if isinstance(raw, Dropped):
            yield raw
            continue
        try:
            yield _example(raw, inference, opened, _row_id(raw.values, number, seen))
        except BadRow as bad:
            yield bad.dropped(opened.name, raw.where)


def _limited(opened: OpenedSource) -> Iterator[tuple[Raw, Inference]]:
    pairs = zip(opened.streams, opened.inferences, strict=True)
    rows = chain.from_iterable(
        ((raw, inference) for raw in stream.rows()) for stream, inference in pairs
    )
    return islice(rows, opened.source.max_rows or None)


def _example(raw: RawRow, inference: Inference, opened: OpenedSource, row_id: str) -> Example:
    check_row(raw.values, stated=_is_stated(opened.source))
    task, fields, turns = row_content(raw.values, inference, max_chars=opened.max_field_chars)
    return Example(
        id=f"{opened.name}/{row_id}",
        source=opened.name,
        task=task,
        fields=fields,
        turns=turns,
        where=raw.where,
    )


def _row_id(values: Mapping[str, Any], number: int, seen: set[int]) -> str:
    """The row's own id where it has a usable one that is new; hashes keep `seen` small."""
    own = next((values[name] for name in _OWN_IDS if name in values), None)
    text = str(own) if isinstance(own, (str, int)) and not isinstance(own, bool) else ""
    usable = 0 < len(text) <= _MAX_ID_CHARS and text.isprintable() and not _RUNNING.fullmatch(text)
    if not usable:
        return f"row-{number}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    if key in seen:
        return f"row-{number}"
    seen.add(key)
    return text


def _is_stated(source: Source) -> bool:
    return source.format != "auto" or bool(source.fields)


def _inferred(stream: Stream, source: Source) -> Inference:
    rows: list[Mapping[str, Any]] = []
    first_bad: Dropped | None = None
    for raw in islice(stream.rows(), _FIRST_TRIES):
        if isinstance(raw, RawRow):
            rows.append(raw.values)
        elif first_bad is None:
            first_bad = raw
        if len(rows) == _FIRST_ROWS:
            break
    if not rows:
        found = (
            f"the first is {first_bad.where}: {first_bad.detail}" if first_bad else "it is empty"
        )
        raise DataError(f"{stream.label}: no row that can be read; {found}.")
    return infer(rows, source, label=stream.label)


def _check_same_layout(name: str, found: Sequence[Stream], inferences: Sequence[Inference]) -> None:
    for stream, inference in zip(found, inferences, strict=True):
        if inference.layout != inferences[0].layout:
            raise DataError(
                f"{name}: {found[0].label} is {inferences[0].layout}, {stream.label} is "
                f"{inference.layout}. Make them two sources."
            )
