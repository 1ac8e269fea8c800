"""What one forward pass eats. Every batch knows its own target count on the CPU."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from mmtune.encoding.samples import TokenSample

IGNORE = -100


class Batch(Protocol):
    """What the loop knows of a batch of any family."""

    @property
    def num_targets(self) -> int: ...

    @property
    def example_ids(self) -> tuple[str, ...]: ...

    @property
    def sources(self) -> tuple[str, ...]: ...

    @property
    def document_targets(self) -> tuple[int, ...]: ...

    def to(self, device: torch.device) -> Self: ...

    def without_targets(self) -> Self: ...


@dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """Documents of tokens, either packed in one row or one to a row and padded."""

    ids: Tensor
    """int64 [rows, tokens]"""
    labels: Tensor
    """int64 [rows, tokens], the next token where it is learnt, else IGNORE"""
    learnt: Tensor
    """int64 [targets], places in the flattened rows where `labels` is not IGNORE, in order; made on
    the host, since asking a GPU for them would wait for it"""
    positions: Tensor
    """int64 [rows, tokens], from 0 in each document"""
    documents: Tensor
    """int64 [rows, tokens], number of the document within the batch, -1 where padded"""
    noise_keys: Tensor
    """int64 [documents], one per example and epoch: seeds whatever noise a document gets"""
    document_lengths: tuple[int, ...]
    """Tokens of each document, on the host, in order"""
    example_ids: tuple[str, ...]
    """of each document"""
    sources: tuple[str, ...]
    """of each document"""
    document_targets: tuple[int, ...]
    """tokens learnt of each document"""
    images: tuple[Tensor, ...] = ()

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
        """Lengths and keys, int64 [streams], of whatever lies end to end in the rows: documents,
        and after each, where rows are padded, its padding under a key of its own."""
        lengths = torch.tensor(self.document_lengths)
        if len(self.ids) == 1:
            return lengths, self.noise_keys
        both = torch.stack([lengths, self.ids.shape[1] - lengths], 1).flatten()
        keys = torch.stack([self.noise_keys.cpu(), torch.zeros_like(lengths)], 1).flatten()
        return both[both > 0], keys[both > 0]

    @property
    def num_targets(self) -> int:
        return sum(self.document_targets)

    @property
    def num_tokens(self) -> int:
        """Real tokens, padding left out."""
        return sum(self.document_lengths)

    @property
    def padding_fraction(self) -> float:
        """Part of the slots that hold no token."""
        return 1 - self.num_tokens / self.ids.numel()


def pack(samples: Sequence[TokenSample], noise_keys: Sequence[int]) -> TokenBatch:
    """One row that holds all samples end to end: ids [1, sum of lengths], no padding."""
    lengths = [len(sample.ids) for sample in samples]
    labels = np.concatenate([_labels(s) for s in samples])
    return TokenBatch(
        ids=_tensor(np.concatenate([s.ids for s in samples]))[None],
        labels=_tensor(labels)[None],
        learnt=_tensor(np.flatnonzero(labels != IGNORE)),
        positions=_tensor(np.concatenate([np.arange(n) for n in lengths]))[None],
        documents=_tensor(np.repeat(np.arange(len(samples)), lengths))[None],
        **_shared(samples, noise_keys),
    )


def pad(samples: Sequence[TokenSample], noise_keys: Sequence[int], pad_id: int) -> TokenBatch:
    """One row per sample, padded on the right: ids [samples, longest]."""
    width = max(len(sample.ids) for sample in samples)

    def rows(values: Sequence[np.ndarray], filler: int) -> np.ndarray:
        table = np.full((len(values), width), filler, dtype=np.int64)
        for row, value in zip(table, values, strict=True):
            row[: len(value)] = value
        return table

    labels = rows([_labels(s) for s in samples], IGNORE)
    return TokenBatch(
        ids=_tensor(rows([s.ids for s in samples], pad_id)),
        labels=_tensor(labels),
        learnt=_tensor(np.flatnonzero(labels != IGNORE)),
        positions=torch.arange(width).repeat(len(samples), 1),
        documents=_tensor(rows([np.full(len(s.ids), n) for n, s in enumerate(samples)], -1)),
        **_shared(samples, noise_keys),
    )


def _shared(samples: Sequence[TokenSample], noise_keys: Sequence[int]) -> dict[str, Any]:
    return {
        "noise_keys": torch.tensor(list(noise_keys), dtype=torch.int64),
        "document_lengths": tuple(len(s.ids) for s in samples),
        "example_ids": tuple(s.example_id for s in samples),
        "sources": tuple(s.source for s in samples),
        "document_targets": tuple(num_targets(s) for s in samples),
    }


def num_targets(sample: TokenSample) -> int:
    """Tokens learnt. The first token of a document is predicted from nothing, so never one."""
    return int(np.count_nonzero(sample.supervised[1:]))


def _labels(sample: TokenSample) -> np.ndarray:
    labels = np.full(len(sample.ids), IGNORE, dtype=np.int64)
    labels[:-1] = np.where(sample.supervised[1:], sample.ids[1:], IGNORE)
    return labels


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.int64, copy=False))
