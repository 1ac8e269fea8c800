"""The schedule is a pure function: any place of any epoch can be computed, on any rank."""

import numpy as np
import pytest

from mmtune.config.recipe import Batching, ExamplesBatch, RowsBatch
from mmtune.encoding.schedule import Schedule, Step, noise_key, rows_of, share

LENGTHS = np.random.default_rng(0).integers(3, 60, 101)
BATCHINGS = [Batching(kind=kind, row_tokens=64) for kind in ("packed", "padded", "length_grouped")]
BATCHES = [ExamplesBatch(kind="examples", count=8), RowsBatch(kind="rows", count=4)]


def schedule(batch, batching, seed: int = 5) -> Schedule:  # type: ignore[no-untyped-def]
    return Schedule(LENGTHS, batch, batching, seed)


def same(one: Step, two: Step) -> bool:
    return (one.epoch, one.index) == (two.epoch, two.index) and all(
        np.array_equal(a, b) for a, b in zip(one.rows, two.rows, strict=True)
    )


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("batch", BATCHES)
class TestSchedule:
    def test_an_epoch_has_every_sample_once(self, batch, batching) -> None:  # type: ignore[no-untyped-def]
        for epoch in range(3):
            steps = list(schedule(batch, batching).steps(epoch))
            seen = np.concatenate([step.samples for step in steps])
            assert sorted(seen.tolist()) == list(range(len(LENGTHS)))
            assert [step.index for step in steps] == list(range(len(steps)))
            assert len(steps) == schedule(batch, batching).steps_in(epoch)

    def test_steps_from_any_start_are_those_of_the_whole(self, batch, batching) -> None:  # type: ignore[no-untyped-def]
        whole = list(schedule(batch, batching).steps(1))
        for start in range(len(whole) + 1):
            rest = list(schedule(batch, batching).steps(1, start))
            assert len(rest) == len(whole) - start
            assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))

    def test_epochs_and_seeds_have_orders_of_their_own(self, batch, batching) -> None:  # type: ignore[no-untyped-def]
        first = next(schedule(batch, batching).steps(0)).samples.tolist()
        assert first != next(schedule(batch, batching).steps(1)).samples.tolist()
        assert first != next(schedule(batch, batching, seed=6).steps(0)).samples.tolist()

    def test_rows_keep_the_budget_of_tokens(self, batch, batching) -> None:  # type: ignore[no-untyped-def]
        for step in schedule(batch, batching).steps(0):
            for row in step.rows:
                lengths = LENGTHS[row]
                packed = batching.kind == "packed"
                assert (lengths.sum() if packed else lengths.max() * len(row)) <= 64

    def test_ranks_share_the_whole_step_in_equal_counts(self, batch, batching) -> None:  # type: ignore[no-untyped-def]
        for ranks in (1, 2, 3, 7):
            for step in schedule(batch, batching).steps(0):
                hands = [share(step, LENGTHS, rank, ranks) for rank in range(ranks)]
                assert len({len(hand) for hand in hands}) == 1
                rows = [row.tolist() for hand in hands for row in hand if row is not None]
                assert sorted(rows) == sorted(row.tolist() for row in step.rows)
                spare = sum(row is None for hand in hands for row in hand)
                assert spare < ranks


def test_a_step_of_examples_has_the_count_and_only_the_last_is_smaller() -> None:
    steps = list(schedule(BATCHES[0], BATCHINGS[0]).steps(0))
    assert [len(step.samples) for step in steps] == [8] * 12 + [5]
    assert len(steps) == 13


def test_length_grouped_rows_pad_less_than_padded_ones() -> None:
    def slots(batching: Batching) -> int:
        return sum(int(LENGTHS[row].max()) * len(row) for row in rows_of(LENGTHS, batching))

    assert slots(BATCHINGS[2]) < slots(BATCHINGS[1])


def test_a_noise_key_is_of_seed_epoch_and_example_alone() -> None:
    keys = {
        noise_key(seed, epoch, name)
        for seed in range(3)
        for epoch in range(3)
        for name in ("a", "b", "1/a")
    }
    assert len(keys) == 27 and all(0 <= key < 2**63 for key in keys)
    assert noise_key(0, 0, "a") == noise_key(0, 0, "a")


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("epochs", [1.0, 3.0, 2.5, 0.25])
def test_the_steps_of_a_run_cover_its_epochs(batch, batching, epochs: float) -> None:  # type: ignore[no-untyped-def]
    plan = schedule(batch, batching)
    whole = sum(plan.steps_in(epoch) for epoch in range(int(epochs)))
    rest = (epochs - int(epochs)) * plan.steps_in(int(epochs))
    assert whole + rest <= plan.steps_of(epochs) < whole + rest + 1
