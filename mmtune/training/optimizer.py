"""The optimizer and the learning rate, as functions of the recipe's section."""

import math

import torch
from torch import Tensor, nn

from mmtune.config.recipe import Adafactor, Train

_LEAST_GRADIENT = 1e-18
"""Stands below second moments, in place of the 1e-30 that Shazeer and Stern 2018 add to squares:
its own square must not be 0 in float32, or a row of the embeddings that no step reads becomes nan.
torch's default of 1e-7 would hold back the small gradients of a mean over many targets."""

MOMENTS_PER_WEIGHT = {"adamw": 2.0, "adafactor": 0.1}
"""Most numbers an optimizer keeps for each number it trains. Adafactor keeps a row and a column of
each matrix: 0.01 of T5's, and less than 0.1 where no side is shorter than 20."""


def make_optimizer(model: nn.Module, section: Train) -> torch.optim.Optimizer:
    """The recipe's optimizer over what is trainable; matrices decay, vectors do not."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    chosen = section.optimizer
    decay = chosen.weight_decay if isinstance(chosen, Adafactor) else section.weight_decay
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(chosen, Adafactor):
        return torch.optim.Adafactor(
            groups,
            lr=section.learning_rate,
            beta2_decay=-chosen.decay_exponent,
            eps=(_LEAST_GRADIENT, chosen.smallest_scale),
            d=chosen.clip_update,
        )
    return torch.optim.AdamW(
        groups,
        lr=section.learning_rate,
        betas=(section.beta1, section.beta2),
        fused=True,
    )


def moments_of(parameter: Tensor, optimizer: torch.optim.Optimizer | str) -> int:
    """How many numbers the optimizer (or the kind of that name) keeps for a parameter."""
    kind = optimizer if isinstance(optimizer, str) else _kind(optimizer)
    if kind == "adamw":
        return 2 * parameter.numel()
    if parameter.ndim < 2:
        return parameter.numel()
    return parameter.numel() // parameter.shape[-1] + parameter.numel() // parameter.shape[-2]


def _kind(optimizer: torch.optim.Optimizer) -> str:
    inner = getattr(optimizer, "optimizer", optimizer)  # as accelerate prepares it
    return "adafactor" if isinstance(inner, torch.optim.Adafactor) else "adamw"


def learning_rate(section: Train, step: int, total_steps: int) -> float:
    """Rate of step `step` (from 1) of `total_steps`: warm-up, then from the first rate to the last.

    LIMA (Zhou et al. 2023, section 3): 1e-5 to 1e-6, linear, no warm-up.
    """
    if step <= section.warmup_steps:
        return section.learning_rate * step / section.warmup_steps
    first, last = section.learning_rate, section.final_learning_rate
    progress = (step - section.warmup_steps - 1) / max(1, total_steps - section.warmup_steps - 1)
    progress = min(progress, 1.0)
    if section.schedule == "constant":
        return first
    if section.schedule == "cosine":
        return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
    return first + (last - first) * progress
