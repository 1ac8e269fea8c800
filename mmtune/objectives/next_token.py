"""Cross entropy of the next token, summed per document, without ever holding a pack's logits."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtune.encoding.batches import TokenBatch

CHUNK_TARGETS = 2048
"""Most rows of logits held at a time."""

_CPU_CHUNK_LOGITS = 2**20
"""On a CPU a chunk of logits stays in the cache (4 MB): that is a quarter faster than 2,048 rows of
8,192 logits, which also are memory asked for anew each time."""
_CPU_CHUNK_TARGETS = 64
"""But never fewer rows than make a matrix product worth its while."""


class TokenModel(Protocol):
    """What the objective needs of a language model."""

    @property
    def softcap(self) -> float:
        """0 is none; else logits become softcap * tanh(logits / softcap) (Gemma 2)."""
        ...

    def head(self) -> tuple[Tensor, Tensor | None]:
        """Weight [vocabulary, width] and bias of the output layer."""
        ...

    def hidden_states(self, batch: TokenBatch) -> Tensor:
        """[rows, tokens, width], what the head reads."""
        ...


def next_token(model: TokenModel, batch: TokenBatch) -> Tensor:
    """Summed cross entropy of each document.

    Args:
        model: gives hidden states and its head.
        batch: `labels` mark what is learnt.

    Returns:
        float32 [documents]; their total over the step's targets is the step's loss.
    """
    hidden = model.hidden_states(batch)
    weight, bias = model.head()
    losses = _CrossEntropy.apply(
        hidden.flatten(0, 1).index_select(0, batch.learnt),
        weight,
        bias,
        batch.labels.flatten()[batch.learnt],
        model.softcap,
    )
    sums = losses.new_zeros(len(batch.document_lengths))
    # `hidden.sum() * 0` keeps every parameter in the graph of a batch that has no target.
    sums = sums.index_add(0, batch.documents.flatten()[batch.learnt], losses)
    return sums if batch.num_targets else sums + hidden.sum() * 0


class _CrossEntropy(torch.autograd.Function):
    """Cross entropy of each target [targets], computed in chunks; the gradients are made in the
    forward, where the chunk's logits are, and scaled in the backward. That needs one gradient
    for all targets, which sums per document give when they are added up."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        softcap: float,
    ) -> Tensor:
        losses = hidden.new_empty(len(labels), dtype=torch.float32)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if weight.requires_grad else None
        d_bias = None
        if bias is not None and bias.requires_grad:
            d_bias = torch.zeros_like(bias, dtype=torch.float32)
        cast = weight.to(hidden.dtype)
        rows = _chunk_rows(weight)
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            losses[part], d_logits = _chunk(hidden[part], cast, bias, labels[part], softcap)
            d_low = d_logits.to(hidden.dtype)
            d_hidden[part] = d_low @ cast
            if d_weight is not None:
                _add_product(d_weight, d_low.T, hidden[part])
            if d_bias is not None:
                d_bias += d_logits.sum(0)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.dtypes = weight.dtype, bias.dtype if bias is not None else None
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        scale = gradient[0] if len(gradient) else gradient.new_zeros(())
        # Comparing would make a GPU wait for the host, so only the CPU (and the tests) look.
        alike = gradient.is_cuda or torch.allclose(
            gradient, scale.expand_as(gradient), rtol=0, atol=0, equal_nan=True
        )
        if not alike:
            raise ValueError("the targets of a batch must all weigh the same in its loss")
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        weight_dtype, bias_dtype = ctx.dtypes
        return (
            d_hidden * scale.to(d_hidden.dtype),
            None if d_weight is None else (d_weight * scale).to(weight_dtype),
            None if d_bias is None else (d_bias * scale).to(bias_dtype),
            None,
            None,
        )


def _chunk_rows(weight: Tensor) -> int:
    if weight.device.type != "cpu":
        return CHUNK_TARGETS
    return min(CHUNK_TARGETS, max(_CPU_CHUNK_TARGETS, _CPU_CHUNK_LOGITS // len(weight)))


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b, without the product's own memory where all are float32 anyway."""
    if a.dtype == b.dtype == total.dtype and not torch.is_autocast_enabled(total.device.type):
        total.addmm_(a, b)
    else:
        total += (a @ b).float()


def _chunk(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, softcap: float
) -> tuple[Tensor, Tensor]:
    """Losses [targets] and the gradient of their sum by the head's output [targets, vocabulary]."""
    raw = F.linear(hidden, weight, bias).float()
    logits = softcap * torch.tanh(raw / softcap) if softcap else raw
    log_probabilities = torch.log_softmax(logits, -1)
    losses = -log_probabilities.gather(1, labels[:, None]).squeeze(1)
    d_logits = log_probabilities.exp_()
    d_logits[torch.arange(len(labels), device=labels.device), labels] -= 1
    if softcap:
        d_logits *= 1 - (logits / softcap) ** 2
    return losses, d_logits
