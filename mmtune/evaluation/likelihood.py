"""How likely a language model finds the marked tokens of samples, one sum a sample.

The sum of a sample is a function of that sample alone, to the last bit. Matrix products round
differently at different shapes (on one CPU, width 2,048: 13 rows or 2,048 rows give other last
bits), so here every forward has the same shape: documents are packed into tiles of 2,048 tokens,
filled up with documents that nobody reads. What lies beside a sample, in which order, and how many
are handed over at once then changes nothing. A sample longer than a tile has tiles of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmtune.encoding.samples import TokenSample
from mmtune.evaluation.tiles import Fill, Tiles, pair_tile, pair_tiles, text_tile, text_tiles

BATCH_TOKENS = 262_144
"""Tokens that are sorted into tiles together, by default."""
_HEAD_ROWS = 64
"""Targets whose logits are made at a time; filled up like the tiles."""


class ScoringModel(Protocol):
    """A decoder or an encoder-decoder as the text family has them."""

    training: bool

    @property
    def softcap(self) -> float: ...

    def head(self) -> tuple[Tensor, Tensor | None]: ...

    def hidden_states(self, batch: Any) -> Tensor: ...

    def eval(self) -> object: ...

    def train(self, mode: bool = True) -> object: ...


@dataclass(frozen=True, slots=True)
class Laying:
    """How samples become forwards."""

    tiles: Tiles
    fill: Fill


DECODER = Laying(text_tiles, text_tile)
ENCODER_DECODER = Laying(pair_tiles, pair_tile)


@torch.no_grad()
def log_probabilities(
    model: ScoringModel,
    samples: Sequence[TokenSample],
    device: torch.device,
    *,
    laying: Laying = DECODER,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int], object] = lambda tokens: None,
) -> list[float]:
    """Sum of log p(token | all before it) over each sample's supervised tokens, in nats.

    Args:
        model: its attention must be `documents` or another whose result for a document does not
            depend on the document's place in the row.
        batch_tokens: how many tokens are sorted into tiles together; more waste less room.
        progress: called with the real tokens of each tile done.

    Returns:
        In the samples' order. 0.0 for a sample with no supervised token after its first.
    """
    was_training = model.training
    model.eval()
    sums = [0.0] * len(samples)
    try:
        for window in _windows(samples, batch_tokens):
            for places in laying.tiles([samples[number] for number in window]):
                numbers = [window[place] for place in places]
                batch = laying.fill([samples[number] for number in numbers])
                found = _document_sums(model, batch, device)
                for number, value in zip(numbers, found, strict=False):  # then come the fillers
                    sums[number] = value
                progress(sum(len(samples[number].ids) for number in numbers))
    finally:
        model.train(was_training)
    return sums


def _windows(samples: Sequence[TokenSample], batch_tokens: int) -> Iterator[range]:
    start, tokens = 0, 0
    for number, sample in enumerate(samples):
        if number > start and tokens + len(sample.ids) > batch_tokens:
            yield range(start, number)
            start, tokens = number, 0
        tokens += len(sample.ids)
    if start < len(samples):
        yield range(start, len(samples))


def _document_sums(model: ScoringModel, batch: Any, device: torch.device) -> list[float]:
    """Each document's sum, made on the host in float64 in the order of its tokens."""
    moved = batch.to(device)
    hidden = model.hidden_states(moved).flatten(0, 1).index_select(0, moved.learnt)
    each = _target_log_probabilities(model, hidden, moved.labels.flatten()[moved.learnt])
    ends = np.cumsum(batch.document_targets)
    parts = np.split(each.cpu().double().numpy(), ends[:-1])
    return [float(sum(part.tolist())) for part in parts]


def _target_log_probabilities(model: ScoringModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """float32 [targets] of hidden [targets, width]; the head sees `_HEAD_ROWS` rows at a time."""
    weight, bias = model.head()
    weight = weight.to(hidden.dtype)
    targets = len(labels)
    hidden = F.pad(hidden, (0, 0, 0, -targets % _HEAD_ROWS))
    labels = F.pad(labels, (0, -targets % _HEAD_ROWS))
    chunks = [
        _log_softmax(F.linear(rows, weight, bias), model.softcap).gather(1, wanted[:, None])[:, 0]
        for rows, wanted in zip(hidden.split(_HEAD_ROWS), labels.split(_HEAD_ROWS), strict=True)
    ]
    return torch.cat(chunks)[:targets] if targets else hidden.new_zeros(0, dtype=torch.float32)


def _log_softmax(raw: Tensor, softcap: float) -> Tensor:
    logits = raw.float()
    return torch.log_softmax(softcap * torch.tanh(logits / softcap) if softcap else logits, -1)
