"""What a model will weigh, counted on a model without storage; knows no checkpoint's values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mmtune.families.embeddings import output_head
from mmtune.families.footprint import kept_bytes
from mmtune.families.parameters import PartRow, trainable_table


@dataclass(frozen=True, slots=True)
class Outline:
    """Sizes of a model as training would have it, adapter and freezing included."""

    kind: str
    """The class in transformers"""
    parts: tuple[PartRow, ...]
    """By part; the last row is all"""
    weight_bytes: int
    trainable_bytes: int
    layers: int
    width: int
    vocabulary: int
    max_positions: int
    """Longest text it was made for, in tokens; 0 where the config does not say"""
    values_per_token: int
    """Numbers that enter and leave the linear layers for each token, the head left out"""
    kept_bytes: Callable[[Sequence[int]], int | None]
    """Bytes that a forward keeps for the backward, of packed documents of these lengths; None for
    a layout in which they cannot be counted without weights"""

    @property
    def parameters(self) -> int:
        return self.parts[-1].parameters

    @property
    def trainable(self) -> int:
        return self.parts[-1].trainable


def outlined(network: PreTrainedModel, adapted: nn.Module) -> Outline:
    """Sizes of `network`, which `adapted` is or wraps; works on the meta device."""
    config: Any = network.config.get_text_config()
    return Outline(
        kind=type(network).__name__,
        parts=tuple(trainable_table(adapted)),
        weight_bytes=_bytes(adapted, trainable_only=False),
        trainable_bytes=_bytes(adapted, trainable_only=True),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        vocabulary=len(cast(Tensor, network.get_input_embeddings().weight)),
        max_positions=getattr(config, "max_position_embeddings", None) or 0,
        values_per_token=_values_per_token(network),
        kept_bytes=partial(kept_bytes, network),
    )


def _bytes(model: nn.Module, *, trainable_only: bool) -> int:
    return sum(
        parameter.numel() * parameter.element_size()
        for parameter in model.parameters()
        if parameter.requires_grad or not trainable_only
    )


def _values_per_token(network: PreTrainedModel) -> int:
    head = output_head(network)
    return sum(
        sum(module.weight.shape)
        for module in network.modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    )
