"""Windows of encoded samples -> what each rank does in each step, from any place in the run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from mmtune.config.recipe import Train
from mmtune.encoding.batches import Batch
from mmtune.encoding.schedule import Schedule, Step, noise_key, rows_of, share, split
from mmtune.encoding.store import TokenStore
from mmtune.errors import DataError
from mmtune.training.checkpoint import Progress
from mmtune.training.loop import StepInput

Windows = Callable[[int, int], Iterator[TokenStore]]
"""(epoch, first window) -> the epoch's windows from there on; a map-style set is one window."""

_FEW = 4
_FIRST_STEPS = 100
"""Of which a longest micro-batch, and one with two documents, is looked for"""

MakeBatch = Callable[[TokenStore, Sequence[int], Sequence[int], int | None], Batch]


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among all."""

    rank: int
    size: int


@dataclass(frozen=True, slots=True)
class Feed:
    """Everything that decides what a step trains on."""

    windows: Windows
    section: Train
    make_batch: MakeBatch
    pad_id: int | None
    ranks: Ranks
    streaming: bool = False
    """An epoch has many windows, and nobody knows how many"""
    pieces: int = 1
    """Parts that each micro-batch is run in, where one alone ran out of memory"""

    def schedule(self, store: TokenStore) -> Schedule:
        return Schedule(store.lengths, self.section.batch, self.section.batching, self.section.seed)


def total_steps(section: Train, schedule: Schedule | None) -> int:
    """Of the whole run; a stream, which has no schedule, must give `max_steps`."""
    return section.max_steps or (schedule.steps_of(section.epochs) if schedule else 0)


def step_inputs(
    feed: Feed, progress: Progress, last_step: int
) -> Iterator[tuple[StepInput, Progress, bool]]:
    """What this rank does next, where the run stands after it, and whether an epoch
    (a window, when streaming) ends there.

    Starts right after `progress`; earlier steps are computed past, never replayed.
    """
    step, epoch, window, start = progress.step, progress.epoch, progress.window, progress.index
    while step < last_step:
        before, fresh = step, window == start == 0
        for number, store in enumerate(feed.windows(epoch, window), window):
            schedule = feed.schedule(store)
            count = schedule.steps_in(epoch)
            for planned in schedule.steps(epoch, start):
                step += 1
                index = planned.index + 1
                # Of a stream, whole passes are all that can be told truly.
                position = float(epoch) if feed.streaming else epoch + index / count
                place = replace(progress, epoch=epoch, window=number, index=index)
                yield (
                    _input(feed, store, planned, step, position),
                    replace(place, step=step, position=position),
                    index == count,
                )
                if step == last_step:
                    return
            start = 0
        if fresh and step == before:
            raise DataError("there is nothing to train on: no source gave a usable row")
        epoch, window = epoch + 1, 0


def _input(feed: Feed, store: TokenStore, planned: Step, step: int, position: float) -> StepInput:
    planned = split(planned, store.lengths, feed.pieces)
    rows = share(planned, store.lengths, feed.ranks.rank, feed.ranks.size)
    samples = planned.samples
    return StepInput(
        step=step,
        epoch=position,
        batches=[_batch(feed, store, planned, row) for row in rows],
        num_targets=int(store.num_targets[samples].sum()),
        num_tokens=int(store.lengths[samples].sum()),
        num_slots=_slots(feed, store, planned),
        source_targets=targets_by_source(store, samples),
        example_ids=tuple(store.example_id(number) for number in samples.tolist()),
    )


def _batch(feed: Feed, store: TokenStore, planned: Step, row: np.ndarray | None) -> Batch:
    numbers = (planned.rows[0][:1] if row is None else row).tolist()
    keys = [
        noise_key(feed.section.seed, planned.epoch, store.example_id(number)) for number in numbers
    ]
    batch = feed.make_batch(store, numbers, keys, feed.pad_id)
    return batch.without_targets() if row is None else batch


def _slots(feed: Feed, store: TokenStore, planned: Step) -> int:
    lengths = store.lengths
    if feed.pad_id is None:
        return int(lengths[planned.samples].sum())
    return sum(int(lengths[row].max()) * len(row) for row in planned.rows)


def targets_by_source(store: TokenStore, samples: np.ndarray) -> dict[str, int]:
    """Tokens learnt among `samples`, by source name, every source named."""
    counts = np.bincount(
        store.source_numbers[samples],
        weights=store.num_targets[samples],
        minlength=len(store.sources),
    )
    return {name: int(count) for name, count in zip(store.sources, counts, strict=True)}


def fixed_batches(feed: Feed, store: TokenStore) -> Iterator[Batch]:
    """This rank's part of a whole store, in a fixed order; for measuring, not for learning."""
    rows = rows_of(store.lengths, feed.section.batching)
    everything = split(Step(0, 0, tuple(rows)), store.lengths, feed.pieces)
    for row in share(everything, store.lengths, feed.ranks.rank, feed.ranks.size):
        yield _batch(feed, store, everything, row)


def longest_batch(feed: Feed, store: TokenStore) -> Batch:
    """The micro-batch that needs most memory: of those of the first steps, and of one made of the
    longest samples."""
    lengths, section = store.lengths, feed.section
    chosen = np.argsort(-lengths, kind="stable")
    if section.batch.kind == "examples":
        chosen = chosen[: section.batch.count]
    rows = tuple(chosen[row] for row in rows_of(lengths[chosen], section.batching))
    steps = [Step(0, 0, rows), *islice(feed.schedule(store).steps(0), _FIRST_STEPS)]

    def slots(row: np.ndarray) -> tuple[int, int]:
        whole = lengths[row].sum() if feed.pad_id is None else lengths[row].max() * len(row)
        return int(whole), int((lengths[row] ** 2).sum())

    every = [row for step in steps for row in split(step, lengths, feed.pieces).rows]
    return _batch(feed, store, steps[0], max(every, key=slots))


def first_batch(feed: Feed, store: TokenStore) -> tuple[Batch, list[Batch]] | None:
    """A micro-batch of the first step that holds two documents or more (that with the fewest, and
    no more than four of them); and each of them alone. None where no micro-batch holds two."""
    for planned in islice(feed.schedule(store).steps(0), _FIRST_STEPS):
        rows = [row for row in split(planned, store.lengths, feed.pieces).rows if len(row) > 1]
        if rows:
            row = min(rows, key=len)[:_FEW]
            alone = [_batch(feed, store, planned, row[n : n + 1]) for n in range(len(row))]
            return _batch(feed, store, planned, row), alone
    return None
