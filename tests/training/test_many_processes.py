"""Several processes do what one does, end together, and go on in any other number.

Steps of 5 examples in rows of 48 tokens give odd numbers of rows, so that ranks run out of them;
the last step of an epoch has a single one. Residual dropout and NEFTune are on. Most runs are forks
joined over gloo; two go through `accelerate launch`, whose agent sends signals of its own.
"""

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from many_ranks import Plant, distance_learnt, in_forks, launch, ranks_of
from tiny_runs import (
    all_metrics,
    make_model,
    make_rows,
    metrics,
    status,
    weights_hash,
    write_recipe,
)

from mmtune.errors import ModelError
from mmtune.families import text
from mmtune.objectives.next_token import next_token
from mmtune.training import checkpoint_writer, loop, ranks
from mmtune.training.checkpoint_files import saved_steps
from mmtune.training.tracking import write_status
from mmtune.workflows import session, train

pytestmark = pytest.mark.slow

STEPS = 10
"""21 rows in steps of 5, two epochs"""


class Setting:
    """A model, rows, and the uninterrupted runs over them on 1, 2 and 4 processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = make_model(folder / "model")
        self.rows = make_rows(folder / "rows.jsonl", 21)
        self.whole = {n: self.recipe(f"whole {n}").parent / "run" for n in (1, 2, 4)}
        for count, run in self.whole.items():
            recipe = run.parent / "recipe.yaml"
            assert in_forks(count, recipe, plant=record(run.parent)) == [0] * count

    def recipe(self, name: str, **changes: Any) -> Path:
        settings: dict[str, Any] = {
            "data__max_tokens": 48,
            "model__residual_dropout": 0.3,
            "train__neftune_alpha": 5.0,
            "train__batch": {"kind": "examples", "count": 5},
            "train__batching": {"kind": "packed", "row_tokens": 48},
            "train__learning_rate": 1e-3,
        }
        return write_recipe(self.folder / name, self.model, self.rows, **settings | changes)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("many"))


def at_each_micro_batch(action: Any) -> None:
    """`action(step, batch)` just before a micro-batch is run."""
    real = loop._seed_dropout

    def watched(seed: int, step: int, batch: Any) -> None:
        action(step, batch)
        real(seed, step, batch)

    pytest.MonkeyPatch().setattr(loop, "_seed_dropout", watched)


def record(folder: Path) -> Plant:
    """Write down what each rank really trains on."""

    def plant(_rank: int) -> None:
        def note(step: int, batch: Any) -> None:
            line = json.dumps([step, batch.example_ids if batch.num_targets else []]) + "\n"
            with open(folder / "seen.jsonl", "a") as file:
                file.write(line)

        at_each_micro_batch(note)

    return plant


def seen(folder: Path) -> dict[int, list[str]]:
    """Step -> the ids of all ranks, in order of their names."""
    found: dict[int, list[str]] = {}
    for line in (folder / "seen.jsonl").read_text().splitlines():
        step, ids = json.loads(line)
        found.setdefault(step, []).extend(ids)
    return {step: sorted(ids) for step, ids in sorted(found.items())}


def idle_batches(folder: Path) -> int:
    return sum(not json.loads(line)[1] for line in (folder / "seen.jsonl").read_text().splitlines())


def send(number: int, step: int, *victims: int) -> Plant:
    """The signal, in the midst of a step, to some of the ranks."""

    def plant(rank: int) -> None:
        sent: list[int] = []

        def kill(now: int, _batch: Any) -> None:
            if now == step and rank in victims and not sent:
                sent.append(now)
                os.kill(os.getpid(), number)

        at_each_micro_batch(kill)

    return plant


def both(one: Plant, other: Plant) -> Plant:
    def plant(rank: int) -> None:
        one(rank)
        other(rank)

    return plant


# The same gradients, the same order.


@pytest.mark.parametrize("count", [2, 4])
def test_the_gradients_of_many_processes_are_those_of_one(setting: Setting, count: int) -> None:
    one, many = setting.whole[1], setting.whole[count]
    assert seen(many.parent) == seen(one.parent)
    assert idle_batches(many.parent) and not idle_batches(one.parent)
    for key in ("loss", "grad_norm"):
        wanted = pytest.approx([row[key] for row in metrics(one)], rel=2e-6)
        assert [row[key] for row in metrics(many)] == wanted, key
    for key in ("step", "lr", "num_targets", "padding_fraction", "epoch"):
        assert [row[key] for row in metrics(many)] == [row[key] for row in metrics(one)], key
    assert distance_learnt(many, one, setting.model) < 1e-5


def test_a_run_goes_on_with_other_numbers_of_processes(setting: Setting) -> None:
    """1, then 2, then 4, then 1 again, each stopped by a signal to its last rank alone."""
    recipe = setting.recipe("changing")
    folder, run = recipe.parent, recipe.parent / "run"
    for count, step in ((1, 2), (2, 5), (4, 7)):
        plant = both(record(folder), send(signal.SIGTERM, step, count - 1))
        assert in_forks(count, recipe, "train.resume=auto", plant=plant) == [75] * count
        assert f"after step {step}" in status(run)["note"]
        assert metrics(run)[-1]["step"] == step
    assert in_forks(1, recipe, "train.resume=auto", plant=record(folder)) == [0]
    whole = setting.whole[1]
    assert seen(folder) == seen(whole.parent)
    assert [len(ids) for ids in seen(folder).values()] == [5, 5, 5, 5, 1] * 2
    losses = [row["loss"] for row in metrics(run)]
    assert losses == pytest.approx([row["loss"] for row in metrics(whole)], rel=2e-6)
    assert distance_learnt(run, whole, setting.model) < 1e-5


def test_checkpoints_of_many_processes_hold_what_those_of_one_hold(setting: Setting) -> None:
    states = []
    for run in setting.whole.values():
        last = run / "checkpoints" / f"step-{STEPS}"
        state = json.loads((last / "state.json").read_text())
        state["progress"].pop("recent_losses")  # equal but for float noise
        sizes = {path.name: path.stat().st_size for path in last.glob("*.safetensors")}
        states.append((state, sizes))
    assert states[0] == states[1] == states[2]


def test_stopped_on_all_ranks_and_gone_on_to_the_same_bits(setting: Setting) -> None:
    recipe = setting.recipe("stopped")
    stop = both(send(signal.SIGTERM, 3, 0, 1), signalled_again_at_the_end)
    assert in_forks(2, recipe, plant=stop) == [75, 75]
    assert status(recipe.parent / "run")["state"] == "interrupted"
    assert in_forks(2, recipe, "train.resume=auto", plant=send(signal.SIGINT, 7, 0)) == [130, 130]
    assert in_forks(2, recipe, "train.resume=auto") == [0, 0]
    run = recipe.parent / "run"
    assert weights_hash(run) == weights_hash(setting.whole[2])
    assert [r["loss"] for r in metrics(run)] == [r["loss"] for r in metrics(setting.whole[2])]


def signalled_again_at_the_end(_rank: int) -> None:
    """As by the launcher, when another rank is gone already."""

    def write(folder: Path, state: str, **more: object) -> None:
        if state == "interrupted":
            os.kill(os.getpid(), signal.SIGTERM)
        write_status(folder, state, **more)

    pytest.MonkeyPatch().setattr(train, "write_status", write)


# A rank that is gone.


@pytest.fixture
def launched(setting: Setting, request: pytest.FixtureRequest) -> Iterator[tuple[Any, Path]]:
    """A run without end under `accelerate launch`, some steps past its first checkpoint."""
    recipe = setting.recipe(
        request.node.name, train__epochs=9000, train__save_every_steps=4, train__keep_last=2
    )
    process, run = launch(2, recipe), recipe.parent / "run"
    try:
        deadline = time.monotonic() + 90
        while not (run / "metrics.jsonl").exists() or len(all_metrics(run)) < 6:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.05)
        yield process, run
    finally:
        for pid in [*ranks_of(process).values(), process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def test_when_a_rank_is_killed_the_others_end_soon_and_say_so(launched: tuple[Any, Path]) -> None:
    process, run = launched
    pids = ranks_of(process)
    began = time.monotonic()
    os.kill(pids[1], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 15  # the launcher's own patience is 30 s
    assert process.returncode == 1
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]
    assert "Connection" not in err and "gloo" not in err
    assert_told_of(1, pids[1], run, err)


def assert_told_of(rank: int, pid: int, run: Path, err: str) -> None:
    newest = saved_steps(run / "checkpoints")[-1]
    told = f"rank {rank} (process {pid}) has ended"
    way_on = f"newest checkpoint is of step {newest}; run the same command with train.resume=auto"
    assert told in err and way_on in err, err
    assert status(run)["state"] == "failed"
    assert told in status(run)["note"] and way_on in status(run)["note"]


def test_when_the_first_rank_is_killed_another_writes_the_status(
    setting: Setting, capfd: Any
) -> None:
    recipe = setting.recipe("first killed", train__save_every_steps=2)
    kill = send(signal.SIGKILL, 6, 0)  # one save after the first, which is on the disk so
    assert in_forks(4, recipe, plant=kill) == [-signal.SIGKILL, 1, 1, 1]
    run = recipe.parent / "run"
    told = capfd.readouterr().err
    assert_told_of(0, int(told.split("rank 0 (process ")[1].split(")")[0]), run, told)
    assert in_forks(4, recipe, "train.resume=auto") == [0] * 4
    assert weights_hash(run) == weights_hash(setting.whole[4])


def test_a_signal_to_the_launcher_and_its_ranks_is_one_request(launched: tuple[Any, Path]) -> None:
    """As Ctrl-C at a terminal, or a scheduler that means a whole job: the ranks get it twice, from
    whoever sent it and from their launcher."""
    process, run = launched
    for pid in [*ranks_of(process).values(), process.pid]:
        os.kill(pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" in err  # the launcher's own
    assert "[rank1]: Traceback" not in err and "[rank0]: Traceback" not in err
    step = metrics(run)[-1]["step"]
    assert status(run)["state"] == "interrupted" and f"after step {step}" in status(run)["note"]
    assert (run / "checkpoints" / f"step-{step}").is_dir()


@pytest.mark.parametrize("busy", ["in its step", "with a checkpoint"])
def test_a_rank_that_does_not_notice_is_ended_by_its_watch(
    setting: Setting, busy: str, capfd: Any
) -> None:
    """It computes, waits in a collective that never fails, or writes."""
    recipe = setting.recipe(f"busy {busy}", train__save_every_steps=2)

    def plant(rank: int) -> None:
        patch = pytest.MonkeyPatch()
        patch.setattr(ranks, "GRACE_S", 0.5)
        if rank == 1:
            send(signal.SIGKILL, 4, 1)(1)
        elif busy == "in its step":
            at_each_micro_batch(lambda step, _: time.sleep(60 if step == 4 else 0))
        else:
            patch.setattr(checkpoint_writer, "write_snapshot", lambda *_: time.sleep(60))

    began = time.monotonic()
    assert in_forks(2, recipe, plant=plant) == [1, -signal.SIGKILL]
    assert time.monotonic() - began < 30
    run = recipe.parent / "run"
    assert status(run)["state"] == "failed" and "rank 1 (process" in status(run)["note"]
    told = capfd.readouterr().err
    assert "[rank 0] rank 1 (process" in told and "train.resume=auto" in told


# Faults of one rank.


def with_objective(rank_meant: int, objective: Any) -> Plant:
    def plant(rank: int) -> None:
        if rank == rank_meant:
            pytest.MonkeyPatch().setattr(text, "next_token", objective)

    return plant


def test_out_of_memory_on_one_rank_halves_the_micro_batches_of_all(setting: Setting) -> None:

    def greedy(model: Any, batch: Any) -> torch.Tensor:
        if batch.ids.numel() > 60:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return next_token(model, batch)

    packed = {"kind": "packed", "row_tokens": 80}
    recipe = setting.recipe("one halves", train__max_steps=2, train__batching=packed)
    assert in_forks(2, recipe, plant=with_objective(1, greedy)) == [0, 0]
    rows = all_metrics(recipe.parent / "run")
    assert [row["micro_batch_pieces"] for row in rows if "lr" not in row] == [2]


def test_a_loss_that_is_no_number_on_one_rank_is_skipped_by_all(setting: Setting) -> None:
    now = [0]

    def poisoned(model: Any, batch: Any) -> torch.Tensor:
        return next_token(model, batch) * (math.nan if now[0] in (3, 5, 6, 7) else 1.0)

    recipe = setting.recipe("one poisoned", train__max_skipped_steps=2, train__save_every_steps=4)

    def plant(rank: int) -> None:
        at_each_micro_batch(lambda step, _: now.__setitem__(0, step))
        with_objective(1, poisoned)(rank)
        # Rank 0 still writes when the run has come to its end: it must not be cut short.
        pytest.MonkeyPatch().setattr(ranks, "GRACE_S", 0.3)
        pytest.MonkeyPatch().setattr(checkpoint_writer, "write_snapshot", lambda *_: time.sleep(2))

    assert in_forks(2, recipe, plant=plant) == [3, 3]
    run = recipe.parent / "run"
    skipped = [row["step"] for row in metrics(run) if row.get("skipped")]
    assert skipped == [3, 5, 6, 7]  # the fourth found weights that were numbers on both
    assert status(run)["state"] == "failed" and "no number" in status(run)["note"]


def test_an_error_of_one_rank_before_the_first_step_ends_the_others(
    setting: Setting, capfd: Any
) -> None:
    recipe = setting.recipe("one fails")

    def refuse(*_: Any) -> None:
        raise ModelError("this rank's model is broken")

    def plant(rank: int) -> None:
        if rank == 1:
            pytest.MonkeyPatch().setattr(session, "fit_longest_batch", refuse)

    assert in_forks(2, recipe, plant=plant) == [1, 2]
    run = recipe.parent / "run"
    assert status(run)["state"] == "failed" and "rank 1 (process" in status(run)["note"]
    told = capfd.readouterr().err
    assert "There is no checkpoint" in told and "Traceback" not in told
