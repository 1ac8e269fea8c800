"""`mmtune bench text`: how near training comes to a bare torch loop, and both to the machine.

The same model, rows and steps go through the real path (session, loop, metrics) and through the
bare loop, in turn, a few steps each, so that a busy machine slows both.
"""

import contextlib
import io
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mmtune.config.bench import TextBench
from mmtune.config.load import load_section
from mmtune.config.recipe import Recipe
from mmtune.encoding.batches import TokenBatch
from mmtune.errors import ConfigError, InputError
from mmtune.families.bare_llama import bare_copy, bare_loss, places_learnt
from mmtune.families.flop import MatmulSizes, matmul_sizes, step_flop
from mmtune.families.fresh import LanguageModelShape
from mmtune.training.loop import LoopSettings, StepInput, training_steps
from mmtune.training.optimizer import learning_rate, make_optimizer
from mmtune.workflows.bench_rows import bench_rows, write_bench
from mmtune.workflows.session import Session, make_accelerator, open_session
from mmtune.workflows.steps import step_inputs

_BLOCK = 3
"""Steps that each side takes before it is the other's turn."""
_SAME_LOSS = 1e-2
_MAX_STEPS = 10**6


@dataclass(slots=True)
class Lane:
    """What one side did, the first block left out."""

    tokens: int = 0
    flop: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """Of each block: the other side's seconds over this one's"""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both sides, and the machine's own limit."""

    ours: Lane
    bare: Lane
    peak: float
    """FLOP/s of a large product of matrices"""
    clock: str
    busy: bool
    """The machine had other work when this began"""

    @property
    def ratio(self) -> float:
        """Our speed over the bare loop's: the median of the blocks'."""
        return statistics.median(self.ours.ratios)


def run(subject: str, overrides: list[str]) -> None:
    """Measure and print; everything is made in a folder that goes away.

    Raises ConfigError for keys that are not those of `TextBench`.
    """
    if subject != "text":
        raise InputError(f"mmtune bench {subject}: only text can be measured in this version")
    with tempfile.TemporaryDirectory(prefix="mmtune-bench-") as folder:
        outcome = bench_text(read_section(Path(folder), overrides), Path(folder))
    print(described(outcome))


def read_section(folder: Path, overrides: list[str]) -> TextBench:
    """The defaults with the command line's keys on top."""
    empty = folder / "bench.yaml"
    empty.write_text("{}")
    try:
        return load_section(empty, overrides, TextBench)
    except ConfigError as error:
        # The file is none of the user's: what is told of it is told of the keys.
        raise ConfigError(*(fault.removeprefix(f"{empty}: ") for fault in error.faults)) from error


def bench_text(section: TextBench, folder: Path) -> Outcome:
    """Train both ways in `folder`; takes about `section.seconds` and some for making things."""
    shape = LanguageModelShape(
        section.vocabulary, section.width, section.layers, section.heads, section.feed_forward
    )
    with _quiet():
        write_bench(folder, bench_rows(section.examples, section.seed), shape)
        recipe = _recipe(section, folder)
        session = open_session(recipe, folder / "run", make_accelerator(recipe))
    session.tracker.bar.disable = True
    try:
        return _measured(session, section.seconds)
    finally:
        session.tracker.close()


def described(outcome: Outcome) -> str:
    """The table that is printed."""
    lines = [f"{'':<12}{'tokens/s':>12}{'GFLOP/s':>12}{'of the peak':>14}"]
    for name, lane in (("bare loop", outcome.bare), ("mmtune", outcome.ours)):
        rate = lane.flop / lane.seconds
        lines.append(
            f"{name:<12}{lane.tokens_per_second:>12,.0f}{rate / 1e9:>12,.1f}"
            f"{rate / outcome.peak:>14.0%}"
        )
    return "\n".join(
        [
            *lines,
            f"peak: {outcome.peak / 1e9:,.0f} GFLOP/s, of large matrix products; {outcome.clock}",
            f"mmtune runs at {outcome.ratio:.2f} of the bare loop ({outcome.ours.tokens:,} tokens, "
            "median of the turns)",
            *(["the machine is busy with other work: all figures are low"] if outcome.busy else []),
        ]
    )


def _recipe(section: TextBench, folder: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "model": {
                "family": "text",
                "path": str(folder / "model"),
                "gradient_checkpointing": "off",
            },
            "data": {
                "path": str(folder / "rows.jsonl"),
                "max_tokens": 1024,
                "overlong": "truncate",
            },
            "train": {
                "seed": section.seed,
                "learning_rate": 1e-4,
                "max_steps": _MAX_STEPS,
                "batch": {"kind": "rows", "count": 1},
                "batching": {"kind": "packed", "row_tokens": section.row_tokens},
                "save_every_steps": _MAX_STEPS,
            },
            "samples": {"count": 0},
            "run": {"dir": str(folder / "run"), "threads": section.threads},
        }
    )


