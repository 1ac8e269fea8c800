"""A run that was stopped at any moment and goes on gives the weights of one that was not.

Invariant 6 of DESIGN section 7. Residual dropout, NEFTune and a choice by dev loss are on, and the
moments lie in the middle of an epoch. Most runs are forks of this process, killed from inside at
the moment meant; one is a process of its own, to see its exit code.
"""

import errno
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import (
    all_metrics,
    in_fork,
    make_model,
    make_rows,
    metrics,
    start,
    status,
    train,
    weights_hash,
    write_recipe,
)

from mmtune.families import text
from mmtune.training import checkpoint_files, loop, tracking
from mmtune.training.checkpoint_files import saved_steps
from mmtune.training.signals import ONE_REQUEST_S
from mmtune.workflows import choice, session

LORA = {"kind": "lora", "rank": 4, "dropout": 0.1}
STEPS = 14
"""26 rows in steps of 4, two epochs; saved at 4, 8, 12 and 14."""


class Setting:
    """A model, rows, and the uninterrupted run over them."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.model = make_model(folder / "model")
        self.rows = make_rows(folder / "rows.jsonl", 26)
        self.dev = make_rows(folder / "dev.jsonl", 6, start=40)
        self.changes = changes
        assert train(self.recipe("whole")) == 0
        self.whole = folder / "whole" / "run"

    def recipe(self, name: str, **more: Any) -> Path:
        settings: dict[str, Any] = {
            "data__dev": [{"path": str(self.dev)}],
            "model__residual_dropout": 0.3,
            "train__neftune_alpha": 5.0,
            "train__save_every_steps": 4,
            "train__keep_last": 2,
            "train__select": {"by": "loss"},
        }
        return write_recipe(
            self.folder / name, self.model, self.rows, **settings | self.changes | more
        )

    def assert_same_as_whole(self, run: Path) -> None:
        """The weights to the bit, each step logged once with the same loss, the same choice."""
        assert weights_hash(run) == weights_hash(self.whole)
        assert [row["step"] for row in metrics(run)] == list(range(1, STEPS + 1))
        for key in ("loss", "lr", "grad_norm", "epoch", "num_targets"):
            assert [m[key] for m in metrics(run)] == [m[key] for m in metrics(self.whole)], key
        read = [json.loads((r / "selection.json").read_text()) for r in (run, self.whole)]
        assert read[0] == read[1]
        assert status(run)["state"] == "finished"
        assert not list((run / "checkpoints").glob("*.tmp-*"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("lora"), model__adapter=LORA)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


Plant = Callable[[pytest.MonkeyPatch], None]


def before(module: Any, name: str, when: Callable[..., bool], action: Callable[[], None]) -> Plant:
    """Do `action` when `module.name` is called with what `when` says."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if when(*args):
                action()
            return real(*args, **kwargs)

        patch.setattr(module, name, watched)

    return plant


def at_step(step: int, action: Callable[[], None]) -> Plant:
    """In the midst of a step, at its first micro-batch."""

    seen = []

    def first_batch(_seed: int, now: int, _batch: Any) -> bool:
        seen.append(now)
        return now == step and seen.count(step) == 1

    return before(loop, "_seed_dropout", first_batch, action)


