"""What must hold before and while a run trains, tried on the run itself and not believed."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mmtune.config.recipe import SpikeStop
from mmtune.encoding.batches import Batch
from mmtune.errors import ModelError

_TOLERANCE = {"no": 1e-3, "bf16": 5e-2}
"""Of gradients, by precision. Measured on the embedded model and LIMA-like rows: 5e-7 in float32,
2e-3 in bf16, and 2.0 in either where documents see each other."""


def verify_micro_batch(
    model: nn.Module, batch: Batch, alone: Sequence[Batch], accelerator: Accelerator
) -> float:
    """Compare a micro-batch with its documents run one by one: losses and gradients.

    It is the run's own first batch through the run's own model, wrappers and precision, so that no
    layer, backend or version can mix documents unseen. Dropout and noise are off meanwhile.

    Args:
        model: a prepared `WithObjective`, before its first step.
        alone: a batch for each document, in order.

    Returns:
        |g - g'| / |g'| of all gradients.

    Raises:
        ModelError: it is more than float noise.
    """
    was_training = model.training
    model.eval()
    together = _losses(model, [batch], accelerator)
    gradients = _take_gradients(model)
    apart = _losses(model, alone, accelerator)
    error = _relative(gradients, _take_gradients(model), accelerator)
    model.train(was_training)
    loss_error = ((together - apart).norm() / apart.norm().clamp_min(1e-12)).item()
    allowed = _TOLERANCE[accelerator.mixed_precision]
    if not (error < allowed and loss_error < allowed):  # nan is not less either
        raise ModelError(
            f"the first micro-batch ({len(alone)} documents) gives other gradients than its "
            f"documents alone: they differ by {error:.1%}, their losses by {loss_error:.1%}; "
            "documents see each other, and the run would learn from the wrong text. Set "
            "model.attention to another backend, or train.batching.kind to padded"
        )
    return error


def _losses(model: nn.Module, batches: Iterable[Batch], accelerator: Accelerator) -> Tensor:
    """float32 [documents], with the gradients of their sum left in the model."""
    found = []
    for batch in batches:
        losses = model(batch.to(accelerator.device))
        accelerator.backward(losses.sum())
        found.append(losses.detach())
    return torch.cat(found)


def _take_gradients(model: nn.Module) -> list[Tensor]:
    """This rank's part of the gradients; the model is left without them."""
    taken = []
    for parameter in model.parameters():
        if parameter.grad is not None:
            grad = parameter.grad
            taken.append(grad.to_local() if hasattr(grad, "to_local") else grad)
            parameter.grad = None
    return taken


def _relative(ours: list[Tensor], theirs: list[Tensor], accelerator: Accelerator) -> float:
    """L2 over all parameters and ranks."""
    zero = torch.zeros((), device=accelerator.device)
    off = sum(((a - b).float().square().sum() for a, b in zip(ours, theirs, strict=True)), zero)
    all_of = sum((b.float().square().sum() for b in theirs), zero)
    sums = accelerator.reduce(torch.stack([off, all_of]), "sum")
    return float((sums[0] / sums[1].clamp_min(1e-30)).sqrt())


@dataclass(slots=True)
class SpikeWatch:
    """Losses of late, and whether they have leapt up to stay."""

    section: SpikeStop
    recent: deque[float] = field(default_factory=deque)
    in_a_row: int = 0

    def spiked(self, loss: float) -> bool:
        """Whether the run is to stop at this loss. A spike is not counted into the mean that the
        next one is judged by, so that a plateau high up is seen as one; nor is a nan."""
        if not self.section.factor or loss != loss:
            return False
        full = len(self.recent) == self.section.window_steps
        if full and loss > self.section.factor * sum(self.recent) / len(self.recent):
            self.in_a_row += 1
            return self.in_a_row >= self.section.patience_steps
        self.in_a_row = 0
        self.recent.append(loss)
        if len(self.recent) > self.section.window_steps:
            self.recent.popleft()
        return False
