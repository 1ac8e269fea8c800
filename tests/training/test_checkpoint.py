"""Checkpoints: whole or not at all, proved by their manifest, written behind the run's back."""

import os
import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_model
from torch import Tensor, nn

from mmtune.config.recipe import Train
from mmtune.encoding.batches import TokenBatch, pack
from mmtune.encoding.samples import TokenSample
from mmtune.errors import CheckpointError
from mmtune.families.text import LanguageModel
from mmtune.objectives.next_token import next_token
from mmtune.training import checkpoint_files
from mmtune.training.checkpoint import Progress, load_checkpoint, take_snapshot
from mmtune.training.checkpoint_files import (
    clear_way,
    newest_good,
    remove_old,
    saved_steps,
    sorted_checkpoints,
    verify,
    write_snapshot,
)
from mmtune.training.checkpoint_writer import CheckpointWriter
from mmtune.training.loop import WithObjective
from mmtune.training.optimizer import make_optimizer


def batch(length: int) -> TokenBatch:
    ids = np.random.default_rng(length).integers(5, 300, length, dtype=np.int32)
    return pack([TokenSample(ids, np.ones(length, bool), "one", "s")], [0])


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


PROGRESS = Progress(4, 1, 0, 2, 1.5, True, 2, (1.5, 0.25), 1, {"source a": "3 samples"})


def saved(
    parent: Path, number: int, seed: int = 0, **overrides: Any
) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = WithObjective(LanguageModel(tiny_model("llama", seed=seed, **overrides)), next_token)
    optimizer = make_optimizer(model, Train(learning_rate=1e-2))
    learn(model, optimizer)
    write_snapshot(parent, snapshot(model, optimizer, number))
    return model, optimizer


def learn(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    next_token(model.model, batch(9)).sum().backward()  # type: ignore[arg-type]
    optimizer.step()
    optimizer.zero_grad()


def snapshot(
    model: nn.Module, optimizer: torch.optim.Optimizer, number: int
) -> checkpoint_files.Snapshot:
    found = take_snapshot(model, optimizer, replace(PROGRESS, step=number), True)
    assert found is not None
    return found


@pytest.mark.parametrize("tied", [False, True])
def test_a_checkpoint_gives_back_weights_moments_and_place(tmp_path: Path, tied: bool) -> None:
    model, optimizer = saved(tmp_path, 4, tied=tied)
    assert verify(tmp_path / "step-4") is None
    other = WithObjective(LanguageModel(tiny_model("llama", seed=7, tied=tied)), next_token)
    fresh = make_optimizer(other, Train(learning_rate=1e-2))
    assert load_checkpoint(tmp_path / "step-4", other, fresh) == PROGRESS
    assert torch.equal(weights(other), weights(model))
    for one, two in zip(optimizer.param_groups, fresh.param_groups, strict=True):
        for p, q in zip(one["params"], two["params"], strict=True):
            for name, value in optimizer.state[p].items():
                assert torch.equal(fresh.state[q][name], value), name
    if tied:
        head = other.model.base.get_output_embeddings().weight
        assert head is other.model.base.get_input_embeddings().weight


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, 4)
    deeper = WithObjective(LanguageModel(tiny_model("llama", layers=3)), next_token)
    with pytest.raises(CheckpointError, match="belongs to another recipe"):
        load_checkpoint(tmp_path / "step-4", deeper, None)


def test_only_the_main_rank_holds_a_snapshot() -> None:
    model = WithObjective(LanguageModel(tiny_model("llama")), next_token)
    optimizer = make_optimizer(model, Train())
    assert take_snapshot(model, optimizer, PROGRESS, False) is None


def test_the_newest_good_one_is_found_and_old_ones_go(tmp_path: Path) -> None:
    told: list[str] = []
    assert newest_good(tmp_path / "nothing", told.append) is None and not told
    for number in (9, 10, 100):
        saved(tmp_path, number)
    (tmp_path / "step-101.tmp-7").mkdir()
    assert [path.name for path in sorted_checkpoints(tmp_path)] == ["step-9", "step-10", "step-100"]
    assert newest_good(tmp_path, told.append) == tmp_path / "step-100" and not told
    (tmp_path / "step-100" / "optimizer.safetensors").unlink()
    assert newest_good(tmp_path, told.append) == tmp_path / "step-10"
    assert "step-100 is damaged (optimizer.safetensors is missing)" in told[0]
    clear_way(tmp_path, 10)
    assert not (tmp_path / "step-101.tmp-7").exists() and saved_steps(tmp_path) == [9, 10]
    saved(tmp_path, 11)
    remove_old(tmp_path, 1, tmp_path / "step-9")
    assert [path.name for path in sorted_checkpoints(tmp_path)] == ["step-9", "step-11"]
    for path in sorted_checkpoints(tmp_path):
        (path / "manifest.json").write_text("[]")
    assert newest_good(tmp_path, told.append) is None
    assert "the run starts anew" in told[-1]