def cut_in_half(name: str) -> Plant:
    """Killed in the middle of writing a file of the second checkpoint."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = checkpoint_files.save_file

        def half(tensors: Any, path: Path) -> None:
            real(tensors, path)
            if path.name == name and "step-8" in path.parent.name:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
                die()

        patch.setattr(checkpoint_files, "save_file", half)

    return plant


def of_step(step: int) -> Callable[..., bool]:
    return lambda path, *_: f"step-{step}" in Path(path).name


def candidate_of(step: int) -> Callable[..., bool]:
    return lambda _choice, candidate: candidate.step == step


KILLS: dict[str, Plant] = {
    "before the first checkpoint": at_step(2, die),
    "between checkpoints": at_step(6, die),
    "just after one was written": at_step(9, die),
    "writing its weights": cut_in_half("model.safetensors"),
    "writing its moments": cut_in_half("optimizer.safetensors"),
    "before its manifest": before(checkpoint_files, "_write_manifest", of_step(8), die),
    "before its renaming": before(
        checkpoint_files.os, "replace", lambda _, to: Path(to).name == "step-8", die
    ),
    "before it was measured": before(choice.Choice, "add", candidate_of(12), die),
    "before the last was measured": before(choice.Choice, "add", candidate_of(14), die),
}


def killed(recipe: Path, plant: Plant, *overrides: str) -> int:
    def action() -> int:
        plant(pytest.MonkeyPatch())
        return train(recipe, *overrides)

    return in_fork(action)


@pytest.mark.parametrize("moment", KILLS)
def test_killed_at_a_moment_and_gone_on(full: Setting, moment: str) -> None:
    recipe = full.recipe(f"killed {moment}")
    assert killed(recipe, KILLS[moment]) == -signal.SIGKILL
    run = recipe.parent / "run"
    assert status(run)["state"] == "running" and not (run / "final").exists()
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    full.assert_same_as_whole(run)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_terminated_twice_and_gone_on(kind: str, request: pytest.FixtureRequest) -> None:
    """The second time goes on from a checkpoint that a resumed run wrote."""
    setting: Setting = request.getfixturevalue(kind)
    recipe = setting.recipe("terminated")
    run = recipe.parent / "run"
    for step in (3, 5):
        plant = at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert killed(recipe, plant, "train.resume=auto") == 75
        assert status(run)["state"] == "interrupted"
        assert f"after step {step}" in status(run)["note"]
        assert (run / "checkpoints" / f"step-{step}").is_dir()
    plant = at_step(8, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert killed(recipe, plant, "train.resume=auto") == 130
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    setting.assert_same_as_whole(run)


def test_a_finished_run_gone_on_with_changes_nothing(full: Setting) -> None:
    shutil.copytree(full.whole, full.folder / "again" / "run")
    recipe = full.recipe("again")
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    full.assert_same_as_whole(recipe.parent / "run")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("model.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1])),
        ("optimizer.safetensors", lambda b: b[: len(b) // 2]),
        ("state.json", lambda b: b.replace(b'"step": 14', b'"step": 13')),
        ("manifest.json", lambda b: b""),
        ("manifest.json", lambda b: b.replace(b'"files"', b'"fiies"')),
    ],
)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(
    full: Setting, file: str, damage: Callable[[bytes], bytes], capfd: Any, tmp_path: Path
) -> None:
    recipe = full.recipe(tmp_path.name)
    run = recipe.parent / "run"
    shutil.copytree(full.whole, run)
    path = run / "checkpoints" / "step-14" / file
    path.write_bytes(damage(path.read_bytes()))
    # Stopped again before it is written anew: the damaged one must not be counted on.
    plant = at_step(13, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert killed(recipe, plant, "train.resume=auto", "train.keep_last=1") == 75
    told = capfd.readouterr().out
    assert "step-14 is damaged" in told and "going on from step-12" in told
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    assert "going on from step-13" in capfd.readouterr().out
    full.assert_same_as_whole(run)


@pytest.mark.parametrize("file", ["model", "optimizer", "state", "manifest"])
def test_each_file_damaged_in_each_way_costs_a_checkpoint_and_no_weight(
    full: Setting, file: str, tmp_path: Path, capfd: Any
) -> None:
    for number, damage in enumerate((cut, flipped, None)):
        recipe = full.recipe(f"{tmp_path.name} {number}")
        run = recipe.parent / "run"
        shutil.copytree(full.whole, run)
        (path,) = (run / "checkpoints" / "step-14").glob(f"{file}.*")
        path.write_bytes(damage(path.read_bytes())) if damage else path.unlink()
        assert in_fork(lambda r=recipe: train(r, "train.resume=auto")) == 0  # type: ignore[misc]
        assert "going on from step-12" in capfd.readouterr().out
        full.assert_same_as_whole(run)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_what_is_not_the_same_run_is_refused_and_left_alone(full: Setting, capfd: Any) -> None:
    recipe = full.recipe("refused")
    run = recipe.parent / "run"
    shutil.copytree(full.whole, run)
    before_status, before_rows = status(run), all_metrics(run)

    def refused(*overrides: str) -> str:
        assert train(recipe, *overrides) == 2
        assert all_metrics(run) == before_rows
        err: str = capfd.readouterr().err
        assert "Traceback" not in err
        return err

    assert "holds a run with checkpoints already; set train.resume=auto" in refused()
    told = refused("train.resume=auto", "train.learning_rate=0.5", "train.seed=3")
    assert "train.learning_rate: 0.01 -> 0.5" in told and "train.seed: 0 -> 3" in told
    assert status(run) == before_status
    lines = full.rows.read_text().splitlines()
    try:
        full.rows.write_text("\n".join([*lines[:-1], lines[0]]) + "\n")
        told = refused("train.resume=auto")
        assert "source rows.jsonl: 26 samples, " in told and "when the run began; now 26" in told
        assert "tokenizer" not in told and "put that back" in told
        full.rows.write_text("\n".join(lines[:-1]) + "\n")
        assert "when the run began; now 25 samples" in refused("train.resume=auto")
    finally:
        full.rows.write_text("\n".join(lines) + "\n")
    path = full.model / "tokenizer.json"
    before_text = path.read_text()
    try:
        settings = json.loads(before_text)
        settings["added_tokens"][0]["lstrip"] = True  # no sample has it
        path.write_text(json.dumps(settings))
        told = refused("train.resume=auto")
        assert "tokenizer: " in told and "when the run began; now" in told
    finally:
        path.write_text(before_text)
    assert weights_hash(run) == weights_hash(full.whole)


def test_lima_residual_dropout_and_noise_change_the_run(full: Setting) -> None:
    """So the tests above do have something to be exact about."""
    for number, change in enumerate(
        ({"model__residual_dropout": 0.0}, {"train__neftune_alpha": 0})
    ):
        recipe = full.recipe(f"without {number}", train__max_steps=2, **change)
        assert in_fork(lambda r=recipe: train(r)) == 0  # type: ignore[misc]
        losses = [row["loss"] for row in metrics(recipe.parent / "run")]
        assert losses[0] != pytest.approx(metrics(full.whole)[0]["loss"], rel=1e-4)


def test_kills_at_random_moments_change_nothing(full: Setting) -> None:
    """Saves at every step, so that many of the moments lie inside one. The same with the embedded
    model and processes of their own: `benchmarks/kill_anywhere.py`."""
    recipe = full.recipe("random kills", train__save_every_steps=1)
    run = recipe.parent / "run"
    whole = full.recipe("random whole", train__save_every_steps=1)
    assert in_fork(lambda: train(whole)) == 0
    draw, inside, codes = random.Random(0), 0, []
    for _ in range(7):
        began = len(all_metrics_so_far(run)) if (run / "metrics.jsonl").exists() else 0
        codes.append(killed_after(recipe, run, began + draw.randint(1, 3), draw.uniform(0, 0.03)))
        inside += bool(list((run / "checkpoints").glob("*.tmp-*")))
    assert -signal.SIGKILL in codes and inside
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    assert weights_hash(run) == weights_hash(whole.parent / "run")
    assert [row["step"] for row in metrics(run)] == list(range(1, STEPS + 1))


def killed_after(recipe: Path, run: Path, lines: int, seconds: float) -> int:
    """Train in a fork; SIGKILL so long after it has logged so many lines."""
    child = os.fork()
    if child == 0:
        os._exit(train(recipe, "train.resume=auto"))
    path, deadline = run / "metrics.jsonl", time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and len(all_metrics_so_far(run)) >= lines:
            break
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.002)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def full_disk(*steps: int) -> Plant:
    """No room for the checkpoints of those steps."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = checkpoint_files.save_file

        def refusing(tensors: Any, path: Path) -> None:
            if int(path.parent.name.removeprefix("step-").partition(".")[0]) in steps:
                path.write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
            real(tensors, path)

        patch.setattr(checkpoint_files, "save_file", refusing)

    return plant


