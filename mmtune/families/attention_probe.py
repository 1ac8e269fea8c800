"""Which attention paths truly run on a device, forward and backward, and give the right numbers.

Each path gets three packed documents and must agree with plain causal attention over each of them
alone. Nothing is believed from a version or a capability flag: it is tried.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor

LENGTHS = (21, 40, 3)
HEADS, WIDTH = 2, 64
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Query, key and value, each [heads, tokens, head width], to outputs of that shape."""

_REFUSALS = (
    AssertionError,
    AttributeError,
    ImportError,
    OSError,
    RuntimeError,  # NotImplementedError and torch's own are of its kind
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class AttentionProbe:
    """One path in one dtype; `reason` says why it does not run, and is empty where it does."""

    path: str
    dtype: str
    runs: bool
    reason: str = ""


def probe_attention(device: torch.device) -> list[AttentionProbe]:
    """Try every known path in every dtype on the device, forward and backward (seconds)."""
    logging.getLogger("xformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            _probe(path, attend, device, dtype)
            for path, attend in PATHS.items()
            for dtype in TOLERANCE
        ]


def _probe(path: str, attend: Attend, device: torch.device, dtype: torch.dtype) -> AttentionProbe:
    name = str(dtype).removeprefix("torch.")
    try:
        error = _relative_error(attend, device, dtype)
    except _REFUSALS as refusal:
        return AttentionProbe(path, name, False, _short(refusal))
    if not error < TOLERANCE[dtype]:
        return AttentionProbe(path, name, False, f"wrong result: off by {error:.1%}")
    return AttentionProbe(path, name, True)


def _short(refusal: BaseException) -> str:
    """The telling line of an error, at most 90 characters.

    xformers lists the reasons of each of its operators; those of the last, most general one count.
    """
    telling = str(refusal).rpartition("is not supported because:")[2]
    lines = [line.strip() for line in telling.splitlines() if line.strip()]
    text = lines[0] if lines else type(refusal).__name__
    return text if len(text) <= 90 else text[:87] + "..."


def _relative_error(attend: Attend, device: torch.device, dtype: torch.dtype) -> float:
    """The largest relative error of output and gradients against float32, document by document."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, HEADS, sum(LENGTHS), WIDTH)
    *inputs, upstream = torch.randn(shape, generator=generator).to(device, dtype)
    found = _with_gradients(attend, inputs, upstream)
    wanted = _with_gradients(by_document, [x.float() for x in inputs], upstream.float())
    pairs = zip(found, wanted, strict=True)
    return max(float((a.float() - b).norm() / b.norm()) for a, b in pairs)


def _with_gradients(attend: Attend, inputs: list[Tensor], upstream: Tensor) -> list[Tensor]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    output = attend(*leaves)
    return [output, *torch.autograd.grad(output, leaves, upstream)]


def by_document(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """SDPA with its causal flag, one document at a time."""
    documents = zip(*(x[None].split(LENGTHS, dim=2) for x in (query, key, value)), strict=True)
    parts = [F.scaled_dot_product_attention(q, k, v, is_causal=True) for q, k, v in documents]
    return torch.cat(parts, dim=2)[0]


def block_mask(device: torch.device) -> Tensor:
    """[tokens, tokens], true where a token sees another: its own document's past."""
    document = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    return (document[:, None] == document[None, :]).tril().to(device)


def _sdpa_mask(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    mask = block_mask(query.device)
    return F.scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=mask)[0]


def _eager(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(1, 2) * WIDTH**-0.5
    scores = scores.masked_fill(~block_mask(query.device), -torch.inf)
    return torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype) @ value


def _flex(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    flex = import_module("torch.nn.attention.flex_attention")
    seen, tokens = block_mask(query.device), query.shape[1]

    def same_document(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return seen[q, k]

    mask = flex.create_block_mask(same_document, None, None, tokens, tokens, query.device)
    # On a GPU only the compiled kernel keeps its promise of memory.
    attend = torch.compile(flex.flex_attention) if query.is_cuda else flex.flex_attention
    output: Tensor = attend(query[None], key[None], value[None], block_mask=mask)
    return output[0]


def _xformers(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    fmha = import_module("xformers.ops")
    bias = import_module("xformers.ops.fmha.attn_bias").BlockDiagonalCausalMask
    rows = [x.transpose(0, 1)[None] for x in (query, key, value)]  # [1, tokens, heads, width]
    mask = bias.from_seqlens(list(LENGTHS), device=query.device)
    output: Tensor = fmha.memory_efficient_attention(*rows, attn_bias=mask)
    return output[0].transpose(0, 1)


def _ends(device: torch.device) -> Tensor:
    """Where documents begin and end: [0, 21, 61, 64], int32."""
    return torch.tensor((0, *_running_sums()), dtype=torch.int32, device=device)


def _running_sums() -> Iterator[int]:
    for count in range(len(LENGTHS)):
        yield sum(LENGTHS[: count + 1])


def _varlen(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    varlen = import_module("torch.nn.attention.varlen").varlen_attn
    rows, ends = [x.transpose(0, 1) for x in (query, key, value)], _ends(query.device)
    longest = max(LENGTHS)
    output: Tensor = varlen(*rows, ends, ends, longest, longest, window_size=(-1, 0))
    return output.transpose(0, 1)


def _flash(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    flash = import_module("flash_attn").flash_attn_varlen_func
    rows, ends = [x.transpose(0, 1) for x in (query, key, value)], _ends(query.device)
    longest = max(LENGTHS)
    output: Tensor = flash(*rows, ends, ends, longest, longest, causal=True)
    return output.transpose(0, 1)


PATHS: dict[str, Attend] = {
    "sdpa, a document at a time": by_document,
    "sdpa, block mask": _sdpa_mask,
    "eager": _eager,
    "flex_attention": _flex,
    "xformers": _xformers,
    "torch varlen_attn": _varlen,
    "flash_attn": _flash,
}
