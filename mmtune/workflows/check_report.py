"""The pages of `mmtune check`: tables, bars, examples and estimates out of what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmtune.config.recipe import Recipe
from mmtune.encoding.samples import TokenSample
from mmtune.families.family import Format
from mmtune.families.outline import Outline
from mmtune.training.memory import free_memory_bytes
from mmtune.workflows.documents import Document, Marks, marked
from mmtune.workflows.estimates import (
    Plan,
    flop_per_token,
    free_disk_bytes,
    histogram,
    matmul_flop_per_second,
    memory,
    percentiles,
)
from mmtune.workflows.preflight import disk_bytes
from mmtune.workflows.survey import Survey, Tally, worth_a_look
from mmtune.workflows.terminal import has_colours, visible

_OPTIMIZERS = {"adamw": "AdamW", "adafactor": "Adafactor"}
_BAR = 40
_EXAMPLE_CHARS = 400
"""Shown of each stretch of an example."""
_STORED_BYTES = 5
"""Of a token on disk: its id, and whether it is learnt."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found; None or empty where a fault kept it from being found."""

    recipe: Recipe
    device: torch.device
    sources: Sequence[str]
    made: Format | None
    outline: Outline | None
    survey: Survey | None
    plan: Plan | None


def show(report: CheckReport, out: Console) -> None:
    """Print all of it."""
    notes = report.made.notes if report.made is not None else ()
    for line in (*report.sources, *notes):
        out.print(visible(line))
    if report.survey is not None:
        _show_rows(report, report.survey, out)
        if report.made is not None:
            _show_examples(report.survey, report.made, out)
    if report.survey is not None and report.plan is not None:
        _show_lengths(report.survey, out)
        _show_plan(report, report.plan, out)
    if report.outline is not None:
        _show_model(report.outline, out)
        _show_needs(report, report.outline, out)


def _show_rows(report: CheckReport, found: Survey, out: Console) -> None:
    _title("Rows", out)
    if report.recipe.data.streaming:
        out.print(f"  (streaming: of the first {report.recipe.data.window_rows:,} rows only)")
    learnt = [("", counts) for counts in found.accounts.counts.values()]
    aside = [("held out: ", counts) for counts in found.aside.counts.values()]
    for start, counts in learnt + aside:
        line = f"  {start}{visible(counts.described())}"
        out.print(line, style="yellow" if counts.dropped or counts.cut else None)
        for dropped in counts.first_dropped[:3]:
            place = f"    {dropped.where} {dropped.reason}: {dropped.detail}"
            out.print(visible(place)[:200].replace("\n", " "), style="dim")
    if found.test_prompts:
        out.print(f"  {found.test_prompts:,} test prompts")
    out.print()
    out.print(_coverage({"": found.tallies, "held out: ": found.dev}))


def _coverage(tallies: Mapping[str, Mapping[str, Tally]]) -> Table:
    """A row a source, what is held out after what is learnt."""
    table = _table("source", "samples", "tokens", "learnt", "share", "longest")
    for start, part in tallies.items():
        for name, tally in part.items():
            numbers = (tally.samples, tally.tokens, tally.targets)
            share = f"{tally.targets / max(1, tally.tokens):.1%}"
            cells = (*(f"{n:,}" for n in numbers), share, f"{tally.longest:,}")
            table.add_row(start + visible(name), *cells)
    return table


def _show_examples(found: Survey, made: Format, out: Console) -> None:
    marks = Marks.COLOURS if has_colours() else Marks.BRACKETS
    told = "in green" if marks is Marks.COLOURS else "between ⟦ and ⟧"
    _title("Examples", out, f": what is learnt stands {told}")
    for why, sample in worth_a_look(found):
        learnt = int(sample.supervised[1:].sum())
        out.print(
            f"── {visible(why)} · {visible(sample.example_id)} · {len(sample.ids):,} tokens, "
            f"{learnt:,} learnt ──",
            style="dim",
        )
        stop_ids = made.chat_format.stop_ids
        document = _document(sample)
        out.print(marked(document, made.tokenizer, stop_ids, marks, most_chars=_EXAMPLE_CHARS))


def _document(sample: TokenSample) -> Document:
    learnt = sample.supervised.copy()
    learnt[:1] = False  # nothing comes before the first token that could predict it
    return Document(sample.example_id, sample.source, sample.ids, learnt)