def test_a_full_disk_costs_checkpoints_and_not_the_run(full: Setting, capfd: Any) -> None:
    recipe = full.recipe("full disk")
    run = recipe.parent / "run"
    assert killed(recipe, full_disk(8)) == 0
    told = capfd.readouterr().out
    assert "the checkpoint of step 8 could not be written ([Errno 28] No space left" in told
    assert "step-4 stays the newest" in told
    full.assert_same_as_whole(run)
    # And one that is full for good, and then killed: the last good checkpoint is gone on from.
    recipe = full.recipe("full for long")
    run = recipe.parent / "run"

    def plant(patch: pytest.MonkeyPatch) -> None:
        full_disk(8, 12)(patch)
        at_step(14, die)(patch)

    assert killed(recipe, plant) == -signal.SIGKILL
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-4"]
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    assert "going on from step-4" in capfd.readouterr().out
    full.assert_same_as_whole(run)


def test_a_signal_while_the_disk_is_full_says_what_there_is_to_go_on_from(
    full: Setting, capfd: Any
) -> None:
    recipe = full.recipe("full and stopped")

    def plant(patch: pytest.MonkeyPatch) -> None:
        full_disk(5)(patch)
        at_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM))(patch)

    assert killed(recipe, plant) == 75
    assert "The newest checkpoint is of step 4, the last could not be" in capfd.readouterr().err
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    full.assert_same_as_whole(recipe.parent / "run")


