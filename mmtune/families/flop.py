"""How much arithmetic a packed training step is, whoever does it: the measure of utilisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mmtune.families.embeddings import output_head


@dataclass(frozen=True, slots=True)
class MatmulSizes:
    """Of a language model: what its matrix products depend on."""

    body: int
    """Parameters of the linear layers, the head left out"""
    head: int
    """Parameters of the head, also where they are those of the embedding"""
    body_trained: int
    head_trained: int
    layers: int
    attention_width: int
    """Query heads x head width"""


def matmul_sizes(network: PreTrainedModel) -> MatmulSizes:
    """Count them on a model; works on the meta device."""
    config: Any = network.config.get_text_config()
    head = output_head(network)
    linear = [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    ]
    of_head = [head.weight] if head is not None else []
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return MatmulSizes(
        body=sum(weight.numel() for weight in linear),
        head=sum(weight.numel() for weight in of_head),
        body_trained=sum(weight.numel() for weight in linear if weight.requires_grad),
        head_trained=sum(weight.numel() for weight in of_head if weight.requires_grad),
        layers=config.num_hidden_layers,
        attention_width=config.num_attention_heads * width,
    )


def step_flop(sizes: MatmulSizes, lengths: Sequence[int], targets: int) -> int:
    """Floating-point operations of forward and backward over documents of these lengths.

    2 for each parameter and token in the forward, 2 for the gradient by the activations, 2 more by
    the weights where they are trained (Kaplan et al. 2020, section 2.1); the head only where
    something is learnt; 12 x layers x attention width x length^2 for the scores of each document,
    causality not discounted (Chowdhery et al. 2022, PaLM, appendix B, with a document for its
    sequence). No credit for padding or for activations made again.

        body 1, head 0, 1 layer of attention width 1, one document of 10 tokens -> 60 + 1,200
    """
    body = (4 * sizes.body + 2 * sizes.body_trained) * sum(lengths)
    head = (4 * sizes.head + 2 * sizes.head_trained) * targets
    return body + head + 12 * sizes.layers * sizes.attention_width * sum(n * n for n in lengths)
