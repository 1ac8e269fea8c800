"""NEFTune: uniform noise on the input embeddings, keyed by document.

Knows no batch type: lengths and keys of documents come in, noise goes onto one forward.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

# SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators",
# section 4), written as the signed 64-bit integers that torch multiplies with wrap-around.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def neftune_noise(
    lengths: Tensor,
    keys: Tensor,
    *,
    dim: int,
    alpha: float,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Noise [tokens, dim] for documents lying one after another, each with its own L.

    uniform(-1, 1) * alpha / sqrt(L * dim), L the tokens of the document (Jain et al. 2023,
    "NEFTune", algorithm 1). `lengths` int64 [documents], `keys` int64 [documents].

    A value is a function of (key, place in the document, column) alone: how documents are packed,
    their order, the rank and the device change nothing. Padding is a document of its own: counted
    into another's L it would weaken that one's noise.

        lengths [2, 3]  ->  [5, dim]; rows 2 to 4 equal those of lengths [3] with the second key
    """
    lengths, keys = lengths.to(device), keys.to(device)
    starts = lengths.cumsum(0) - lengths
    tokens = torch.arange(int(lengths.sum()), device=device)
    places = tokens - starts.repeat_interleave(lengths)
    streams = _mix(keys).repeat_interleave(lengths)
    scale = (lengths.double() * dim).rsqrt().mul(alpha).repeat_interleave(lengths)
    return (_uniform(streams, places, dim) * scale.float()[:, None]).to(dtype)


def _uniform(streams: Tensor, places: Tensor, dim: int) -> Tensor:
    """Float32 [tokens, dim] in (-1, 1), symmetrical about 0."""
    rows = _mix(streams + places * _GOLDEN)
    pairs = torch.arange(1, (dim + 1) // 2 + 1, device=streams.device) * _GOLDEN
    bits = _mix(rows[:, None] + pairs)  # 64 bits make two columns of 23, exact in float32
    halves = torch.stack((_shift_right(bits, 41), (bits >> 9) & (2**23 - 1)), dim=-1)
    columns = halves.flatten(1)[:, :dim].float()
    return columns.add(0.5).mul(2.0**-22).sub(1.0)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finalizer: each bit of the result depends on every bit of `x`."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """The logical shift; torch's own carries the sign bit down."""
    return torch.bitwise_and(x >> bits, 2 ** (64 - bits) - 1)


@contextmanager
def noisy_embeddings(model: nn.Module, noise: Tensor) -> Iterator[None]:
    """Within the block, add `noise` [tokens, dim] to the model's input embeddings in train mode.

    `model` is a transformers or peft causal model, not a wrapper around one for several processes.
    The embeddings' output is [..., dim] of as many tokens in row order. Where a family scales its
    embeddings (Gemma), the noise goes on after the scaling, as onto what the first layer reads.
    Raises ValueError on another shape.

        with noisy_embeddings(model, neftune_noise(lengths, keys, dim=dim, alpha=5.0)):
            model(ids, position_ids=positions, use_cache=False)
    """
    embeddings = _input_embeddings(model)

    def add(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        if not module.training:
            return output
        if math.prod(output.shape) != noise.numel() or output.shape[-1] != noise.shape[-1]:
            raise ValueError(
                f"noise {tuple(noise.shape)} does not fit embeddings {tuple(output.shape)}"
            )
        return output + noise.to(output).view_as(output)

    handle = embeddings.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _input_embeddings(model: nn.Module) -> nn.Module:
    inner = model if isinstance(model, PreTrainedModel) else model.get_base_model()  # type: ignore[operator]
    found = inner.get_input_embeddings()
    assert isinstance(found, nn.Module)
    return found
