"""LIMA's residual dropout on the block layouts of transformers' causal language models.

Knows where a layer adds its branches to the residual stream; nothing of training or of data.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtune.errors import ModelError

# Where the two branches of a layer end: the last module before each is added to the stream.
_PRE_NORM = ("self_attn", "mlp")
_POST_NORM = ("post_attention_layernorm", "post_feedforward_layernorm")
_GPT_NEOX = ("post_attention_dropout", "post_mlp_dropout")  # parallel and sequential residual
_GPT2 = ("attn.resid_dropout", "mlp.dropout")

LAYOUTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "LlamaDecoderLayer": _PRE_NORM,
        "MistralDecoderLayer": _PRE_NORM,
        "Qwen2DecoderLayer": _PRE_NORM,
        "Qwen3DecoderLayer": _PRE_NORM,
        "GemmaDecoderLayer": _PRE_NORM,
        "Gemma2DecoderLayer": _POST_NORM,
        "Gemma3DecoderLayer": _POST_NORM,
        "GPTNeoXLayer": _GPT_NEOX,
        "GPT2Block": _GPT2,
    }
)


@dataclass(frozen=True)
class ResidualDropout:
    """What `add_residual_dropout` put into a model; `remove` takes it out again."""

    probabilities: tuple[float, ...]
    """One for each layer, bottom first."""
    _undo: ExitStack

    def remove(self) -> None:
        """Leave the model as it was; calling it again does nothing."""
        self._undo.close()


def add_residual_dropout(model: nn.Module, top: float) -> ResidualDropout:
    """Drop out each residual branch, p rising linearly from 0.0 in the bottom layer to `top`.

    Zhou et al. 2023 (LIMA), section 3: "residual dropout ... starting at 0.0 at the bottom layer
    and linearly raising the rate to 0.3 at the last layer". A model of one layer has p = 0.

    It acts on the attention's and the MLP's output right before that is added to the residual
    stream (so behind Gemma 2's and 3's post-norms), in train mode only. Layouts with dropout
    modules of their own in that place (GPT-NeoX, GPT-2) get p set there, in place of the
    checkpoint's. Parameters and state dict are untouched, and recomputation under gradient
    checkpointing draws the same mask.

        4 layers, top=0.3  ->  probabilities (0.0, 0.1, 0.2, 0.3)

    Raises ModelError where the layers have another layout, ValueError when it is there already.
    """
    layers = _layers(model)
    probabilities = tuple(torch.linspace(0.0, top, len(layers), dtype=torch.float64).tolist())
    undo = ExitStack()
    for layer, p in zip(layers, probabilities, strict=True):
        for branch_end in LAYOUTS[type(layer).__name__]:
            undo.callback(_drop_output(layer.get_submodule(branch_end), p))
    return ResidualDropout(probabilities, undo)


def _layers(model: nn.Module) -> list[nn.Module]:
    layers = [module for module in model.modules() if type(module).__name__ in LAYOUTS]
    if not layers:
        raise ModelError(
            f"model.residual_dropout: {type(model).__name__} is made of {_layer_names(model)}, and "
            f"where such a layer adds its branches is not known here; set model.residual_dropout "
            f"to 0.0, or use a model of one of these layers: {', '.join(sorted(LAYOUTS))}"
        )
    if any(hasattr(layer, "crossattention") for layer in layers):
        raise ModelError(
            f"model.residual_dropout: {type(model).__name__} has cross-attention layers, a third "
            "branch that is not known here; set model.residual_dropout to 0.0"
        )
    return layers


def _layer_names(model: nn.Module) -> str:
    """The classes of the longest stack of modules: those are the model's layers."""
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    if not stacks:
        return "no stack of layers"
    return " and ".join(sorted({type(layer).__name__ for layer in max(stacks, key=len)}))


def _drop_output(branch_end: nn.Module, p: float) -> Callable[[], None]:
    """Drop out what `branch_end` returns; the function that ends it."""
    if isinstance(branch_end, nn.Dropout):
        return _set_p(branch_end, p)
    if any(isinstance(hook, _DropHook) for hook in branch_end._forward_hooks.values()):
        raise ValueError("the model has residual dropout already; remove it first")
    return branch_end.register_forward_hook(_DropHook(p)).remove


def _set_p(dropout: nn.Dropout, p: float) -> Callable[[], None]:
    before = dropout.p
    dropout.p = p

    def restore() -> None:
        dropout.p = before

    return restore


@dataclass(frozen=True)
class _DropHook:
    """A forward hook; an attention module returns a tuple whose first item is the branch."""

    p: float

    def __call__(
        self, module: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]
    ) -> Tensor | tuple[Tensor, ...]:
        if not module.training or self.p == 0.0:
            return output
        if isinstance(output, tuple):
            return (F.dropout(output[0], self.p, training=True), *output[1:])
        return F.dropout(output, self.p, training=True)
