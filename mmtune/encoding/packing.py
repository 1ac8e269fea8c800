"""Which samples share a micro-batch: integers in, integers out."""

from collections.abc import Sequence

import numpy as np

Numbers = np.ndarray


def best_fit_decreasing(lengths: Numbers, capacity: int) -> list[Numbers]:
    """Pack samples into rows of `capacity` tokens, longest first, each into the tightest room.

    Works on the histogram of lengths: equal lengths are placed together, so that the cost is one
    sort plus the number of (length, room) pairs met, not one search per sample.

    Args:
        lengths: int [samples], tokens of each; between 1 and `capacity`.
        capacity: tokens of a row.

    Returns:
        The sample numbers of each row. Among equal lengths the earlier sample is placed first.

    >>> [row.tolist() for row in best_fit_decreasing(np.array([3, 5, 2]), 5)]
    [[1], [0, 2]]
    """
    _check_lengths(lengths, capacity)
    order = np.argsort(-lengths, kind="stable")
    rows = np.empty(len(lengths), dtype=np.int64)
    rooms = _Rooms(capacity)
    start = 0
    for length, count in _descending_histogram(lengths):
        placed = 0
        while placed < count:
            some = rooms.place(length, count - placed)
            rows[order[start + placed : start + placed + len(some)]] = some
            placed += len(some)
        start += count
    return _grouped(rows, order, rooms.opened)


def group_padded(lengths: Numbers, row_tokens: int) -> list[Numbers]:
    """Cut samples, in the order given, into groups whose padded size stays within `row_tokens`.

    >>> [group.tolist() for group in group_padded(np.array([2, 3, 4, 1]), 8)]
    [[0, 1], [2, 3]]
    """
    _check_lengths(lengths, row_tokens)
    groups: list[Numbers] = []
    start, longest = 0, 0
    for number, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if longest * (number - start + 1) > row_tokens:
            groups.append(np.arange(start, number))
            start, longest = number, length
    if len(lengths) > start:
        groups.append(np.arange(start, len(lengths)))
    return groups


def deal(loads: Sequence[int], ranks: int) -> list[list[int]]:
    """Deal rows to ranks so that their loads are near: the heaviest first, to the rank that has
    fewest rows and then the least load. Every rank has as many rows as any other, or one fewer.

    >>> deal([5, 9, 1, 7], 2)
    [[1, 2], [3, 0]]
    """
    hands: list[list[int]] = [[] for _ in range(ranks)]
    held = [0] * ranks
    for row in sorted(range(len(loads)), key=lambda number: (-loads[number], number)):
        rank = min(range(ranks), key=lambda r: (len(hands[r]), held[r], r))
        hands[rank].append(row)
        held[rank] += loads[row]
    return hands


class _Rooms:
    """Open rows by the room left in them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.opened = 0
        self._rows: dict[int, list[Numbers]] = {}
        # Bit r is set when some row has room r: the tightest fit is one shift and one bit trick.
        self._bits = 0

    def place(self, length: int, count: int) -> Numbers:
        """Row of each of up to `count` samples of `length`, all from rows with equal room."""
        above = self._bits >> length
        if not above:
            return self._place_in_new_rows(length, count)
        room = length + (above & -above).bit_length() - 1
        rows = self._take(room)
        each = room // length
        needed = -(-count // each)
        if needed < len(rows):
            self._put(room, rows[needed:])
            rows = rows[:needed]
        return self._fill(rows, room, length, min(count, each * len(rows)))

    def _place_in_new_rows(self, length: int, count: int) -> Numbers:
        needed = -(-count // (self.capacity // length))
        rows = np.arange(self.opened, self.opened + needed)
        self.opened += needed
        return self._fill(rows, self.capacity, length, count)

    def _fill(self, rows: Numbers, room: int, length: int, count: int) -> Numbers:
        each = room // length
        full = count // each
        self._put(room - each * length, rows[:full])
        self._put(room - (count - full * each) * length, rows[full:])
        return np.repeat(rows, each)[:count]

    def _take(self, room: int) -> Numbers:
        self._bits &= ~(1 << room)
        return np.concatenate(self._rows.pop(room))

    def _put(self, room: int, rows: Numbers) -> None:
        if room and len(rows):
            self._rows.setdefault(room, []).append(rows)
            self._bits |= 1 << room


def _descending_histogram(lengths: Numbers) -> list[tuple[int, int]]:
    values, counts = np.unique(lengths, return_counts=True)
    return list(zip(values[::-1].tolist(), counts[::-1].tolist(), strict=True))


def _grouped(rows: Numbers, order: Numbers, num_rows: int) -> list[Numbers]:
    """Sample numbers by row, the longest of each row first."""
    by_row = order[np.argsort(rows[order], kind="stable")]
    ends = np.cumsum(np.bincount(rows, minlength=num_rows))
    return np.split(by_row, ends[:-1]) if num_rows else []


def _check_lengths(lengths: Numbers, capacity: int) -> None:
    if len(lengths) and (lengths.min() < 1 or lengths.max() > capacity):
        worst = int(np.argmax((lengths < 1) | (lengths > capacity)))
        raise ValueError(f"sample {worst} has {lengths[worst]} tokens, rows hold 1 to {capacity}")
