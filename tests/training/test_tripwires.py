"""What is tried before the first step, and what stops a run that went wrong on the way."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import (
    all_metrics,
    in_fork,
    make_model,
    make_rows,
    metrics,
    status,
    train,
    write_recipe,
)
from torch import Tensor

from mmtune.config.recipe import SpikeStop
from mmtune.encoding.batches import TokenBatch
from mmtune.families import text
from mmtune.families.text import LanguageModel
from mmtune.training import memory
from mmtune.training.tripwires import SpikeWatch
from mmtune.workflows import preflight


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tripwires")
    make_model(folder / "model")
    make_rows(folder / "rows.jsonl", 26)
    return folder


def recipe_in(place: Path, name: str, **changes: Any) -> Path:
    changes = {"train__batching": {"kind": "packed", "row_tokens": 256}} | changes
    return write_recipe(place / name, place / "model", place / "rows.jsonl", **changes)


def with_patch(recipe: Path, target: Any, name: str, value: Any, *overrides: str) -> int:
    """Train in a fork that has `target.name` replaced."""

    def action() -> int:
        pytest.MonkeyPatch().setattr(target, name, value)
        return train(recipe, *overrides)

    return in_fork(action)


# The first micro-batch against its documents alone.


def seen_through(self: LanguageModel, batch: TokenBatch) -> Tensor:
    """What transformers does with packed positions once it is given a mask: documents mix."""
    base = self.base
    base.set_attn_implementation("sdpa")
    return base.get_decoder()(
        input_ids=batch.ids,
        position_ids=batch.positions,
        attention_mask=torch.ones_like(batch.ids),
        use_cache=False,
    ).last_hidden_state


def test_a_run_whose_documents_see_each_other_does_not_start(place: Path, capfd: Any) -> None:
    recipe = recipe_in(place, "mixed")
    assert with_patch(recipe, LanguageModel, "hidden_states", seen_through) == 2
    told = capfd.readouterr().err
    assert "documents see each other" in told and "Traceback" not in told
    assert "train.batching.kind to padded" in told
    run = recipe.parent / "run"
    assert not metrics_or_none(run) and status(run)["state"] == "failed"


def metrics_or_none(run: Path) -> list[Any]:
    return metrics(run) if (run / "metrics.jsonl").exists() else []


def test_a_gradient_that_is_wrong_while_the_loss_is_right_is_seen(place: Path, capfd: Any) -> None:
    real = text.next_token

    def tilted(model: Any, batch: TokenBatch) -> Tensor:
        sums = real(model, batch)
        return sums * 1.5 - sums.detach() * 0.5 if len(sums) > 1 else sums

    assert with_patch(recipe_in(place, "tilted"), text, "next_token", tilted) == 2
    told = capfd.readouterr().err
    assert "they differ by 50.0%, their losses by 0.0%" in told


@pytest.mark.parametrize("kind", ["packed", "padded", "length_grouped"])
def test_the_comparison_is_told_of_and_changes_nothing(place: Path, kind: str, capfd: Any) -> None:
    batching = {"kind": kind, "row_tokens": 256}
    recipe = recipe_in(place, f"told {kind}", train__batching=batching)
    assert in_fork(lambda: train(recipe)) == 0
    assert "first micro-batch against its 4 documents alone: gradients equal to" in (
        capfd.readouterr().out
    )
    quiet = recipe_in(place, f"quiet {kind}", train__batching=batching)
    assert with_patch(quiet, preflight, "first_batch", lambda *_: None) == 0
    assert losses(recipe) == losses(quiet)


def losses(recipe: Path) -> list[float]:
    return [row["loss"] for row in metrics(recipe.parent / "run")]


# Memory.


def out_of_memory_above(tokens: int) -> Callable[[Any, TokenBatch], Tensor]:
    real = text.next_token

    def greedy(model: Any, batch: TokenBatch) -> Tensor:
        if batch.ids.numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return real(model, batch)

    return greedy


def test_out_of_memory_halves_micro_batches_and_keeps_the_gradient(place: Path, capfd: Any) -> None:
    whole = recipe_in(place, "fits", train__learning_rate=1e-3)
    assert in_fork(lambda: train(whole)) == 0
    assert metrics(whole.parent / "run")[0]["num_targets"] > 20
    capfd.readouterr()
    recipe = recipe_in(place, "halved", train__learning_rate=1e-3)
    assert with_patch(recipe, text, "next_token", out_of_memory_above(80)) == 0
    told = capfd.readouterr().out
    assert "runs out of memory: each is now run in 2 parts" in told
    assert losses(recipe) == pytest.approx(losses(whole), rel=1e-4)
    runs = whole.parent / "run", recipe.parent / "run"
    assert [row["num_targets"] for row in metrics(runs[0])] == [
        row["num_targets"] for row in metrics(runs[1])
    ]
    ours, theirs = (load_file(run / "final" / "model.safetensors") for run in runs)
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=1e-4), name
    # Recorded where a reader looks, and where a run goes on from.
    assert pieces(runs[1]) == [2] and pieces(runs[0]) == []
    state = json.loads((runs[1] / "checkpoints" / "step-14" / "state.json").read_text())
    assert state["progress"]["pieces"] == 2
    assert "micro-batch pieces" in (runs[1] / "final" / "README.md").read_text()


def pieces(run: Path) -> list[int]:
    return [r["micro_batch_pieces"] for r in all_metrics(run) if "micro_batch_pieces" in r]


def test_a_halved_run_goes_on_halved_where_memory_would_suffice_again(place: Path) -> None:
    """Else its sums would be added up in another order, and differ in their last bits."""
    recipe = recipe_in(place, "goes on", train__schedule="constant")
    greedy = out_of_memory_above(80)
    assert with_patch(recipe, text, "next_token", greedy) == 0
    whole = losses(recipe)
    other = recipe_in(place, "goes on again", train__schedule="constant")
    assert with_patch(other, text, "next_token", greedy, "train.max_steps=8") == 0
    assert in_fork(lambda: train(other, "train.resume=auto", "train.max_steps=0")) == 0
    assert losses(other) == whole
    assert pieces(other.parent / "run") == [2]


def test_a_single_document_that_does_not_fit_is_the_recipes_fault(place: Path, capfd: Any) -> None:
    recipe = recipe_in(place, "never")
    assert with_patch(recipe, text, "next_token", out_of_memory_above(3)) == 2
    told = capfd.readouterr().err
    assert "out of memory with a single document of" in told and "Traceback" not in told
    assert "model.gradient_checkpointing=on" in told


def test_the_cpus_own_allocator_is_understood() -> None:
    """Its error is a plain RuntimeError, here a real one."""

    def action() -> int:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), hard))
        try:
            torch.empty(1 << 30, dtype=torch.uint8)
        except RuntimeError as error:
            return 0 if memory.is_out_of_memory(error) else 1
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        return 2

    assert in_fork(action) == 0
    assert not memory.is_out_of_memory(RuntimeError("sizes do not match"))


def test_another_error_in_the_trial_is_not_taken_for_a_lack_of_memory(place: Path) -> None:
    def broken(_model: Any, _batch: TokenBatch) -> Tensor:
        raise RuntimeError("sizes do not match")

    recipe = recipe_in(place, "broken")

    def action() -> int:
        patch = pytest.MonkeyPatch()
        patch.setattr(text, "next_token", broken)
        patch.setattr(preflight, "first_batch", lambda *_: None)
        with pytest.raises(RuntimeError, match="sizes do not match"):
            train(recipe)
        return 0

    assert in_fork(action) == 0


def test_too_small_a_disk_is_seen_before_the_start(place: Path, capfd: Any) -> None:
    recipe = recipe_in(place, "disk")

    class Small:
        free = 100_000

    assert with_patch(recipe, preflight.shutil, "disk_usage", lambda _: Small) == 2
    told = capfd.readouterr().err
    assert "checkpoints and final/ need" in told and "lower train.keep_last" in told
    assert not (recipe.parent / "run" / "encoded").exists()


# Losses that leap up.


def feed(watch: SpikeWatch, *values: float) -> list[bool]:
    return [watch.spiked(value) for value in values]


def test_a_spike_is_one_that_stays() -> None:
    watch = SpikeWatch(SpikeStop(factor=2, window_steps=3, patience_steps=2))
    assert feed(watch, 9, 1, 1, 1, 3, 1.5, 3, 1, 3) == [False] * 9  # never two in a row
    assert feed(watch, 3) == [True]


def test_spikes_do_not_raise_the_mean_they_are_judged_by_and_nan_counts_for_nothing() -> None:
    watch = SpikeWatch(SpikeStop(factor=2, window_steps=2, patience_steps=4))
    assert feed(watch, 1, 1, 5, 5, float("nan"), 5, 5) == [False] * 6 + [True]
    assert list(watch.recent) == [1, 1]


def test_without_a_factor_nothing_stops() -> None:
    assert not any(feed(SpikeWatch(SpikeStop()), 1, 1, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9))


def test_a_loss_that_leaps_up_and_stays_ends_the_run_with_code_3(place: Path, capfd: Any) -> None:
    recipe = recipe_in(
        place,
        "leaps",
        train__spike_stop={"factor": 1.5, "window_steps": 3, "patience_steps": 2},
        train__save_every_steps=4,
        train__learning_rate=1e-4,
    )
    real, calls = text.next_token, []

    def leaping(model: Any, batch: TokenBatch) -> Tensor:
        calls.append(1)
        sums = real(model, batch)
        return sums * 4 if model.training and sum(calls) > 12 else sums

    assert with_patch(recipe, text, "next_token", leaping) == 3
    run = recipe.parent / "run"
    told = capfd.readouterr().err
    assert "times its recent mean" in told and "train.spike_stop" in told
    bad = [json.loads(line) for line in (run / "bad_steps.jsonl").read_text().splitlines()]
    assert len(bad) == 2 and all("a spike" in row["why"] and row["example_ids"] for row in bad)
    assert all_metrics(run)[-1]["step"] == bad[-1]["step"]
    assert list((run / "checkpoints").iterdir()) and status(run)["state"] == "failed"