def _measured(session: Session, seconds: float) -> Outcome:
    device = session.accelerator.device
    clock, in_words = _clock(device)
    busy = os.getloadavg()[0] > len(os.sched_getaffinity(0)) / 2
    sizes = matmul_sizes(session.loaded.model.base)
    turns, bare = _Turns(session), _bare_steps(session)
    ours_lane, bare_lane = Lane(), Lane()
    with tqdm(total=round(seconds), unit="s", desc="measuring", leave=False, disable=None) as bar:
        for number in range(_MAX_STEPS):
            spent, losses = _timed(turns.take, clock)
            items = turns.items
            bare_spent, bare_losses = _timed(partial(bare, items), clock)
            _check_same(losses, bare_losses)
            if number:  # the first block warms up
                _add(ours_lane, items, sizes, spent, losses)
                _add(bare_lane, items, sizes, bare_spent, bare_losses)
                ours_lane.ratios.append(bare_spent / spent)
                bar.update(min(bar.total - bar.n, round(spent + bare_spent, 1)))
            if ours_lane.seconds + bare_lane.seconds >= seconds:
                break
    dtype = torch.bfloat16 if session.accelerator.mixed_precision == "bf16" else torch.float32
    return Outcome(ours_lane, bare_lane, _peak(device, dtype, clock), in_words, busy)


class _Turns:
    """The real loop, a block of steps at a time, with the metrics written as in training."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.items: list[StepInput] = []
        section = session.recipe.train
        settings = LoopSettings(
            learning_rate_at=lambda step: learning_rate(section, step, session.steps),
            clip_norm=section.clip_norm,
            max_skipped_steps=section.max_skipped_steps,
            seed=section.seed,
            deferred=session.can_defer,
        )
        self._steps = training_steps(
            session.model, session.optimizer, self._inputs(), session.accelerator, settings
        )

    def _inputs(self) -> Iterator[StepInput]:
        for item, *_ in step_inputs(self.session.feed, self.session.progress, self.session.steps):
            self.items.append(item)
            yield item

    def take(self) -> list[float]:
        """Losses of the next block of steps."""
        self.items = []
        losses = []
        for report in islice(self._steps, _BLOCK):
            self.session.tracker.step(report)
            losses.append(report.loss)
        return losses


def _bare_steps(session: Session) -> Callable[[list[StepInput]], list[float]]:
    """A block of the same steps by hand: forward, backward, clipping, AdamW; their losses."""
    model = bare_copy(session.loaded.model.base)
    section, device = session.recipe.train, session.accelerator.device
    optimizer = make_optimizer(_Parameters(model.parameters()), section)

    def step(item: StepInput) -> float:
        batch = item.batches[0]
        assert isinstance(batch, TokenBatch)
        places = places_learnt(batch).to(device)
        with session.accelerator.autocast():
            loss = bare_loss(model, batch.to(device), places) / item.num_targets
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), section.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(section, item.step, session.steps)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return lambda items: [step(item) for item in items]


class _Parameters(torch.nn.Module):
    """Leaves in the shape that an optimizer is made from."""

    def __init__(self, leaves: list[torch.Tensor]) -> None:
        super().__init__()
        self.leaves = torch.nn.ParameterList(leaves)


def _clock(device: torch.device) -> tuple[Callable[[], float], str]:
    """CPU time on one thread, which neighbours on the machine disturb least; else wall time."""
    if device.type == "cuda":

        def after_device() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return after_device, f"wall time on {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    if threads == 1:
        return time.process_time, "CPU time on 1 thread"
    return time.perf_counter, f"wall time on {threads} threads"


def _peak(device: torch.device, dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """FLOP/s of the best of ten square products."""
    size = 8192 if device.type == "cuda" else 1024
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    matrix @ matrix
    return 2 * size**3 / min(_timed(lambda: matrix @ matrix, clock)[0] for _ in range(10))


def _timed(action: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    start = clock()
    result = action()
    return clock() - start, result


def _check_same(ours: list[float], bare: list[float]) -> None:
    """The race is void where the two do not do the same work."""
    for one, other in zip(ours, bare, strict=True):
        if not math.isclose(one, other, rel_tol=_SAME_LOSS):
            raise AssertionError(f"the bare loop is at loss {other}, mmtune at {one}")


def _add(
    lane: Lane, items: list[StepInput], sizes: MatmulSizes, seconds: float, losses: list[float]
) -> None:
    for batch in (batch for item in items for batch in item.batches):
        assert isinstance(batch, TokenBatch)
        lane.tokens += batch.num_tokens
        lane.flop += step_flop(sizes, batch.document_lengths, batch.num_targets)
    lane.seconds += seconds
    lane.losses += losses


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What training says while it starts is not asked for here."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stderr(nothing),
    ):
        yield
