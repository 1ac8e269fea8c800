"""The pages of `mmtune check`: tables, bars and estimates out of what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mmtune.config.recipe import Recipe
from mmtune.families.outline import Outline
from mmtune.training.memory import free_memory_bytes
from mmtune.workflows.estimates import (
    Plan,
    disk_bytes,
    flop_per_token,
    free_disk_bytes,
    histogram,
    matmul_flop_per_second,
    memory,
    percentiles,
)
from mmtune.workflows.survey import Survey, Tally
from mmtune.workflows.terminal import visible

_BAR = 50


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found; None or empty where a fault kept it from being found."""

    recipe: Recipe
    device: torch.device
    sources: Sequence[str]
    notes: Sequence[str]
    outline: Outline | None
    survey: Survey | None
    plan: Plan | None


def show(report: CheckReport, out: Console) -> None:
    """Print all of it."""
    for line in (*report.sources, *report.notes):
        out.print(visible(line))
    if report.survey is not None:
        _show_rows(report, report.survey, out)
    if report.survey is not None and report.plan is not None:
        _show_lengths(report.survey, out)
        _show_plan(report, report.plan, out)
    if report.outline is not None:
        _show_model(report.outline, out)
        _show_needs(report, report.outline, out)


def _show_rows(report: CheckReport, found: Survey, out: Console) -> None:
    out.print("\nRows", style="bold")
    if report.recipe.data.streaming:
        out.print(f"  (streaming: of the first {report.recipe.data.window_rows:,} rows only)")
    learnt = [("", counts) for counts in found.accounts.counts.values()]
    aside = [("held out: ", counts) for counts in found.aside.counts.values()]
    for start, counts in learnt + aside:
        line = f"  {start}{visible(counts.described())}"
        out.print(line, style="yellow" if counts.dropped else None)
        for dropped in counts.first_dropped[:3]:
            place = f"    {dropped.where} {dropped.reason}: {dropped.detail}"
            out.print(visible(place)[:300].replace("\n", " "), style="dim")
    if found.test_prompts:
        out.print(f"  {found.test_prompts:,} test prompts")
    out.print()
    out.print(_coverage(found.tallies, "Label coverage"))
    if found.dev:
        out.print(_coverage(found.dev, "Label coverage, dev"))


def _coverage(tallies: Mapping[str, Tally], title: str) -> Table:
    columns = ("source", "samples", "tokens", "tokens learnt", "share learnt", "longest")
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for name, tally in tallies.items():
        numbers = (tally.samples, tally.tokens, tally.targets)
        share = f"{tally.targets / max(1, tally.tokens):.1%}"
        table.add_row(visible(name), *(f"{n:,}" for n in numbers), share, f"{tally.longest:,}")
    return table


def _show_lengths(found: Survey, out: Console) -> None:
    cuts = ", ".join(f"{name} {value:,}" for name, value in percentiles(found.lengths).items())
    out.print("\nLengths in tokens: ", style="bold", end="")
    out.print(cuts)
    bins = histogram(found.lengths)
    most = max(count for _, _, count in bins)
    for low, high, count in bins:
        bar = "█" * -(-count * _BAR // most)
        out.print(f"  {low:>6,} to {high:>6,} {bar} {count:,}")


def _show_plan(report: CheckReport, planned: Plan, out: Console) -> None:
    section = report.recipe.train
    out.print("\nSteps", style="bold")
    out.print(
        f"  {planned.micro_batches:,} micro-batches an epoch ({section.batching.kind}), "
        f"{planned.tokens / planned.capacity:.1%} of their {section.batching.row_tokens:,} tokens "
        f"filled, {1 - planned.tokens / planned.slots:.1%} of what is computed is padding"
    )
    per_epoch = "a window" if report.recipe.data.streaming else "an epoch"
    out.print(
        f"  {planned.steps_per_epoch:,} steps {per_epoch} ({section.batch.count} "
        f"{section.batch.kind} each), {planned.steps:,} in all"
    )


def _show_model(outline: Outline, out: Console) -> None:
    table = Table(title=f"\n{outline.kind}", title_justify="left")
    for number, column in enumerate(("part", "parameters", "trained")):
        table.add_column(column, justify="right" if number else "left")
    for row in outline.parts:
        table.add_row(row.part, f"{row.parameters:,}", f"{row.trainable:,}")
    out.print(table)


def _show_needs(report: CheckReport, outline: Outline, out: Console) -> None:
    recipe, planned = report.recipe, report.plan
    low = _computes_low(recipe, report.device)
    out.print(f"\nOn one {report.device.type} (estimates)", style="bold")
    if planned is not None:
        _show_memory(report, outline, planned.largest, value_bytes=2 if low else 4, out=out)
    need, free = disk_bytes(recipe, outline), free_disk_bytes(Path(recipe.run.dir))
    out.print(
        f"  disk: {_size(need)} (checkpoints of weights and two moments: "
        f"{recipe.train.keep_last} kept, one being written; final/), {_size(free)} free"
    )
    if planned is not None:
        _show_time(report, outline, planned, torch.bfloat16 if low else torch.float32, out)


def _show_memory(
    report: CheckReport, outline: Outline, slots: int, *, value_bytes: int, out: Console
) -> None:
    need = memory(report.recipe, outline, slots, value_bytes=value_bytes)
    free = free_memory_bytes(report.device)
    parts = {
        "weights": need.weights,
        "gradients": need.gradients,
        "AdamW's moments": need.moments,
        f"activations of {slots:,} tokens": need.activations,
        "logits": need.logits,
    }
    out.print(
        f"  memory: {_size(need.total)} = "
        + " + ".join(f"{_size(size)} {what}" for what, size in parts.items())
        + f"; {_size(free)} free"
    )
    if need.total > free:
        out.print(
            "  that is more than there is here: model.gradient_checkpointing, "
            "train.batching.row_tokens, model.adapter.kind=lora or more devices would help",
            style="yellow",
        )


def _show_time(
    report: CheckReport, outline: Outline, planned: Plan, dtype: torch.dtype, out: Console
) -> None:
    epochs = planned.steps / max(1, planned.steps_per_epoch)
    flop = flop_per_token(outline) * planned.slots * epochs
    speed = matmul_flop_per_second(report.device, dtype)
    out.print(
        f"  time: at best {_duration(flop / speed)} ({flop:.2g} FLOP, 6 x parameters x tokens, at "
        f"the {speed / 1e9:,.0f} GFLOP/s that a matrix product reaches here now; "
        "testing, saving and everything that is no matrix product come on top)"
    )


def _computes_low(recipe: Recipe, device: torch.device) -> bool:
    """Whether layers compute in bfloat16."""
    precision = recipe.train.mixed_precision
    if precision == "auto":
        return device.type == "cuda" or recipe.model.dtype == "bfloat16"
    return precision == "bf16" or recipe.model.dtype == "bfloat16"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