def test_a_result_that_cannot_be_written_is_told_of_and_can_be_had_later(
    full: Setting, capfd: Any
) -> None:
    recipe = full.recipe("no final")
    run = recipe.parent / "run"

    def refused() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    plant = before(text, "save", lambda *_: True, refused)
    assert killed(recipe, plant) == 1
    told = capfd.readouterr().err
    assert "final could not be written ([Errno 28]" in told and "Traceback" not in told
    assert "make room, then run the same command with train.resume=auto" in told
    assert status(run)["state"] == "failed" and not (run / "final").exists()
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    full.assert_same_as_whole(run)


def test_metrics_that_cannot_be_written_wait(full: Setting, capfd: Any) -> None:
    recipe = full.recipe("no metrics")
    real, calls = tracking.append_whole, []

    def refusing(path: Path, lines: str) -> None:
        calls.append(path)
        if 3 <= len(calls) <= 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, lines)

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(tracking, "append_whole", refusing)

    assert killed(recipe, plant) == 0
    assert capfd.readouterr().out.count("metrics.jsonl cannot be written") == 1
    full.assert_same_as_whole(recipe.parent / "run")


def test_a_signal_before_the_first_step_ends_the_run_there(full: Setting, capfd: Any) -> None:
    recipe = full.recipe("early")
    plant = before(
        session, "make_optimizer", lambda *_: True, lambda: os.kill(os.getpid(), signal.SIGTERM)
    )
    assert killed(recipe, plant) == 75
    assert "with nothing to save" in capfd.readouterr().err
    assert status(recipe.parent / "run")["state"] == "interrupted"
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    full.assert_same_as_whole(recipe.parent / "run")


def test_a_second_signal_ends_at_once(full: Setting) -> None:
    recipe = full.recipe("twice")

    def two() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # at once: the same request, by way of a launcher
        time.sleep(ONE_REQUEST_S + 0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    assert killed(recipe, at_step(6, two)) == -signal.SIGTERM
    assert saved_steps(recipe.parent / "run" / "checkpoints") == [4]


def test_a_process_of_its_own_answers_75_to_sigterm(full: Setting) -> None:
    recipe = full.recipe("process", train__epochs=400, train__save_every_steps=0)
    run = recipe.parent / "run"
    process = start(["-m", "mmtune.train", str(recipe)])
    try:
        deadline = time.monotonic() + 60
        while not (run / "metrics.jsonl").exists() or len(all_metrics_so_far(run)) < 3:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, err
    assert "run the same command with train.resume=auto" in err and "Traceback" not in err
    assert status(run)["state"] == "interrupted"
    assert len(checkpoint_files.sorted_checkpoints(run / "checkpoints")) >= 1


def all_metrics_so_far(run: Path) -> list[str]:
    return (run / "metrics.jsonl").read_text().splitlines()


def test_a_streamed_run_goes_on_in_the_midst_of_a_window(full: Setting) -> None:
    """Three windows of 10, 10 and 6 rows: 3, 3 and 2 steps an epoch."""
    streamed = {"data__streaming": True, "data__window_rows": 10, "train__max_steps": 12}
    whole = full.recipe("streamed whole", **streamed)
    assert in_fork(lambda: train(whole)) == 0
    recipe = full.recipe("streamed", **streamed)
    run = recipe.parent / "run"
    for step in (5, 8):
        plant = at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert killed(recipe, plant, "train.resume=auto") == 75
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    assert weights_hash(run) == weights_hash(whole.parent / "run")
    assert [row["step"] for row in metrics(run)] == list(range(1, 13))
    epochs = [row["epoch"] for row in metrics(run)]
    assert epochs == [row["epoch"] for row in metrics(whole.parent / "run")]
