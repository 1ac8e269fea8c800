"""The loss of held-out samples: streamed, so that nothing but its sum is ever kept."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import nn

from mmtune.encoding.batches import Batch


@torch.no_grad()
def held_out_loss(
    model: nn.Module, batches: Iterable[Batch], sources: list[str], accelerator: Accelerator
) -> dict[str, float]:
    """Mean loss per target of each source, and of all under the name `all`.

    Args:
        model: a prepared `WithObjective`.
        batches: this rank's; every rank must have as many.
    """
    was_training = model.training
    model.eval()
    sums = torch.zeros(len(sources), 2, dtype=torch.float64)
    for batch in batches:
        values = model(batch.to(accelerator.device)).double().cpu()
        targets = batch.document_targets
        for source, value, count in zip(batch.sources, values, targets, strict=True):
            sums[sources.index(source)] += torch.stack([value, torch.tensor(float(count))])
    model.train(was_training)
    totals = accelerator.reduce(sums.float().to(accelerator.device), "sum").double().cpu()
    means = {
        source: (total / count).item()
        for source, (total, count) in zip(sources, totals, strict=True)
        if count
    }
    return means | {"all": (totals[:, 0].sum() / totals[:, 1].sum().clamp_min(1)).item()}
