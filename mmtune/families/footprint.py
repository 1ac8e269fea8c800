"""Memory that a forward keeps for its backward, counted on a model without storage."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from mmtune.encoding.batches import pack
from mmtune.encoding.samples import TokenSample
from mmtune.families.attention import document_arguments


def kept_bytes(network: PreTrainedModel, lengths: Sequence[int]) -> int | None:
    """Bytes that all layers keep of documents of these lengths packed in one row, weights left
    out, in the precision of the weights; the head is left out.

    `network`, adapted or not, is on the meta device: its forward computes nothing, but autograd
    notes what it would save, each memory once. Attention is taken to be fused: such a kernel keeps
    what goes in and what comes out (Dao et al. 2022, section 3.1), and no scores. None
    where the layout needs numbers to go on.
    """
    row = pack([TokenSample(np.zeros(n, np.int32), np.ones(n, bool), "", "") for n in lengths],
               [0] * len(lengths))  # fmt: skip
    weights = {_memory_of(parameter) for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no two have the same address

    def note(tensor: Tensor) -> Tensor:
        if _memory_of(tensor) not in weights:
            kept[_memory_of(tensor)] = tensor.untyped_storage()
        return tensor

    was_training = network.training
    decoder: nn.Module = network.train().get_decoder()
    try:
        with _Fused(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            decoder(
                input_ids=row.ids.to("meta"),
                position_ids=row.positions.to("meta"),
                use_cache=False,
                **document_arguments(network, row.document_lengths),
            )
    except (RuntimeError, NotImplementedError):  # a meta tensor was asked for its numbers
        return None
    finally:
        network.train(was_training)
    return sum(storage.nbytes() for storage in kept.values())


def _memory_of(tensor: Tensor) -> int:
    """Of its memory: on the meta device memories have no address of their own."""
    return tensor.untyped_storage()._cdata


class _Fused(TorchFunctionMode):
    """Replaces attention, which on the meta device would be the plain one that keeps scores."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is F.scaled_dot_product_attention:
            names = ("query", "key", "value")
            query, key, value = [*args[:3], *(given[name] for name in names[len(args) :])]
            return _Attention.apply(query, key, value)
        return func(*args, **given)


class _Attention(torch.autograd.Function):
    """What a fused kernel keeps, and nothing of what it computes."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    def backward(ctx: Any, *_gradients: Tensor) -> tuple[None, None, None]:
        raise NotImplementedError("there is nothing to go back through")
