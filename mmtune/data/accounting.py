"""Every row accounted for: counts per source and reason, the limit on bad rows, the ledger."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmtune.data.reasons import ON_PURPOSE
from mmtune.errors import DataError
from mmtune.types import Dropped, Example

_PLACES = 3
_DETAIL_CHARS = 200

Note = Callable[[Dropped], object]
"""Takes a row that is left out."""


@dataclass(slots=True)
class RowCounts:
    """A source's rows as they are read: `seen == kept + dropped` at any time."""

    source: str
    kept: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    first_dropped: list[Dropped] = field(default_factory=list)
    unanswered: int = 0
    """Kept dialogues whose last turn is the user's: that turn is not learnt."""
    cut: int = 0
    """Rows that are kept, but lost their end to the limit on tokens."""
    tokens_lost: int = 0
    """Of the rows that were cut, and of those that were dropped because they were too long."""

    @property
    def dropped(self) -> int:
        return self.by_reason.total()

    @property
    def bad(self) -> int:
        """Of those that were dropped, all that a card does not leave out on purpose."""
        return self.dropped - sum(self.by_reason[reason] for reason in ON_PURPOSE)

    @property
    def seen(self) -> int:
        return self.kept + self.dropped

    def add(self, row: Example | Dropped) -> None:
        """Count one row."""
        if isinstance(row, Dropped):
            self.by_reason[row.reason] += 1
            if len(self.first_dropped) < _PLACES and row.reason not in ON_PURPOSE:
                self.first_dropped.append(row)
            return
        self.kept += 1
        self.unanswered += bool(row.turns) and row.turns[-1].role == "user"

    def reject(self, dropped: Dropped) -> None:
        """A row that was counted as kept proves unusable later on (too many tokens, say)."""
        self.kept -= 1
        self.add(dropped)

    def described(self) -> str:
        """One line: `alpaca: 22,071 rows: 22,061 kept, 10 dropped (10 empty_answer)`."""
        line = f"{self.source}: {self.seen:,} rows: {self.kept:,} kept, {self.dropped:,} dropped"
        if self.by_reason:
            line += f" ({_reasons(self.by_reason)})"
        if self.cut:
            line += f"; {self.cut:,} cut short"
        if self.tokens_lost:
            line += f"; {self.tokens_lost:,} tokens lost to the limit"
        if self.unanswered:
            line += f"; {self.unanswered:,} end with a user turn, which is left off"
        return line


def counted(rows: Iterable[Example | Dropped], counts: RowCounts) -> Iterator[Example | Dropped]:
    """The same rows, each counted as it passes."""
    for row in rows:
        counts.add(row)
        yield row


def check_bad_rows(counts: Iterable[RowCounts], max_fraction: float) -> None:
    """Raises DataError with one message for each source that has no usable row, or of whose rows
    more than `max_fraction` (0 to 1) are unusable; where that is not 0, one row always may be.
    Rows that a card leaves out on purpose are not unusable."""
    faults = [
        _fault(source, max_fraction)
        for source in counts
        if not source.kept or source.bad > _allowed(source, max_fraction)
    ]
    if faults:
        raise DataError(*faults)


def _allowed(counts: RowCounts, max_fraction: float) -> float:
    meant = counts.kept + counts.bad
    return max(1.0, max_fraction * meant) if max_fraction else 0.0


@contextmanager
def ledger(path: Path | None, *, window: int | None = None) -> Iterator[Note]:
    """What is given to takes rows that are left out, and writes each as it comes: one JSON object
    a line (source, where, reason, detail). None of them stays in memory.

    They are written aside and put in place, whole and on disk, when the block ends without an
    error: then they replace what an earlier start wrote there. Of a stream, which writes window
    after window, they replace that window's lines only, each of which names its `window`. Where
    nothing at all was left out there is no file.
    """
    if path is None:
        yield nowhere
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    head = {} if window is None else {"window": window}
    try:
        with aside.open("w", encoding="utf-8") as handle:
            handle.writelines(() if window is None else _of_other_windows(path, window))
            yield lambda dropped: handle.write(f"{json.dumps(head | _entry(dropped))}\n")
            handle.flush()
            os.fsync(handle.fileno())
        if aside.stat().st_size:
            os.replace(aside, path)
        else:
            path.unlink(missing_ok=True)
    finally:
        aside.unlink(missing_ok=True)


def nowhere(_dropped: Dropped) -> None:
    """For rows that nobody wants to read of."""


def _of_other_windows(path: Path, window: int) -> Iterator[str]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            if line.startswith(_start(None)) and not line.startswith(_start(window)):
                yield line


def _start(window: int | None) -> str:
    """How the lines of a window begin, or of any: told without parsing them."""
    return '{"window": ' if window is None else f'{{"window": {window}, '


def _entry(item: Dropped) -> dict[str, str]:
    detail = item.detail
    if len(detail) > _DETAIL_CHARS:
        detail = detail[:_DETAIL_CHARS] + "..."
    return {
        "source": item.source,
        "where": item.where,
        "reason": item.reason,
        "detail": detail,
    }


def _fault(counts: RowCounts, max_fraction: float) -> str:
    if not counts.seen:
        return f"{counts.source}: has no rows."
    if not counts.bad and not counts.kept:
        left_out = _reasons(counts.by_reason)
        return (
            f"{counts.source}: its card leaves all rows out ({left_out}); see its keep and label."
        )
    places = "; ".join(f"{d.where} {d.reason}: {_entry(d)['detail']}" for d in counts.first_dropped)
    return (
        f"{counts.source}: {counts.bad:,} of {counts.kept + counts.bad:,} rows cannot be used "
        f"({_reasons(counts.by_reason)}), more than data.max_bad_rows_fraction ({max_fraction:g}) "
        f"allows. The first: {places}. {_advice(counts)}"
    )


def _advice(counts: RowCounts) -> str:
    advice = "Mend the rows, or raise the fraction to leave them out."
    if counts.by_reason["overlong"]:
        advice = f"Raise data.max_tokens or set data.overlong to truncate. {advice}"
    return advice


def _reasons(by_reason: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in by_reason.most_common())
