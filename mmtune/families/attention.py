"""How packed documents are kept apart inside attention: the register, and the proof that it holds.

A row holds several documents end to end. Each backend below must give every document the logits
and gradients it has alone (DESIGN section 7, invariant 2). `verify_isolation` tries the chosen
backend on the loaded model itself; one that lets a document see its neighbour is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from mmtune.errors import ModelError

DOCUMENTS = "mmtune_documents"
"""Our backend's name in transformers' register."""

BACKENDS = {"documents": DOCUMENTS, "sdpa": "sdpa", "eager": "eager"}
"""Name in recipes -> name in transformers' register. `sdpa` and `eager` build a block mask of
tokens x tokens from the restarted positions; `documents` attends to one document at a time."""

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 6e-2, torch.float16: 1e-2}


def documents_attention(  # noqa: PLR0913  transformers' signature
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    document_lengths: tuple[int, ...] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each document; its cost is the sum of squares of their lengths.

    Args:
        query, key, value: [rows, heads, tokens, head width]; fewer key heads are repeated.
        document_lengths: of the documents in the one row; None: each row is one document, padded
            on the right (causality hides padding from every real token).

    Returns:
        [rows, tokens, heads, head width], and no weights.
    """
    if attention_mask is not None or kwargs.get("s_aux") is not None:
        raise ModelError(
            f"attention 'documents' does not do what {type(module).__name__} asks of it (a mask or "
            "attention sinks); set model.attention to sdpa or eager"
        )
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    lengths = list(document_lengths) if document_lengths else [query.shape[2]]
    settings = {"dropout": dropout, "scaling": scaling, "window": sliding_window or 0}
    # Cut and joined as [rows, tokens, heads, width], which is how they lie in memory: nothing is
    # copied but once, neither here nor in the backward.
    parts = [x.transpose(1, 2).split(lengths, dim=1) for x in (query, key, value)]
    outputs = [
        _one_document(
            *(x.transpose(1, 2) for x in document),
            softcap=softcap or 0.0,
            **settings,  # type: ignore[arg-type]
        ).transpose(1, 2)
        for document in zip(*parts, strict=True)
    ]
    return (torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]), None


def _one_document(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    dropout: float,
    scaling: float | None,
    window: int,
    softcap: float,
) -> Tensor:
    length = query.shape[2]
    if not softcap and not 0 < window < length:
        return F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, scale=scaling, is_causal=True
        )
    places = torch.arange(length, device=query.device)
    distance = places[:, None] - places[None, :]
    seen = (distance >= 0) & ((distance < window) if window else True)
    if not softcap:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, dropout_p=dropout, scale=scaling
        )
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    scores = (softcap * torch.tanh(scores / softcap)).masked_fill(~seen, -torch.inf)
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype)
    return F.dropout(weights, dropout) @ value


AttentionInterface.register(DOCUMENTS, documents_attention)


def set_attention(model: PreTrainedModel, name: str, device: torch.device) -> str:
    """Give the model the backend of that name, and return the name; for `auto`, one document at a
    time on a CPU, where a block mask costs more than it saves (twice the step at 2,048 tokens),
    and the block mask elsewhere.

    Raises ModelError where the layout has no such backend (Gemma 2 has no sdpa).
    """
    if name == "auto":
        name = "documents" if device.type == "cpu" else plain_attention(model)
    if name == "sdpa" and plain_attention(model) != "sdpa":
        raise ModelError(
            f"model.attention: {type(model).__name__} does not offer 'sdpa'; set it to documents "
            "or eager"
        )
    model.set_attn_implementation(BACKENDS[name])
    return name


def plain_attention(model: PreTrainedModel) -> str:
    """The backend of transformers itself that the layout offers.

    Soft-capped scores (Gemma 2) rule sdpa out whatever the layout says of itself: transformers 5.17
    says it may be used, and then leaves the cap away without a word.
    """
    capped = getattr(model.config, "attn_logit_softcapping", None)
    return "sdpa" if model._supports_sdpa and not capped else "eager"


@contextmanager
def attention_for_generation(model: PreTrainedModel) -> Iterator[None]:
    """Use a backend that knows padded prompts and caches, while generating."""
    before = model.config._attn_implementation
    model.set_attn_implementation(plain_attention(model) if before == DOCUMENTS else before)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def verify_isolation(model: PreTrainedModel) -> None:
    """Raise ModelError unless documents packed in one row have the logits they have alone."""
    lengths = (5, 9, 3)
    embeddings = cast(nn.Embedding, model.get_input_embeddings())
    size, device = embeddings.num_embeddings, embeddings.weight.device
    ids = torch.arange(sum(lengths), device=device)[None] * 7919 % size
    positions = torch.cat([torch.arange(n, device=device) for n in lengths])[None]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        packed = _logits(model, ids, positions, lengths).split(lengths)
        alone = [
            _logits(model, part, torch.arange(n, device=device)[None], (n,))
            for part, n in zip(ids.split(lengths, dim=1), lengths, strict=True)
        ]
    model.train(was_training)
    errors = [_relative(a, b) for a, b in zip(packed, alone, strict=True)]
    worst = max(errors, key=lambda error: (error != error, error))
    if not all(error < _TOLERANCE[packed[0].dtype] for error in errors):  # nan is not less either
        raise ModelError(
            f"{type(model).__name__} with attention {model.config._attn_implementation!r}: packed "
            f"documents see each other (logits differ by {worst:.1%} from the documents alone); "
            "set model.attention to another backend or train.batching.kind to padded"
        )


def _logits(
    model: PreTrainedModel, ids: Tensor, positions: Tensor, lengths: tuple[int, ...]
) -> Tensor:
    extra = document_arguments(model, lengths)
    return model(input_ids=ids, position_ids=positions, use_cache=False, **extra).logits[0]


def document_arguments(model: PreTrainedModel, lengths: tuple[int, ...]) -> dict[str, Any]:
    """What the model's forward must be told of the documents in a packed row."""
    if model.config._attn_implementation == DOCUMENTS:
        return {"document_lengths": lengths}
    return {}


def _relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).float().norm() / b.float().norm().clamp_min(1e-12)).item()
