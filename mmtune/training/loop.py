"""The only training loop. It knows batches, sums and steps; it knows no family."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

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
    """the signal that some rank received, 0 if none"""
    source_losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How steps are taken."""

    learning_rate_at: Callable[[int], float]
    clip_norm: float
    max_skipped_steps: int
    seed: int
    stop_signal: Callable[[], int] = lambda: 0


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
    """Take one optimizer step per item yielded; the caller logs, evaluates and saves in between.

    Args:
        model: a prepared `WithObjective`.
        optimizer: prepared with it.
        inputs: this rank's part of each step.

    Raises:
        TrainingDiverged: more than `max_skipped_steps` steps in a row had a loss or a gradient
            that is no number. The weights are those of the last good step.
    """
    model.train()
    skipped = 0
    for item in inputs:
        started = time.perf_counter()
        sums = _accumulate(model, item, accelerator, settings.seed)
        totals = _over_ranks(sums, settings.stop_signal(), list(item.source_targets), accelerator)
        grad_norm = float(accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm))
        loss = sum(totals.by_source.values()) / max(1, item.num_targets)
        good = math.isfinite(loss) and math.isfinite(grad_norm)
        rate = settings.learning_rate_at(item.step)
        if good:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        skipped = 0 if good else skipped + 1
        yield _report(item, totals, loss, rate, grad_norm, time.perf_counter() - started, good)
        if skipped > settings.max_skipped_steps:
            raise TrainingDiverged(
                f"step {item.step}: loss or gradient was no number in {skipped} steps in a row "
                f"(loss {loss}, gradient norm {grad_norm}); the weights are those of step "
                f"{item.step - skipped}. Lower train.learning_rate, or look at the saved examples."
            )


@dataclass(frozen=True, slots=True)
class _Totals:
    by_source: dict[str, float]
    stop_signal: int


def _accumulate(
    model: nn.Module, item: StepInput, accelerator: Accelerator, seed: int
) -> dict[str, Tensor]:
    """Backward through every batch; gradients are of the step's mean over all ranks' targets."""
    sums: dict[str, Tensor] = {}
    last = len(item.batches) - 1
    # Wrappers average gradients over ranks; the count is global already, so that is undone here.
    scale = accelerator.num_processes / max(1, item.num_targets)
    for number, batch in enumerate(item.batches):
        _seed_dropout(seed, item.step, number, accelerator.process_index)
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


def _seed_dropout(seed: int, step: int, number: int, rank: int) -> None:
    """Dropout is a pure function of its place in the run, so that resuming needs no saved RNG."""
    digest = hashlib.blake2b(f"{seed}/{step}/{number}/{rank}".encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "little") >> 1)


def _over_ranks(
    sums: dict[str, Tensor], signal: int, sources: list[str], accelerator: Accelerator
) -> _Totals:
    """Loss sums by source and the greatest stop signal, over all ranks, in one message."""
    zero = torch.zeros((), device=accelerator.device)
    local = torch.stack([sums.get(source, zero) for source in sources] + [zero + float(signal)])
    everyone = accelerator.gather(local[None]).cpu()
    by_source = dict(zip(sources, everyone[:, :-1].double().sum(0).tolist(), strict=True))
    return _Totals(by_source, int(everyone[:, -1].max()))


def _report(
    item: StepInput,
    totals: _Totals,
    loss: float,
    rate: float,
    grad_norm: float,
    seconds: float,
    good: bool,
) -> StepReport:
    means = {
        source: totals.by_source[source] / count
        for source, count in item.source_targets.items()
        if count
    }
    return StepReport(
        step=item.step,
        epoch=item.epoch,
        loss=loss if good else math.nan,
        lr=rate,
        grad_norm=grad_norm,
        num_targets=item.num_targets,
        num_tokens=item.num_tokens,
        padding_fraction=1 - item.num_tokens / item.num_slots,
        seconds=seconds,
        skipped=not good,
        stop_signal=totals.stop_signal,
        source_losses=means if good else {},
    )
