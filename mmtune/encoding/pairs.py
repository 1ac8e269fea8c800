"""What one forward of an encoder-decoder eats: prompts for the encoder, answers for the decoder."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from mmtune.encoding.batches import IGNORE
from mmtune.encoding.samples import TokenSample

START = -1
"""Stands in `PairBatch.ids` for the token that a model's decoder starts from, which it knows."""


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Documents of two sides, either end to end in one row of each, or one to a row and padded."""

    inputs: Tensor
    """int64 [rows, input tokens], what the encoder reads"""
    input_documents: Tensor
    """int64 [rows, input tokens], number of the document within the batch, -1 where padded"""
    ids: Tensor
    """int64 [rows, target tokens], what the decoder reads: START, then the target but its last"""
    labels: Tensor
    """int64 [rows, target tokens], the target, IGNORE where padded or not learnt"""
    learnt: Tensor
    """int64 [targets], places in the flattened rows where `labels` is not IGNORE, in order"""
    documents: Tensor
    """int64 [rows, target tokens], as `input_documents`"""
    noise_keys: Tensor
    """int64 [documents], one per example and epoch: seeds whatever noise a document gets"""
    input_lengths: tuple[int, ...]
    """Input tokens of each document, on the host, in order"""
    target_lengths: tuple[int, ...]
    """Target tokens of each document, likewise"""
    example_ids: tuple[str, ...]
    """of each document"""
    sources: tuple[str, ...]
    """of each document"""
    document_targets: tuple[int, ...]
    """tokens learnt of each document"""

    def to(self, device: torch.device) -> Self:
        """The batch with its tensors on `device`."""
        moved: dict[str, Any] = {
            f.name: value.to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)

    def without_targets(self) -> Self:
        """The same forward with nothing to learn: keeps ranks in step that ran out of rows."""
        nothing = tuple(0 for _ in self.document_targets)
        labels = torch.full_like(self.labels, IGNORE)
        return replace(self, labels=labels, learnt=self.learnt[:0], document_targets=nothing)

    def noise_streams(self) -> tuple[Tensor, Tensor]:
        """Lengths and keys, int64 [streams], of whatever lies end to end in `inputs`: prompts, and
        after each, where rows are padded, its padding under a key of its own."""
        lengths = torch.tensor(self.input_lengths)
        if self.packed:
            return lengths, self.noise_keys
        both = torch.stack([lengths, self.inputs.shape[1] - lengths], 1).flatten()
        keys = torch.stack([self.noise_keys.cpu(), torch.zeros_like(lengths)], 1).flatten()
        return both[both > 0], keys[both > 0]

    @property
    def packed(self) -> bool:
        """Whether documents lie end to end (a single one does so, too)."""
        return len(self.inputs) == 1

    @property
    def document_lengths(self) -> tuple[int, ...]:
        """Tokens of each document, both sides together."""
        return tuple(a + b for a, b in zip(self.input_lengths, self.target_lengths, strict=True))

    @property
    def num_targets(self) -> int:
        return sum(self.document_targets)

    @property
    def num_tokens(self) -> int:
        """Real tokens of both sides, padding left out."""
        return sum(self.document_lengths)

    @property
    def padding_fraction(self) -> float:
        """Part of the slots that hold no token."""
        return 1 - self.num_tokens / (self.inputs.numel() + self.ids.numel())


def pack_pairs(samples: Sequence[TokenSample], noise_keys: Sequence[int]) -> PairBatch:
    """All prompts end to end in one row, all answers in another; no padding.

    ids [Hi </s> Hello </s>], supervised from Hello on
      -> inputs [Hi </s>], ids [START Hello], labels [Hello </s>]
    """
    pairs = [divided(sample) for sample in samples]
    numbers = range(len(pairs))
    labels = np.concatenate([target for _, target in pairs])
    return PairBatch(
        inputs=_tensor(np.concatenate([prompt for prompt, _ in pairs]))[None],
        input_documents=_tensor(np.repeat(numbers, [len(prompt) for prompt, _ in pairs]))[None],
        ids=_tensor(np.concatenate([_shifted(target) for _, target in pairs]))[None],
        labels=_tensor(labels)[None],
        learnt=_tensor(np.flatnonzero(labels != IGNORE)),
        documents=_tensor(np.repeat(numbers, [len(target) for _, target in pairs]))[None],
        **_shared(samples, pairs, noise_keys),
    )


def pad_pairs(samples: Sequence[TokenSample], noise_keys: Sequence[int], pad_id: int) -> PairBatch:
    """One row of each side per sample, padded on the right."""
    pairs = [divided(sample) for sample in samples]
    prompts, targets = [prompt for prompt, _ in pairs], [target for _, target in pairs]
    labels = _rows(targets, IGNORE)
    return PairBatch(
        inputs=_tensor(_rows(prompts, pad_id)),
        input_documents=_tensor(_rows([np.full(len(p), n) for n, p in enumerate(prompts)], -1)),
        ids=_tensor(_rows([_shifted(target) for target in targets], pad_id)),
        labels=_tensor(labels),
        learnt=_tensor(np.flatnonzero(labels != IGNORE)),
        documents=_tensor(_rows([np.full(len(t), n) for n, t in enumerate(targets)], -1)),
        **_shared(samples, pairs, noise_keys),
    )


def divided(sample: TokenSample) -> tuple[np.ndarray, np.ndarray]:
    """Prompt and target of a sample: what comes before the first token learnt, and the rest.

    Raises ValueError where either is empty: the encoding of pairs lets no such sample through.
    """
    start = int(np.argmax(sample.supervised))
    if start == 0 or not sample.supervised[start:].all():
        raise ValueError(f"sample {sample.example_id} is no prompt with a target after it")
    return sample.ids[:start], sample.ids[start:]


def _shifted(target: np.ndarray) -> np.ndarray:
    return np.concatenate([[START], target[:-1]])


def _rows(values: Sequence[np.ndarray], filler: int) -> np.ndarray:
    table = np.full((len(values), max(map(len, values))), filler, dtype=np.int64)
    for row, value in zip(table, values, strict=True):
        row[: len(value)] = value
    return table


def _shared(
    samples: Sequence[TokenSample],
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    noise_keys: Sequence[int],
) -> dict[str, Any]:
    lengths = tuple(len(target) for _, target in pairs)
    return {
        "noise_keys": torch.tensor(list(noise_keys), dtype=torch.int64),
        "input_lengths": tuple(len(prompt) for prompt, _ in pairs),
        "target_lengths": lengths,
        "example_ids": tuple(s.example_id for s in samples),
        "sources": tuple(s.source for s in samples),
        "document_targets": lengths,
    }


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.int64, copy=False))
