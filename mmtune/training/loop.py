"""The only training loop. It knows batches, sums and steps; it knows no family.

Nothing in a step waits for the device. Whether a step's numbers are finite is decided where they
are, and they are read when they have arrived: with `deferred`, while the next step is running.
"""

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mmtune.encoding.batches import Batch
from mmtune.errors import TrainingDiverged
from mmtune.objectives.objective import Objective


@dataclass(frozen=True, slots=True)
class StepInput:
    """What one rank does in one optimizer step. Every rank has as many batches as any other."""

    step: int
    epoch: float
    batches: Sequence[Batch]
    num_targets: int
    """of all batches of all ranks"""
    num_tokens: int
    """likewise, padding left out"""
    num_slots: int
    """likewise, padding counted"""
    source_targets: dict[str, int]
    """likewise, by source"""
    example_ids: tuple[str, ...] = ()
    """likewise"""
    settles: bool = True
    """The caller looks at the weights after this step, so that no later one may have begun."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimizer step of all ranks did."""

    step: int
    epoch: float
    loss: float
    """mean over the step's targets; nan where the step was skipped"""
    lr: float
    grad_norm: float
    num_targets: int
    num_tokens: int
    padding_fraction: float
    seconds: float
    skipped: bool = False
    stop_signal: int = 0
    """the signal that some rank received, 0 if none; no later step has begun then"""
    source_losses: dict[str, float] = field(default_factory=dict)
    example_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How steps are taken."""

    learning_rate_at: Callable[[int], float]
    clip_norm: float
    max_skipped_steps: int
    seed: int
    stop_signal: Callable[[], int] = lambda: 0
    deferred: bool = False
    """Read a step's numbers while the next one runs. Needs a fused optimizer, which skips a step on
    the device itself, and weights that are not sharded."""


class WithObjective(nn.Module):
    """Model and objective as one module, so that wrappers (DDP, FSDP2) see the whole forward."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        # FSDP asks the outermost module which blocks to shard.
        self._no_split_modules = getattr(model, "_no_split_modules", None)

    def forward(self, batch: Batch) -> Tensor:
        return self.objective(self.model, batch)


def training_steps(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Iterable[StepInput],
    accelerator: Accelerator,
    settings: LoopSettings,
) -> Iterator[StepReport]:
    """Take one optimizer step per item; the caller logs, evaluates and saves in between.

    Args:
        model: a prepared `WithObjective`.
        optimizer: prepared with it.
        inputs: this rank's part of each step.

    Raises:
        TrainingDiverged: more than `max_skipped_steps` steps in a row had a loss or a gradient
            that is no number. The weights are those of the last good step.
    """
    model.train()
    skipped, since = 0, time.perf_counter()
    for report in _landed(_flights(model, optimizer, inputs, accelerator, settings)):
        now = time.perf_counter()
        skipped = skipped + 1 if report.skipped else 0
        yield replace(report, seconds=now - since)
        since = time.perf_counter()
        if skipped > settings.max_skipped_steps:
            raise TrainingDiverged(
                f"step {report.step}: loss or gradient was no number in {skipped} steps in a row "
                f"(gradient norm {report.grad_norm}); the weights are those of step "
                f"{report.step - skipped}. Lower train.learning_rate, or look at the examples of "
                "these steps in bad_steps.jsonl."
            )


@dataclass(frozen=True, slots=True)
class _Flight:
    """A step that the device was told to take, and the numbers that will come of it."""

    item: StepInput
    rate: float
    sums: Tensor
    """float32 [ranks, sources + 1]: loss sums, and the stop signal"""
    norm: Tensor
    deferred: bool
    arrived: torch.cuda.Event | None
    """None where there is nothing to wait for"""


