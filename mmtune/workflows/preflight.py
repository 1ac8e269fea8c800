"""What is tried before the first step, so that nothing goes wrong at the nine-hundredth."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from mmtune.config.load import changed_keys, load_recipe
from mmtune.config.recipe import Recipe
from mmtune.encoding.store import TokenStore
from mmtune.errors import CheckpointError, ConfigError, ModelError
from mmtune.families.family import Family, Loaded
from mmtune.training.checkpoint_files import sorted_checkpoints
from mmtune.training.loop import WithObjective
from mmtune.training.memory import (
    activation_bytes,
    fits,
    free_memory_bytes,
    is_out_of_memory,
    training_state_bytes,
)
from mmtune.training.optimizer import MOMENTS_PER_WEIGHT
from mmtune.training.tripwires import verify_micro_batch
from mmtune.workflows.steps import Feed, first_batch, longest_batch

SAVED_RECIPE = "recipe.yaml"
_MAY_CHANGE = ("train.resume", "train.max_steps", "train.keep_last", "run.", "samples.", "test.")
"""Keys that a resumed run may have other than the run it goes on with."""

Tell = Callable[[str], None]


def check_positions(recipe: Recipe, positions: int) -> None:
    """Raise ConfigError where the longest conversation has more tokens than the model positions."""
    if recipe.data.max_tokens > positions:
        raise ConfigError(
            f"data.max_tokens is {recipe.data.max_tokens}, but {recipe.model.path} has positions "
            f"for {positions} tokens; set data.max_tokens={positions} or less"
        )


def check_folder(recipe: Recipe, folder: Path) -> None:
    """Raise ConfigError or CheckpointError where the folder holds a run that this one is not to
    go on with: nothing in it is written over."""
    if not sorted_checkpoints(folder / "checkpoints"):
        return
    if recipe.train.resume == "never":
        raise ConfigError(
            f"run.dir: {folder} holds a run with checkpoints already; set train.resume=auto to "
            "go on with it, give another run.dir, or remove the folder"
        )
    saved = folder / SAVED_RECIPE
    changed = [
        line
        for line in changed_keys(load_recipe(saved), recipe)
        if not line.startswith(_MAY_CHANGE)
    ]
    if changed:
        raise CheckpointError(
            *(
                f"{saved}: the run in this folder had another recipe: {line}; put that back, or "
                "give another run.dir"
                for line in changed
            )
        )


def disk_bytes(recipe: Recipe, *, trained: int, weights: int) -> int:
    """What a run writes: the checkpoints kept (trained weights and their moments) and one being
    written, and `final/`. `trained` and `weights` are bytes of the model's parameters."""
    kept = recipe.train.keep_last + (recipe.train.select.by != "last") + 1
    each = 1 + MOMENTS_PER_WEIGHT[recipe.train.optimizer.kind]
    return int(kept * each * trained) + weights


def check_disk(recipe: Recipe, folder: Path, *, trained: int, weights: int) -> None:
    """Raise ConfigError where the run's files would not find room beside those it has already."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    own = sum(
        path.stat().st_size
        for part in ("checkpoints", "final")
        for path in (folder / part).rglob("*.safetensors")
    )
    if (need := disk_bytes(recipe, trained=trained, weights=weights)) > free + own:
        raise ConfigError(
            f"run.dir: checkpoints and final/ need {need / 1e9:.1f} GB, {(free + own) / 1e9:.1f} "
            f"GB are free at {there}; lower train.keep_last or give another run.dir"
        )


def weights_of(model: nn.Module) -> dict[str, int]:
    """Bytes of the model's parameters: `trained` ones, and all `weights`."""
    sizes = [(p.numel() * p.element_size(), p.requires_grad) for p in model.parameters()]
    return {
        "trained": sum(size for size, trained in sizes if trained),
        "weights": sum(size for size, _ in sizes),
    }


def make_room(
    recipe: Recipe, kind: Family, loaded: Loaded, feed: Feed, store: TokenStore, tell: Tell
) -> None:
    """Turn gradient checkpointing on where asked, or where the longest batch would not fit."""
    setting = recipe.model.gradient_checkpointing
    if setting == "auto":
        summed = WithObjective(loaded.model, kind.objective(recipe.model)).train()
        longest = longest_batch(feed, store).to(loaded.device)
        free = free_memory_bytes(loaded.device)
        try:
            state = training_state_bytes(loaded.model, recipe.train.optimizer.kind)
            needed = state + activation_bytes(summed, longest)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            needed = free
        setting = "on" if needed > 0.9 * free else "off"
        tell(
            f"memory: about {needed / 1e9:.2f} GB beside the weights, {free / 1e9:.1f} GB free; "
            f"gradient checkpointing {setting}"
        )
    if setting == "on":
        kind.save_memory(loaded)


def try_first_batch(
    feed: Feed, store: TokenStore, model: nn.Module, accelerator: Accelerator, tell: Tell
) -> None:
    """Compare a micro-batch of the first step with its documents alone; ModelError if they differ.

    (transformers mixes packed documents without a word when it is given a cache or a mask.)
    """
    if (found := first_batch(feed, store)) is None:
        return
    error = verify_micro_batch(model, *found, accelerator)
    tell(
        f"first micro-batch against its {len(found[1])} documents alone: gradients equal to "
        f"{error:.0e}"
    )


def fit_longest_batch(
    feed: Feed,
    store: TokenStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    tell: Tell,
) -> Feed:
    """Run the longest micro-batch once; while that takes too much memory, halve every micro-batch.
    A step keeps its examples, and so its gradient.

    Raises:
        ModelError: a single document takes too much.
    """
    while not fits(model, longest := longest_batch(feed, store), optimizer, accelerator):
        if len(longest.example_ids) == 1:
            tokens = max(store.lengths)
            raise ModelError(
                f"out of memory with a single document of {tokens} tokens; set "
                "model.gradient_checkpointing=on, lower data.max_tokens, or take an adapter "
                "(model.adapter.kind=lora)"
            )
        feed = replace(feed, pieces=feed.pieces * 2)
        tell(
            f"the longest micro-batch runs out of memory: each is now run in {feed.pieces} parts "
            "(a step has the same examples, and the same gradient)"
        )
    return feed
