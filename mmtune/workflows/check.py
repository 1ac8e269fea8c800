"""`mmtune check`: all that a training run does before its first step, but for the weights."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from mmtune.config.recipe import Recipe
from mmtune.encoding.schedule import Schedule
from mmtune.errors import InputError
from mmtune.families.family import Format, family_of
from mmtune.families.outline import Outline
from mmtune.workflows.check_report import CheckReport, show
from mmtune.workflows.dataset import Opened, open_data
from mmtune.workflows.estimates import plan
from mmtune.workflows.preflight import check_disk, check_folder, check_positions
from mmtune.workflows.survey import Survey, refusals, survey
from mmtune.workflows.terminal import console, encoding_bar

Result = TypeVar("Result")


def run(recipe: Recipe, arguments: Sequence[str] = ()) -> None:
    """Print what a run of this recipe would be made of, and whether it could start.

    `arguments` are those of the command line: the recipe's file and overrides.

    Raises InputError with every fault that was found, in data, tokenizer, model and disk.
    """
    with TemporaryDirectory(prefix="mmtune-check-") as folder:
        _check(recipe, arguments, Path(folder))


def _check(recipe: Recipe, arguments: Sequence[str], folder: Path) -> None:
    faults: list[str] = []
    kind = family_of(recipe.model)
    opened = _or_fault(faults, lambda: open_data(recipe, folder))
    made = _or_fault(faults, lambda: kind.load_format(recipe.model, recipe.data.supervise))
    outline = _or_fault(faults, lambda: kind.outline(recipe.model, made)) if made else None
    found = None
    if opened and made:
        found = _or_fault(faults, lambda: survey(recipe, opened, made.chat_format, encoding_bar))
    if found and made:
        for refusal in refusals(recipe, found, made.chat_format):
            _or_fault(faults, refusal)
    _or_fault(faults, lambda: check_folder(recipe, Path(recipe.run.dir)))
    if outline:
        _or_fault(faults, lambda: check_positions(recipe, outline.max_positions or sys.maxsize))
        sizes = {"trained": outline.trainable_bytes, "weights": outline.weight_bytes}
        _or_fault(faults, lambda: check_disk(recipe, Path(recipe.run.dir), **sizes))
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
        made=made,
        outline=outline,
        survey=found,
        plan=planned,
    )
