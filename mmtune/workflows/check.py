"""`mmtune check`: all that a training run does before its first step, but for the weights."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm

from mmtune.config.recipe import Recipe
from mmtune.encoding.samples import TokenSample
from mmtune.encoding.schedule import Schedule
from mmtune.errors import InputError
from mmtune.families.family import Format, family
from mmtune.families.outline import Outline
from mmtune.training.checkpoint import sorted_checkpoints
from mmtune.workflows.check_report import CheckReport, show
from mmtune.workflows.dataset import Opened, open_data
from mmtune.workflows.estimates import disk_bytes, free_disk_bytes, plan
from mmtune.workflows.survey import Survey, refusals, survey
from mmtune.workflows.terminal import console

Result = TypeVar("Result")


def run(recipe: Recipe, arguments: Sequence[str] = ()) -> None:
    """Print what a run of this recipe would be made of, and whether it could start.

    `arguments` are those of the command line: the recipe's file and overrides.

    Raises InputError with every fault that was found, in data, tokenizer, model and disk.
    """
    faults: list[str] = []
    kind = family(recipe.model.family)
    opened = _or_fault(faults, lambda: open_data(recipe))
    made = _or_fault(faults, lambda: kind.load_format(recipe.model, recipe.data.supervise))
    outline = _or_fault(faults, lambda: kind.outline(recipe.model, made)) if made else None
    found = None
    if opened and made:
        found = _or_fault(faults, lambda: survey(recipe, opened, made.chat_format, _bar))
    if found and made:
        for refusal in refusals(recipe, found, made.chat_format):
            _or_fault(faults, refusal)
    _or_fault(faults, lambda: _check_positions(recipe, outline))
    _or_fault(faults, lambda: _check_folder(recipe, outline))
    show(_report(recipe, opened, made, outline, found), console())
    if faults:
        raise InputError(*faults)
    print(f"\nready: accelerate launch -m mmtune.train {shlex.join(arguments) or 'CONFIG.yaml'}")


def _or_fault(faults: list[str], action: Callable[[], Result]) -> Result | None:
    """What it returns; where it refuses the input, its faults join the others."""
    try:
        return action()
    except InputError as error:
        faults += error.faults
        return None


def _check_positions(recipe: Recipe, outline: Outline | None) -> None:
    positions, wanted = outline.max_positions if outline else 0, recipe.data.max_tokens
    if 0 < positions < wanted:
        raise InputError(
            f"data.max_tokens is {wanted}, but {recipe.model.path} has positions for {positions} "
            f"tokens; set data.max_tokens={positions} or less"
        )


def _check_folder(recipe: Recipe, outline: Outline | None) -> None:
    folder = Path(recipe.run.dir)
    faults = []
    if recipe.train.resume == "never" and sorted_checkpoints(folder / "checkpoints"):
        faults.append(
            f"run.dir: {folder} holds a run with checkpoints already; set train.resume=auto to go "
            "on with it, or give another run.dir"
        )
    if outline and (need := disk_bytes(recipe, outline)) > (free := free_disk_bytes(folder)):
        faults.append(
            f"run.dir: checkpoints and final/ need {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are "
            f"free at {folder}; lower train.keep_last or give another run.dir"
        )
    if faults:
        raise InputError(*faults)


def _report(
    recipe: Recipe,
    opened: Opened | None,
    made: Format | None,
    outline: Outline | None,
    found: Survey | None,
) -> CheckReport:
    section = recipe.train
    planned = None
    if found is not None and len(found.lengths):
        planned = plan(
            Schedule(found.lengths, section.batch, section.batching, section.seed), section
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return CheckReport(
        recipe=recipe,
        device=device,
        sources=opened.described() if opened else [],
        notes=made.notes if made else (),
        outline=outline,
        survey=found,
        plan=planned,
    )


def _bar(batches: Iterator[list[TokenSample]]) -> Iterator[list[TokenSample]]:
    with tqdm(desc="encoding", unit="row", delay=1, leave=False, disable=None) as bar:
        for batch in batches:
            bar.update(len(batch))
            yield batch
