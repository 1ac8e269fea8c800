"""How packed documents are kept apart in an encoder-decoder: in its encoder, its decoder, between.

As in `attention` for decoders: a register of backends, and a proof that the chosen one is exact.
T5's relative positions need no care: the distance of two tokens of one document is the same in a
packed row as alone. Layouts with absolute positions (BART) cannot be told that they start anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from mmtune.encoding.pairs import PairBatch
from mmtune.errors import ModelError
from mmtune.families.attention import plain_attention

PAIRS = "mmtune_pairs"
"""Our backend's name in transformers' register."""

BACKENDS = {"documents": PAIRS, "sdpa": "sdpa", "eager": "eager"}
"""Name in recipes -> name in transformers' register. `sdpa` and `eager` are given block masks of
tokens x tokens; `documents` attends to one document at a time."""


def pair_attention(  # noqa: PLR0913  transformers' signature
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    document_lengths: tuple[int, ...] | None = None,
    source_lengths: tuple[int, ...] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention within each document of packed rows, or of padded rows under a mask.

    Args:
        query, key, value: [rows, heads, tokens, head width].
        attention_mask: bool [rows, 1, tokens, tokens of keys]; None in a packed row.
        position_bias: [1, heads, longest, longest] where `document_lengths` are given, since it
            depends on distances alone; else of the mask's size.
        document_lengths: of the one row that `query` is.
        source_lengths: of the encoder's row, where `module` stands in a decoder.

    Returns:
        [rows, tokens, heads, head width], and no weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if document_lengths is None:
        bias = _masked(position_bias, attention_mask, query)
        return _attend(query, key, value, bias, scale, dropout).transpose(1, 2), None
    crosses = bool(module.is_decoder) and not module.is_causal
    sources = list((source_lengths if crosses else document_lengths) or ())
    if crosses:
        position_bias = None  # no layout has one there but zeros
    # Cut and joined as [rows, tokens, heads, width], which is how they lie in memory: nothing is
    # copied but once, neither here nor in the backward.
    parts = [
        x.transpose(1, 2).split(lengths, dim=1)
        for x, lengths in ((query, list(document_lengths)), (key, sources), (value, sources))
    ]
    outputs = [
        _one_document(
            *(x.transpose(1, 2) for x in (queries, keys, values)),
            position_bias=position_bias,
            scale=scale,
            dropout=dropout,
            causal=bool(module.is_causal),
        ).transpose(1, 2)
        for queries, keys, values in zip(*parts, strict=True)
    ]
    return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0], None


def _one_document(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    position_bias: Tensor | None,
    scale: float,
    dropout: float,
    causal: bool,
) -> Tensor:
    if position_bias is None:
        return F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, scale=scale, is_causal=causal
        )
    queries, keys = query.shape[2], key.shape[2]
    bias = position_bias[:, :, :queries, :keys]
    return _attend(query, key, value, bias, scale, dropout)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    scale: float,
    dropout: float,
) -> Tensor:
    """With a bias [1 or rows, heads or 1, tokens, tokens of keys] that may be learnt."""
    scores = query @ key.transpose(2, 3)
    scores = scores * scale if scale != 1.0 else scores
    weights = torch.softmax(scores if bias is None else scores + bias, -1).to(value.dtype)
    return F.dropout(weights, dropout) @ value


def _masked(bias: Tensor | None, mask: Tensor | None, like: Tensor) -> Tensor | None:
    if mask is None:
        return bias
    base = torch.zeros((), dtype=like.dtype, device=like.device) if bias is None else bias
    return torch.where(mask, base, torch.finfo(base.dtype).min)


AttentionInterface.register(PAIRS, pair_attention)


def set_pair_attention(model: PreTrainedModel, name: str, device: torch.device) -> str:
    """Give the model the backend of that name, and return the name; `auto` is one document at a
    time on a CPU and the block mask elsewhere. Raises ModelError where the layout has none such."""
    if name == "auto":
        name = "documents" if device.type == "cpu" else plain_attention(model)
    if name == "sdpa" and plain_attention(model) != "sdpa":
        raise ModelError(
            f"model.attention: {type(model).__name__} does not offer 'sdpa'; set it to documents "
            "or eager"
        )
    model.set_attn_implementation(BACKENDS[name])
    if name == "documents":
        for module in model.modules():
            if hasattr(module, "compute_bias"):
                module.register_forward_pre_hook(_shorten_bias, with_kwargs=True)
    return name


def _shorten_bias(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Make T5's relative bias for the longest document, not for the whole row, which takes more
    room than all else. Causality is put in, too: the bias is made once and used in every layer.

    A hook, so that recomputing under gradient checkpointing does the same."""
    module.__dict__.pop("compute_bias", None)
    lengths = kwargs.get("document_lengths")
    if lengths is not None and module.has_relative_attention_bias:
        longest = max(lengths)

        def short_bias(*_: Any, device: Any = None, **__: Any) -> Tensor:
            bias: Tensor = type(module).compute_bias(module, longest, longest, device=device)
            if not module.is_causal:
                return bias
            future = torch.ones(longest, longest, dtype=torch.bool, device=bias.device).triu(1)
            return bias.masked_fill(future, -torch.inf)

        module.__dict__["compute_bias"] = short_bias
    elif lengths is not None and kwargs.get("position_bias", module) is None:
        kwargs["position_bias"] = args[0].new_zeros(1, 1, 1, 1)  # not of the whole row's size
    return args, kwargs


def pair_arguments(
    model: PreTrainedModel, batch: PairBatch
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What encoder and decoder must be told of the batch's documents."""
    backend = model.config._attn_implementation
    if backend == PAIRS and batch.packed:
        encoder: dict[str, Any] = {"document_lengths": batch.input_lengths}
        return encoder, {
            "document_lengths": batch.target_lengths,
            "source_lengths": batch.input_lengths,
        }
    inputs, targets = batch.input_documents, batch.documents
    places = torch.arange(targets.shape[1], device=targets.device)
    past = places[:, None] >= places[None, :]
    masks = (
        _same_document(inputs, inputs),
        _same_document(targets, targets) & past,
        _same_document(targets, inputs),
    )
    if backend == "eager":  # it adds its masks
        dtype = next(model.parameters()).dtype
        low = torch.finfo(dtype).min
        masks = cast(
            Any, tuple(torch.zeros_like(m, dtype=dtype).masked_fill(~m, low) for m in masks)
        )
    return {"attention_mask": masks[0]}, {
        "attention_mask": masks[1],
        "encoder_attention_mask": masks[2],
    }


def _same_document(queries: Tensor, keys: Tensor) -> Tensor:
    """bool [rows, 1, queries, keys]; padding sees everything, since a softmax over nothing is nan
    and what comes of padding is never read."""
    same = queries[:, :, None] == keys[:, None, :]
    return (same | (queries == -1)[:, :, None])[:, None]


@contextmanager
def plain_pair_attention(model: PreTrainedModel) -> Iterator[None]:
    """Use a backend of transformers' own, which knows padding and caches, in the block."""
    before = model.config._attn_implementation
    model.set_attn_implementation(plain_attention(model) if before == PAIRS else before)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
