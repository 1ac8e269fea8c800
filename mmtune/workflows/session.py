"""What a training run holds open, and how it is opened: data, model, optimizer, place to resume."""

import os
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmtune.config.load import to_yaml
from mmtune.config.recipe import Recipe
from mmtune.encoding.store import TokenStore
from mmtune.errors import CheckpointError, ConfigError
from mmtune.families.family import Family, Loaded, family_of
from mmtune.training.checkpoint import Progress, load_checkpoint, progress_of
from mmtune.training.checkpoint_files import (
    clear_way,
    newest_good,
    read_state,
    remove_old,
    saved_steps,
)
from mmtune.training.checkpoint_writer import CheckpointWriter
from mmtune.training.loop import WithObjective
from mmtune.training.optimizer import make_optimizer
from mmtune.training.tracking import Tracker, open_tracker, write_whole
from mmtune.training.tripwires import SpikeWatch
from mmtune.types import Conversation, Example
from mmtune.workflows.choice import Candidate, Choice, reopen
from mmtune.workflows.fingerprints import differences
from mmtune.workflows.host_memory import keep_freed_memory
from mmtune.workflows.material import Material, Tell, gather
from mmtune.workflows.preflight import (
    SAVED_RECIPE,
    check_disk,
    check_positions,
    fit_longest_batch,
    make_room,
    try_first_batch,
    weights_of,
)
from mmtune.workflows.steps import Feed, Ranks, total_steps


@dataclass(slots=True)
class Session:
    """A run's open parts; the last few change while it goes."""

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
    choice: Choice
    tracker: Tracker
    writer: CheckpointWriter
    spikes: SpikeWatch
    chosen: Candidate | None = None
    """Whose weights became `final/`; None: those of the last step"""

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
    def can_defer(self) -> bool:
        """Whether a step's numbers may be read while the next one runs."""
        fused = self.recipe.train.optimizer.kind == "adamw"
        return fused and self.accelerator.device.type == "cuda" and self.can_generate

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
        keep_freed_memory()
    return accelerator


def open_session(recipe: Recipe, folder: Path, accelerator: Accelerator) -> Session:
    """Open everything; whatever is wrong with the recipe, the data or the model comes out here."""
    main = accelerator.is_main_process
    tell = print if main else _silent
    checkpoint = _checkpoint_to_resume(recipe, folder, main, tell)
    kind = family_of(recipe.model)
    loaded = kind.load(
        recipe.model, accelerator.device, seed=recipe.train.seed, supervise=recipe.data.supervise
    )
    check_positions(recipe, loaded.max_tokens)
    check_disk(recipe, folder, **weights_of(loaded.model))
    loaded = kind.with_noise(loaded, recipe.train.neftune_alpha)
    for note in loaded.notes:
        tell(note)
    material = gather(recipe, folder, loaded.chat_format, accelerator, tell)
    progress = _progress(checkpoint, material)
    feed = _feed(recipe, kind, loaded, material, progress, accelerator)
    first = next(material.windows(progress.epoch, progress.window))
    make_room(recipe, kind, loaded, feed, first, tell)
    summed = WithObjective(loaded.model, kind.objective(recipe.model))
    if recipe.model.compile:
        loaded.model.base.get_decoder().compile(dynamic=True)
    model, optimizer = accelerator.prepare(summed, make_optimizer(summed, recipe.train))
    if isinstance(model, DistributedDataParallel):
        # Buffers are alike on every rank. Were they sent round at each forward, a rank that runs
        # out of memory in one would be out of step with the others ever after.
        model.broadcast_buffers = False
    feed = fit_longest_batch(feed, first, model, optimizer, accelerator, tell)
    try_first_batch(feed, first, model, accelerator, tell)
    if checkpoint is not None:
        load_checkpoint(checkpoint, model, optimizer)
        tell(f"going on from {checkpoint.name}")
    steps = total_steps(recipe.train, material.schedule(feed))
    tell(f"{steps:,} steps, {recipe.train.batch.count} {recipe.train.batch.kind} each")
    if main:
        clear_way(folder / "checkpoints", progress.step)
        write_whole(folder / SAVED_RECIPE, to_yaml(recipe))
    tracker = open_tracker(
        folder, total_steps=steps, done_steps=progress.step, recipe=recipe, writes=main
    )
    if main and feed.pieces > 1 and not (checkpoint and progress.pieces == feed.pieces):
        tracker.write(
            {"step": progress.step, "epoch": progress.position, "micro_batch_pieces": feed.pieces}
        )
    progress = replace(progress, pieces=feed.pieces)
    choice = reopen(folder / "selection.json", recipe.train.select, progress.step)
    writer = CheckpointWriter(
        folder / "checkpoints", tracker.say, lambda: let_go(folder, recipe, choice)
    )
    spikes = SpikeWatch(recipe.train.spike_stop, deque(progress.recent_losses), progress.spikes)
    return Session(
        recipe, folder, accelerator, kind, loaded, material, feed, model, optimizer, steps,
        progress, choice, tracker, writer, spikes,
    )  # fmt: skip


def let_go(folder: Path, recipe: Recipe, choice: Choice) -> None:
    """Remove old checkpoints, but never the best one so far."""
    parent = folder / "checkpoints"
    best = choice.best(saved_steps(parent))
    keep = parent / f"step-{best.step}" if best else None
    remove_old(parent, recipe.train.keep_last, keep)


def _silent(_text: str) -> None:
    """Ranks other than the first do not print."""


def _checkpoint_to_resume(recipe: Recipe, folder: Path, main: bool, tell: Tell) -> Path | None:
    """The newest good one. The main rank looks, so that all take the same."""
    if recipe.train.resume == "never":
        return None
    found = [newest_good(folder / "checkpoints", tell) if main else None]
    broadcast_object_list(found)
    return found[0]


def _progress(checkpoint: Path | None, material: Material) -> Progress:
    """Where the run stands: at its start, or where the checkpoint was written.

    Raises CheckpointError where it was made of other data, or with another tokenizer.
    """
    if checkpoint is None:
        return Progress(made_of=material.fingerprints)
    progress = progress_of(read_state(checkpoint))
    if changed := differences(progress.made_of, material.fingerprints):
        raise CheckpointError(
            *(
                f"{checkpoint}: {line}; put that back, or start anew in another run.dir"
                for line in changed
            )
        )
    return progress


def _feed(
    recipe: Recipe,
    kind: Family,
    loaded: Loaded,
    material: Material,
    progress: Progress,
    accelerator: Accelerator,
) -> Feed:
    packed = recipe.train.batching.kind == "packed"
    return Feed(
        material.windows,
        recipe.train,
        kind.batch,
        None if packed else loaded.tokenizer.pad_token_id,
        Ranks(accelerator.process_index, accelerator.num_processes),
        recipe.data.streaming,
        progress.pieces,
    )