@pytest.mark.parametrize("tied", [False, True])
def test_training_on_does_not_reach_into_a_snapshot(tmp_path: Path, tied: bool) -> None:
    """It is written while later steps change weights and moments."""
    model, optimizer = saved(tmp_path, 1, tied=tied)
    held = snapshot(model, optimizer, 2)
    learn(model, optimizer)
    write_snapshot(tmp_path, held)
    for name in (checkpoint_files.WEIGHTS, checkpoint_files.MOMENTS):
        early, late = (load_file(tmp_path / f"step-{n}" / name) for n in (1, 2))
        assert early.keys() == late.keys()
        assert all(torch.equal(early[key], late[key]) for key in early), name
    assert not any(torch.equal(held.weights[key], late) for key, late in live(model).items())


def live(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


def test_a_step_does_not_wait_for_the_disk_and_the_next_save_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    model, optimizer = saved(tmp_path, 1)
    go, order = threading.Event(), []
    real = checkpoint_files.save_file

    def slow(tensors: Any, path: Path) -> None:
        assert go.wait(20)
        real(tensors, path)

    monkeypatch.setattr(checkpoint_files, "save_file", slow)
    writer = CheckpointWriter(tmp_path, print, lambda: order.append(saved_steps(tmp_path)))
    writer.write(snapshot(model, optimizer, 2))
    assert saved_steps(tmp_path) == [1]  # it has returned, and nothing is written yet
    threading.Timer(0.2, go.set).start()
    writer.write(snapshot(model, optimizer, 3))
    assert saved_steps(tmp_path)[:2] == [1, 2]
    writer.wait()
    assert order == [[1, 2], [1, 2, 3]]
    writer.close()


def test_a_full_disk_costs_the_checkpoint_and_neither_the_run_nor_the_last_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = saved(tmp_path, 1)
    told: list[str] = []
    writer = CheckpointWriter(tmp_path, told.append, lambda: remove_old(tmp_path, 1, None))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit, file in ((10_000, "weights"), (model_bytes(tmp_path) + 10_000, "moments")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            writer.write(snapshot(model, optimizer, 2))
            writer.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "the checkpoint of step 2 could not be written" in told[-1], file
        assert "step-1 stays the newest" in told[-1] and 2 in writer.failed
        assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
        assert verify(tmp_path / "step-1") is None
    writer.write(snapshot(model, optimizer, 3))
    writer.wait()
    assert not writer.failed and saved_steps(tmp_path) == [3]
    writer.close()


def model_bytes(parent: Path) -> int:
    return (parent / "step-1" / checkpoint_files.WEIGHTS).stat().st_size


def test_a_fault_of_our_own_in_the_writing_thread_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = saved(tmp_path, 1)

    def broken(*_: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(checkpoint_files, "_write_manifest", broken)
    writer = CheckpointWriter(tmp_path, print, lambda: None)
    writer.write(snapshot(model, optimizer, 2))
    with pytest.raises(ValueError, match="a bug"):
        writer.wait()
    writer.close()
    assert saved_steps(tmp_path) == [1]


def test_writing_a_step_again_replaces_it_whole(tmp_path: Path) -> None:
    saved(tmp_path, 4)
    model, _ = saved(tmp_path, 4, seed=3)
    assert verify(tmp_path / "step-4") is None
    assert [path.name for path in tmp_path.iterdir()] == ["step-4"]
    found = load_file(tmp_path / "step-4" / checkpoint_files.WEIGHTS)
    assert all(torch.equal(found[name], value) for name, value in live(model).items())


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) and None,
    "flipped": lambda path: path.write_bytes(flipped(path.read_bytes())) and None,
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b"") and None,
}


def flipped(data: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


FILES = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_each_file_damaged_in_each_way_is_noticed(tmp_path: Path, file: str, damage: str) -> None:
    saved(tmp_path, 1)
    shutil.copytree(tmp_path / "step-1", tmp_path / "step-2")
    assert {path.name for path in (tmp_path / "step-1").iterdir()} == {*FILES}
    DAMAGES[damage](tmp_path / "step-2" / file)
    told: list[str] = []
    assert newest_good(tmp_path, told.append) == tmp_path / "step-1"
    assert "step-2 is damaged" in told[0]


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    for path in (tmp_path / "step-1").iterdir():
        assert path.suffix in (".safetensors", ".json")
    assert os.listdir(tmp_path) == ["step-1"]