def _flights(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Iterable[StepInput],
    accelerator: Accelerator,
    settings: LoopSettings,
) -> Iterator[_Flight]:
    for item in inputs:
        sums = _accumulate(model, item, accelerator, settings.seed)
        gathered = _over_ranks(sums, settings.stop_signal(), list(item.source_targets), accelerator)
        norm = accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm)
        norm = torch.as_tensor(norm, device=gathered.device)
        rate = settings.learning_rate_at(item.step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        good = gathered[:, :-1].sum().isfinite() & norm.isfinite()
        _step_where(good, optimizer, settings.deferred)
        optimizer.zero_grad(set_to_none=True)
        yield _Flight(
            item,
            rate,
            sums=gathered.to("cpu", non_blocking=True),
            norm=norm.to("cpu", non_blocking=True),
            deferred=settings.deferred,
            arrived=_event(gathered.device),
        )


def _event(device: torch.device) -> torch.cuda.Event | None:
    """Comes to pass when the device has done all that it was told so far."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def _step_where(good: Tensor, optimizer: torch.optim.Optimizer, deferred: bool) -> None:
    """Step if the gradients are numbers; decided on the device where `deferred`."""
    if not deferred:
        if good:
            optimizer.step()
        return
    # What a GradScaler tells fused kernels: where this is 1, they change nothing.
    inner: Any = getattr(optimizer, "optimizer", optimizer)
    inner.grad_scale, inner.found_inf = None, (~good).float()
    optimizer.step()


def _landed(flights: Iterator[_Flight]) -> Iterator[StepReport]:
    """Reports of steps whose numbers have arrived. One may be on its way while the next begins,
    but for one that settles; nor does a step begin after a stop signal was read."""
    waiting: deque[_Flight] = deque()
    for flight in flights:
        waiting.append(flight)
        if flight.deferred and not flight.item.settles and len(waiting) == 1:
            continue
        first = _report(waiting.popleft())
        if waiting and (first.stop_signal or waiting[-1].item.settles):
            yield replace(first, stop_signal=0)
            last = _report(waiting.popleft())
            yield replace(last, stop_signal=last.stop_signal or first.stop_signal)
        else:
            yield first
    while waiting:
        yield _report(waiting.popleft())


def _accumulate(
    model: nn.Module, item: StepInput, accelerator: Accelerator, seed: int
) -> dict[str, Tensor]:
    """Backward through every batch; gradients are of the step's mean over all ranks' targets."""
    sums: dict[str, Tensor] = {}
    last = len(item.batches) - 1
    # Wrappers average gradients over ranks; the count is global already, so that is undone here.
    scale = accelerator.num_processes / max(1, item.num_targets)
    for number, batch in enumerate(item.batches):
        _seed_dropout(seed, item.step, batch)
        with _synchronized(model, accelerator, number == last):
            by_document = model(batch.to(accelerator.device))
            accelerator.backward(by_document.sum() * scale)
        for source, value in zip(batch.sources, by_document.detach(), strict=True):
            sums[source] = sums[source] + value if source in sums else value
    return sums


def _synchronized(
    model: nn.Module, accelerator: Accelerator, last: bool
) -> AbstractContextManager[None]:
    return nullcontext() if last else accelerator.no_sync(model)


def _seed_dropout(seed: int, step: int, batch: Batch) -> None:
    """Dropout is a pure function of step and micro-batch, so that resuming needs no saved state of
    a generator, and so that it does not matter which rank the micro-batch falls to."""
    text = f"{seed}/{step}/{batch.example_ids[0]}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "little") >> 1)


def _over_ranks(
    sums: dict[str, Tensor], signal: int, sources: list[str], accelerator: Accelerator
) -> Tensor:
    """Loss sums by source and the stop signal, of all ranks, in one message."""
    zero = torch.zeros((), device=accelerator.device)
    local = torch.stack([sums.get(source, zero) for source in sources] + [zero + float(signal)])
    return accelerator.gather(local[None])


def _report(flight: _Flight) -> StepReport:
    """What came of a step; waits for its numbers where they have not arrived."""
    item = flight.item
    if flight.arrived is not None:
        flight.arrived.synchronize()
    totals = flight.sums[:, :-1].double().sum(0).tolist()
    by_source = dict(zip(item.source_targets, totals, strict=True))
    loss, norm = sum(totals) / max(1, item.num_targets), float(flight.norm)
    good = math.isfinite(loss) and math.isfinite(norm)
    means = {
        source: by_source[source] / count for source, count in item.source_targets.items() if count
    }
    return StepReport(
        step=item.step,
        epoch=item.epoch,
        loss=loss if good else math.nan,
        lr=flight.rate,
        grad_norm=norm,
        num_targets=item.num_targets,
        num_tokens=item.num_tokens,
        padding_fraction=1 - item.num_tokens / item.num_slots,
        seconds=0.0,
        skipped=not good,
        stop_signal=int(flight.sums[:, -1].max()),
        source_losses=means if good else {},
        example_ids=item.example_ids,
    )