def _show_lengths(found: Survey, out: Console) -> None:
    cuts = ", ".join(f"{name} {value:,}" for name, value in percentiles(found.lengths).items())
    _title("Lengths in tokens", out, f": {cuts}")
    bins = histogram(found.lengths)
    most = max(count for _, _, count in bins)
    wide = max(len(f"{high:,}") for _, high, _ in bins)
    for low, high, count in bins:
        bar = "█" * -(-count * _BAR // most)
        out.print(f"  {low:>{wide},} to {high:>{wide},} {bar} {count:,}")


def _show_plan(report: CheckReport, planned: Plan, out: Console) -> None:
    section = report.recipe.train
    one = "window" if report.recipe.data.streaming else "epoch"
    _title("Steps", out)
    lines = {
        "steps": f"{planned.steps_per_epoch:,} a{'n' if one == 'epoch' else ''} {one} "
        f"({section.batch.count} {section.batch.kind} each), {planned.steps:,} in all",
        "micro-batches": f"{planned.micro_batches:,} of up to {section.batching.row_tokens:,} "
        f"tokens, {section.batching.kind}: {planned.tokens / planned.capacity:.1%} filled, "
        f"{1 - planned.tokens / planned.slots:.1%} of what is computed is padding",
    }
    out.print(_facts(lines))


def _show_model(outline: Outline, out: Console) -> None:
    _title(outline.kind, out)
    table = _table("part", "parameters", "trained")
    for row in outline.parts:
        table.add_row(row.part, f"{row.parameters:,}", f"{row.trainable:,}")
    out.print(table)


def _show_needs(report: CheckReport, outline: Outline, out: Console) -> None:
    low = _computes_low(report.recipe, report.device)
    planned = report.plan
    lines: dict[str, str | Text] = {}
    if planned is not None:
        lines["memory"] = _memory(report, outline, planned, 2 if low else 4)
    lines["disk"] = _disk(report, outline)
    if planned is not None:
        precision = torch.bfloat16 if low else torch.float32
        lines["time"] = _time(report, outline, planned, precision)
    _title(f"Needs on one {report.device.type}", out, " (estimates)")
    out.print(_facts(lines))


def _memory(report: CheckReport, outline: Outline, planned: Plan, value_bytes: int) -> Text:
    need = memory(report.recipe, outline, planned.largest, value_bytes=value_bytes)
    free = free_memory_bytes(report.device)
    parts = {
        "weights": need.weights,
        "gradients": need.gradients,
        f"{_OPTIMIZERS[report.recipe.train.optimizer.kind]}'s moments": need.moments,
        f"activations of {sum(planned.largest):,} tokens": need.activations,
        "logits": need.logits,
    }
    shown = ", ".join(f"{what} {_size(size)}" for what, size in parts.items())
    text = Text(f"{_size(need.total)} of {_size(free)} free: {shown}")
    if need.total > free:
        text.append(
            "\nmore than there is here: model.gradient_checkpointing, train.batching.row_tokens, "
            "model.adapter.kind=lora or more devices would help",
            "yellow",
        )
    return text


def _disk(report: CheckReport, outline: Outline) -> str:
    recipe = report.recipe
    sizes = {"trained": outline.trainable_bytes, "weights": outline.weight_bytes}
    need = disk_bytes(recipe, **sizes)
    shown = f"{recipe.train.keep_last} checkpoints kept and one being written, final/"
    if report.survey is not None:
        need += _STORED_BYTES * report.survey.tokens
        shown += f", {_size(_STORED_BYTES * report.survey.tokens)} of encoded rows"
    free = free_disk_bytes(Path(recipe.run.dir))
    return f"{_size(need)} of {_size(free)} free: {shown}"


def _time(report: CheckReport, outline: Outline, planned: Plan, dtype: torch.dtype) -> str:
    epochs = planned.steps / max(1, planned.steps_per_epoch)
    flop = flop_per_token(outline) * planned.slots * epochs
    speed = matmul_flop_per_second(report.device, dtype)
    factor = flop_per_token(outline) / max(1, outline.parameters)
    return (
        f"{_duration(flop / speed)} at best: {flop:.2g} FLOP ({factor:.2g} x parameters x tokens) "
        f"at the {speed / 1e9:,.0f} GFLOP/s that a matrix product reaches here now. Attention, "
        "testing, saving and all that is no matrix product come on top"
    )


def _computes_low(recipe: Recipe, device: torch.device) -> bool:
    """Whether layers compute in bfloat16."""
    precision = recipe.train.mixed_precision
    if precision == "auto":
        return device.type == "cuda" or recipe.model.dtype == "bfloat16"
    return precision == "bf16" or recipe.model.dtype == "bfloat16"


def _title(words: str, out: Console, more: str = "") -> None:
    out.print(Text.assemble("\n", (words, "bold"), more))


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=True, header_style="dim")
    table.add_column(first, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right")
    return table


def _facts(lines: Mapping[str, str | Text]) -> Table:
    """Names on the left, what is said of them beside; long ones go on below themselves."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, line in lines.items():
        table.add_row(f"  {name}", line)
    return table


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
