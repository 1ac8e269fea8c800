"""AdamW and the learning rate, as functions of the recipe's section."""

import math

import torch
from torch import nn

from mmtune.config.recipe import Train


def make_optimizer(model: nn.Module, section: Train) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over what is trainable; matrices decay, vectors do not."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [p for p in trainable if p.ndim >= 2],
            "weight_decay": section.weight_decay,
        },
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=section.learning_rate,
        betas=(section.beta1, section.beta2),
        fused=True,
    )


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
