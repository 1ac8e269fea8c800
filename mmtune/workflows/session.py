"""What a training run holds open, and how it is opened: data, model, optimizer, place to resume."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn

from mmtune.config.load import changed_keys, load_recipe, recipe_hash, to_yaml
from mmtune.config.recipe import Recipe
from mmtune.encoding.schedule import rows_of
from mmtune.encoding.store import TokenStore
from mmtune.errors import CheckpointError, ConfigError
from mmtune.families.family import Family, Loaded, family
from mmtune.training.checkpoint import (
    Progress,
    load_checkpoint,
    newest_good,
    set_aside_newer,
    sorted_checkpoints,
)
from mmtune.training.loop import WithObjective
from mmtune.training.memory import activation_bytes, free_memory_bytes, training_state_bytes
from mmtune.training.optimizer import make_optimizer
from mmtune.training.tracking import Tracker, open_tracker, write_whole
from mmtune.types import Conversation, Example
from mmtune.workflows.choice import Choice, reopen
from mmtune.workflows.material import Material, gather
from mmtune.workflows.steps import Feed, Ranks, total_steps

_SAVED_RECIPE = "recipe.yaml"
_MAY_CHANGE = ("train.resume", "train.max_steps", "train.keep_last", "run.", "samples.", "test.")
"""Keys that a resumed run may have other than the run it goes on with."""


@dataclass(slots=True)
class Session:
    """A run's open parts; only `progress`, `previous` and `choice` change while it goes."""

    recipe: Recipe
    folder: Path
    accelerator: Accelerator
    family: Family
    loaded: Loaded
    material: Material
    feed: Feed
    model: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    progress: Progress
    previous: Progress
    choice: Choice
    tracker: Tracker

    @property
    def main(self) -> bool:
        """Whether this process writes and prints."""
        return self.accelerator.is_main_process

    @property
    def ranks(self) -> Ranks:
        return self.feed.ranks

    @property
    def can_generate(self) -> bool:
        """Sharded weights cannot answer on one rank alone."""
        return self.accelerator.distributed_type != DistributedType.FSDP

    @property
    def dev(self) -> list[Example]:
        return self.material.dev

    @property
    def test(self) -> list[Example]:
        return self.material.test if self.can_generate else []

    @property
    def dev_store(self) -> TokenStore | None:
        return self.material.dev_store

    @property
    def sample_prompts(self) -> list[Conversation]:
        return self.material.sample_prompts if self.can_generate else []

    def say(self, text: str) -> None:
        if self.main:
            self.tracker.say(text)


