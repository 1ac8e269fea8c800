"""No more than so many examples of a card: its first ones, or some from all over it."""

import heapq
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from mmtune.types import Dropped, Example


def capped(
    rows: Iterable[Example | Dropped], cap: int, *, spread: bool
) -> Iterator[Example | Dropped]:
    """The rows until `cap` of them were examples; where `spread`, that many from all over.

    FLAN's code takes the first ones of data sets that were shuffled when they were packed. Rows
    that lie sorted by label would then be of one label only: of these all are read, and those with
    the smallest hash of their id are kept (in memory, until the last row), in the rows' order.
    """
    return _spread(rows, cap) if spread else _first(rows, cap)


def _first(rows: Iterable[Example | Dropped], cap: int) -> Iterator[Example | Dropped]:
    for row in rows:
        yield row
        cap -= isinstance(row, Example)
        if cap <= 0:
            return


def _spread(rows: Iterable[Example | Dropped], cap: int) -> Iterator[Example | Dropped]:
    kept: list[tuple[int, int, Example]] = []
    for number, row in enumerate(rows):
        if isinstance(row, Dropped):
            yield row
            continue
        entry = (-_draw(row.id), number, row)  # a heap's first is its smallest: the worst here
        if len(kept) < cap:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    yield from (row for _, _, row in sorted(kept, key=lambda entry: entry[1]))


def _draw(row_id: str) -> int:
    digest = blake2b(row_id.encode(errors="surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
