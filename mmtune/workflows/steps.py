"""Windows of encoded samples -> what each rank does in each step, from any place in the run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmtune.config.recipe import Train
from mmtune.encoding.batches import Batch
from mmtune.encoding.schedule import Schedule, Step, noise_key, rows_of, share
from mmtune.encoding.store import TokenStore
from mmtune.errors import DataError
from mmtune.training.checkpoint import Progress
from mmtune.training.loop import StepInput

Windows = Callable[[int, int], Iterator[TokenStore]]
"""(epoch, first window) -> the epoch's windows from there on; a map-style set is one window."""

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
                position = epoch + index / count
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
    everything = Step(0, 0, tuple(rows))
    for row in share(everything, store.lengths, feed.ranks.rank, feed.ranks.size):
        yield _batch(feed, store, everything, row)