def make_accelerator(recipe: Recipe) -> Accelerator:
    """One process or many, in the precision that the recipe asks for or the device computes."""
    precision = recipe.train.mixed_precision
    if precision == "auto":
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if bf16 else "no"
    accelerator = Accelerator(mixed_precision=precision)
    if int(os.environ.get("WORLD_SIZE", "1")) != accelerator.num_processes:
        raise ConfigError(
            f"accelerate launch started {os.environ['WORLD_SIZE']} processes that do not know of "
            "each other; on CPUs, start them with ACCELERATE_USE_CPU=true and --multi_gpu"
        )
    if accelerator.device.type == "cpu":
        cores = len(os.sched_getaffinity(0))
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(recipe.run.threads or max(1, cores // here))
    return accelerator


def open_session(recipe: Recipe, folder: Path, accelerator: Accelerator) -> Session:
    """Open everything; whatever is wrong with the recipe, the data or the model comes out here."""
    tell = print if accelerator.is_main_process else _silent
    ranks = Ranks(accelerator.process_index, accelerator.num_processes)
    resumes = recipe.train.resume == "auto"
    checkpoint = newest_good(folder / "checkpoints", tell) if resumes else None
    kind = family(recipe.model.family)
    loaded = kind.load(
        recipe.model, accelerator.device, seed=recipe.train.seed, supervise=recipe.data.supervise
    )
    check_positions(recipe, loaded.max_tokens)
    loaded = kind.with_noise(loaded, recipe.train.neftune_alpha)
    for note in loaded.notes:
        tell(note)
    material = gather(recipe, folder, loaded.chat_format, accelerator, tell)
    packed = recipe.train.batching.kind == "packed"
    pad_id = None if packed else loaded.tokenizer.pad_token_id
    feed = Feed(material.windows, recipe.train, kind.batch, pad_id, ranks)
    _make_room(recipe, kind, loaded, feed, material, tell)
    summed = WithObjective(loaded.model, kind.objective(recipe.model))
    if recipe.model.compile:
        loaded.model.base.get_decoder().compile(dynamic=True)
    model, optimizer = accelerator.prepare(summed, make_optimizer(summed, recipe.train))
    progress = Progress(0, 0, 0, 0, recipe_hash(recipe), material.data_hash)
    if checkpoint is not None:
        progress = _resumed(checkpoint, model, optimizer, material, tell)
    if accelerator.is_main_process:
        set_aside_newer(folder / "checkpoints", progress.step)
    steps = total_steps(recipe.train, material.schedule(feed))
    tell(f"{steps:,} steps, {recipe.train.batch.count} {recipe.train.batch.kind} each")
    if accelerator.is_main_process:
        write_whole(folder / _SAVED_RECIPE, to_yaml(recipe))
    tracker = open_tracker(
        folder,
        total_steps=steps,
        done_steps=progress.step,
        recipe=recipe,
        writes=accelerator.is_main_process,
    )
    choice = reopen(folder / "selection.json", recipe.train.select, progress.step)
    return Session(
        recipe, folder, accelerator, kind, loaded, material, feed, model, optimizer, steps,
        progress, progress, choice, tracker,
    )  # fmt: skip


def _silent(_text: str) -> None:
    """Ranks other than the first do not print."""


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
    saved = folder / _SAVED_RECIPE
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


def _resumed(
    checkpoint: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    material: Material,
    tell: Callable[[str], None],
) -> Progress:
    progress = load_checkpoint(checkpoint, model, optimizer)
    if progress.data_hash != material.data_hash:
        raise CheckpointError(
            f"{checkpoint}: the training data are not those of the run to go on with (their "
            "content hash differs); put the old data back, or start anew in another run.dir"
        )
    tell(f"going on from {checkpoint.name}")
    return progress


def _make_room(
    recipe: Recipe,
    kind: Family,
    loaded: Loaded,
    feed: Feed,
    material: Material,
    tell: Callable[[str], None],
) -> None:
    """Turn gradient checkpointing on where asked, or where the longest batch would not fit."""
    setting = recipe.model.gradient_checkpointing
    if setting == "auto":
        needed = training_state_bytes(loaded.model) + _longest_batch_bytes(
            recipe, kind, loaded, feed, material
        )
        free = free_memory_bytes(loaded.device)
        setting = "on" if needed > 0.9 * free else "off"
        tell(
            f"memory: about {needed / 1e9:.2f} GB beside the weights, {free / 1e9:.1f} GB free; "
            f"gradient checkpointing {setting}"
        )
    if setting == "on":
        kind.save_memory(loaded)


def _longest_batch_bytes(
    recipe: Recipe, kind: Family, loaded: Loaded, feed: Feed, material: Material
) -> int:
    store = next(feed.windows(0, 0))
    rows = rows_of(store.lengths, recipe.train.batching)

    def slots(row: np.ndarray) -> int:
        lengths = store.lengths[row]
        return int(lengths.sum() if feed.pad_id is None else lengths.max() * len(row))

    longest = max(rows, key=slots).tolist()
    batch = kind.batch(store, longest, [0] * len(longest), feed.pad_id).to(loaded.device)
    summed = WithObjective(loaded.model, kind.objective(recipe.model)).train()
    return activation_bytes(summed, batch)
