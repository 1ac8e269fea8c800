"""What a run will need before it is started: memory, disk and time, each by a stated formula."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmtune.config.recipe import Recipe, Train
from mmtune.encoding.schedule import Schedule
from mmtune.families.outline import Outline
from mmtune.objectives.next_token import CHUNK_TARGETS
from mmtune.training.optimizer import MOMENTS_PER_WEIGHT
from mmtune.workflows.steps import total_steps

BETWEEN_LAYERS = 1.6
"""Bytes kept for the backward, over the bytes that enter and leave the linear layers, where they
cannot be counted (GPT-2). Llama, Qwen 3 and GPT-NeoX have 1.2 to 1.3, Gemma 2 has 1.9."""
_MEASURE_S = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """An epoch's micro-batches, as the loop will make them."""

    steps_per_epoch: int
    """Of the first epoch"""
    steps: int
    """Of the whole run"""
    micro_batches: int
    slots: int
    """Tokens and padding of all of them"""
    tokens: int
    largest: tuple[int, ...]
    """Lengths of the documents of the largest one, as padded"""
    capacity: int
    """Slots they could hold"""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the device while training."""

    weights: int
    gradients: int
    moments: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.activations + self.logits


def plan(schedule: Schedule, section: Train) -> Plan:
    """The first epoch, planned by the very code that training plans it with."""
    packed = schedule.batching.kind == "packed"
    slots, count, most, largest = 0, 0, 0, np.zeros(0, dtype=np.int64)
    for step in schedule.steps(0):
        for row in step.rows:
            lengths = schedule.lengths[row]
            size = int(lengths.sum() if packed else lengths.max() * len(lengths))
            slots, count = slots + size, count + 1
            if size > most:
                most, largest = size, lengths if packed else np.full_like(lengths, lengths.max())
    return Plan(
        steps_per_epoch=schedule.steps_in(0),
        steps=total_steps(section, schedule),
        micro_batches=count,
        slots=slots,
        tokens=int(schedule.lengths.sum()),
        largest=tuple(largest.tolist()),
        capacity=count * schedule.batching.row_tokens,
    )


def memory(
    recipe: Recipe, outline: Outline, documents: Sequence[int], *, value_bytes: int
) -> Memory:
    """The most that a step holds on one device: at a micro-batch of documents of these lengths.

    Activations are counted by a forward that computes nothing, or else taken to be slots x 1.6 x
    (numbers that enter and leave the linear layers). With gradient checkpointing they are slots x
    width x layers, and one layer whole. Logits: two float32 copies of a chunk of the head's output.
    """
    slots = sum(documents)
    counted = outline.kept_bytes(documents)
    if counted is None:
        whole = int(slots * BETWEEN_LAYERS * outline.values_per_token * value_bytes)
    else:
        whole = counted * value_bytes // (outline.weight_bytes // outline.parameters)
    if recipe.model.gradient_checkpointing == "on":
        whole = (
            whole // max(1, outline.layers) + slots * outline.width * outline.layers * value_bytes
        )
    return Memory(
        weights=outline.weight_bytes,
        gradients=outline.trainable_bytes,
        moments=int(MOMENTS_PER_WEIGHT[recipe.train.optimizer.kind] * outline.trainable_bytes),
        activations=whole,
        logits=2 * 4 * min(slots, CHUNK_TARGETS) * outline.vocabulary,
    )


def free_disk_bytes(folder: Path) -> int:
    """Where the folder is, or will be made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def flop_per_token(outline: Outline) -> int:
    """2 for each parameter in the forward, 2 in the backward, 2 more where it is trained: 6 x
    parameters when all are (Kaplan et al. 2020, section 2.1; attention scores left out)."""
    return 4 * outline.parameters + 2 * outline.trainable


def matmul_flop_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """Of a square product, measured for 0.2 s."""
    size = 4096 if device.type == "cuda" else 512
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    _run(matrix, 2)
    start, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < _MEASURE_S:
        _run(matrix, 4)
        done += 4
    return done * 2 * size**3 / spent


def _run(matrix: torch.Tensor, times: int) -> None:
    for _ in range(times):
        matrix @ matrix
    if matrix.is_cuda:
        torch.cuda.synchronize()


def percentiles(lengths: np.ndarray) -> dict[str, int]:
    """p50, p90, p99 and the longest."""
    cuts = np.percentile(lengths, [50, 90, 99, 100], method="higher").astype(int).tolist()
    return dict(zip(("p50", "p90", "p99", "max"), cuts, strict=True))


def histogram(lengths: np.ndarray, most_bins: int = 12) -> list[tuple[int, int, int]]:
    """(from, to, samples) of bins of equal width, a round number of tokens wide."""
    longest = int(lengths.max())
    round_ones = sorted(width << n for width in (1, 3) for n in range(40))
    width = next(width for width in round_ones if width * most_bins >= longest)
    counts = np.bincount((lengths - 1) // width)
    return [(n * width + 1, (n + 1) * width, int(count)) for n, count in enumerate(counts)]
