"""A Llama by hand, in plain torch: the least work that a packed training step can be.

What `mmtune bench text` and `benchmarks/text_sft.py` hold the real path against. It knows one
layout, one kind of batch (packed), and nothing of adapters, dropout, padding or other models.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtune.encoding.batches import IGNORE, TokenBatch

_CHUNK_LOGITS = 2**20
"""Held at a time: as much as stays in a CPU's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class BareLlama:
    """Weights by transformers' names, each a leaf of its own, and the numbers that go with them."""

    weights: Mapping[str, Tensor]
    layers: int
    heads: int
    rope_theta: float
    eps: float

    def parameters(self) -> list[Tensor]:
        return list(self.weights.values())


def bare_copy(network: Any) -> BareLlama:
    """A copy of the weights of a `LlamaForCausalLM` with tied embeddings and no grouped heads."""
    config = network.config
    weights = {
        name: nn.Parameter(parameter.detach().clone())
        for name, parameter in network.named_parameters()
    }
    if config.num_key_value_heads != config.num_attention_heads or "lm_head.weight" in weights:
        raise ValueError("the bare loop knows Llama with tied embeddings and as many key heads")
    return BareLlama(
        weights,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        rope_theta=config.rope_parameters["rope_theta"],
        eps=config.rms_norm_eps,
    )


def bare_loss(model: BareLlama, batch: TokenBatch, learnt: Tensor) -> Tensor:
    """Summed cross entropy of a packed row.

    Args:
        learnt: int64 [targets], places of the row at which something is learnt.
    """
    hidden = _hidden(model, batch)
    labels = batch.labels[0, learnt]
    return _SummedCrossEntropy.apply(
        hidden[learnt], model.weights["model.embed_tokens.weight"], labels
    )


def places_learnt(batch: TokenBatch) -> Tensor:
    """int64 [targets], on the host; to be made before the clock runs."""
    return torch.nonzero(batch.labels[0] != IGNORE).squeeze(1)


def _hidden(model: BareLlama, batch: TokenBatch) -> Tensor:
    """[tokens, width]"""
    weights = model.weights
    stream = F.embedding(batch.ids[0], weights["model.embed_tokens.weight"])
    rotation = _rotation(model, batch.positions[0], stream)
    for part in _parts(model):
        normed = _norm(stream, part["input_layernorm.weight"], model.eps)
        heads = [
            F.linear(normed, part[f"self_attn.{name}_proj.weight"]).unflatten(1, (model.heads, -1))
            for name in "qkv"
        ]
        seen = _attention(
            _rotated(heads[0], rotation), _rotated(heads[1], rotation), heads[2], batch
        )
        stream = stream + F.linear(seen.flatten(1), part["self_attn.o_proj.weight"])
        normed = _norm(stream, part["post_attention_layernorm.weight"], model.eps)
        gate = F.silu(F.linear(normed, part["mlp.gate_proj.weight"]))
        wide = gate * F.linear(normed, part["mlp.up_proj.weight"])
        stream = stream + F.linear(wide, part["mlp.down_proj.weight"])
    return _norm(stream, weights["model.norm.weight"], model.eps)


def _parts(model: BareLlama) -> Iterator[dict[str, Tensor]]:
    for layer in range(model.layers):
        start = f"model.layers.{layer}."
        yield {
            name.removeprefix(start): weight
            for name, weight in model.weights.items()
            if name.startswith(start)
        }


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)


def _rotation(model: BareLlama, positions: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine, [tokens, 1, head width]."""
    half = like.shape[1] // model.heads // 2
    powers = torch.arange(half, device=like.device) / half
    angles = positions[:, None] * model.rope_theta**-powers
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], 1)[:, None], torch.cat([-sin, sin], 1)[:, None]


def _rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Su et al. 2021 (RoFormer), in the layout of halves."""
    cos, sin = rotation
    return (x * cos + x.roll(x.shape[-1] // 2, -1) * sin).to(x.dtype)


def _attention(query: Tensor, key: Tensor, value: Tensor, batch: TokenBatch) -> Tensor:
    """[tokens, heads, head width] each; causal, one document at a time, without a mask."""
    lengths = batch.document_lengths
    documents = zip(
        *(x.transpose(0, 1).split(lengths, 1) for x in (query, key, value)), strict=True
    )
    outputs = [
        F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0].transpose(0, 1)
        for q, k, v in documents
    ]
    return torch.cat(outputs)


class _SummedCrossEntropy(torch.autograd.Function):
    """The gradients are made in the forward, chunk by chunk, where the logits are."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        d_hidden, d_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        low = weight.to(hidden.dtype)
        rows = max(64, _CHUNK_LOGITS // len(weight)) if weight.device.type == "cpu" else 2048
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            scores = F.linear(hidden[part], low).float()
            places = torch.arange(len(scores), device=scores.device)
            chances = torch.log_softmax(scores, -1)
            total -= chances[places, labels[part]].sum()
            chances = chances.exp_()
            chances[places, labels[part]] -= 1
            chances = chances.to(hidden.dtype)
            d_hidden[part] = chances @ low
            if chances.dtype == weight.dtype and weight.device.type == "cpu":
                d_weight.addmm_(chances.T, hidden[part])
            else:
                d_weight += (chances.T @ hidden[part]).to(weight.dtype)
        ctx.save_for_backward(d_hidden, d_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = gradients
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * scale.to(d_hidden.dtype), d_weight * scale, None
