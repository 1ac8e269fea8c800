"""A batch says the same of its samples whether they are packed or padded."""

import numpy as np
import pytest
import torch

from mmtune.encoding.batches import IGNORE, TokenBatch, num_targets, pack, pad
from mmtune.encoding.samples import TokenSample


def sample(name: str, ids: list[int], learnt: list[int], source: str = "s") -> TokenSample:
    mask = np.isin(np.arange(len(ids)), learnt)
    return TokenSample(np.array(ids, dtype=np.int32), mask, name, source)


SAMPLES = [
    sample("a", [5, 6, 7], [2]),
    sample("b", [8, 9], [0, 1], "t"),
    sample("c", [3, 4, 5, 6, 7], [3, 4]),
]
KEYS = [11, 2**62, 7]


def test_packed_documents_lie_end_to_end_with_positions_from_zero() -> None:
    batch = pack(SAMPLES, KEYS)
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9, 3, 4, 5, 6, 7]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3, 4]]
    assert batch.documents.tolist() == [[0, 0, 0, 1, 1, 2, 2, 2, 2, 2]]
    assert batch.padding_fraction == 0


def test_labels_are_the_next_token_within_the_document_where_it_is_learnt() -> None:
    """The last token of a document predicts nothing: never the first of its neighbour."""
    no = IGNORE
    assert pack(SAMPLES, KEYS).labels.tolist() == [[no, 7, no, 9, no, no, no, 6, 7, no]]
    assert pad(SAMPLES, KEYS, 0).labels.tolist() == [
        [no, 7, no, no, no],
        [9, no, no, no, no],
        [no, no, 6, 7, no],
    ]


def test_padding_is_no_document_and_no_target() -> None:
    batch = pad(SAMPLES, KEYS, 99)
    assert batch.ids[1].tolist() == [8, 9, 99, 99, 99]
    assert batch.documents.tolist() == [[0, 0, 0, -1, -1], [1, 1, -1, -1, -1], [2] * 5]
    assert batch.num_tokens == 10
    assert batch.padding_fraction == pytest.approx(5 / 15)


@pytest.mark.parametrize("batch", [pack(SAMPLES, KEYS), pad(SAMPLES, KEYS, 0)])
def test_counts_are_those_of_the_labels_and_the_first_token_is_never_one(batch: TokenBatch) -> None:
    assert batch.document_targets == (1, 1, 2)
    assert batch.num_targets == int((batch.labels != IGNORE).sum()) == 4
    assert [num_targets(s) for s in SAMPLES] == [1, 1, 2]
    assert batch.example_ids == ("a", "b", "c")
    assert batch.sources == ("s", "t", "s")
    assert batch.document_lengths == (3, 2, 5)
    for number in range(3):
        of_document = (batch.documents == number) & (batch.labels != IGNORE)
        assert int(of_document.sum()) == batch.document_targets[number]
    assert batch.learnt.tolist() == torch.nonzero(batch.labels.flatten() != IGNORE)[:, 0].tolist()


def test_without_targets_only_the_targets_go() -> None:
    full = pack(SAMPLES, KEYS)
    empty = full.without_targets()
    assert empty.num_targets == 0 and empty.document_targets == (0, 0, 0)
    assert (empty.labels == IGNORE).all() and empty.learnt.numel() == 0
    assert torch.equal(empty.ids, full.ids) and full.num_targets == 4


def test_noise_streams_give_each_document_its_key_however_it_lies() -> None:
    lengths, keys = pack(SAMPLES, KEYS).noise_streams()
    assert lengths.tolist() == [3, 2, 5] and keys.tolist() == KEYS
    lengths, keys = pad(SAMPLES, KEYS, 0).noise_streams()
    assert lengths.tolist() == [3, 2, 2, 3, 5]
    assert keys.tolist() == [11, 0, 2**62, 0, 7]
    lengths, keys = pad(SAMPLES[:1], KEYS[:1], 0).noise_streams()
    assert (lengths.tolist(), keys.tolist()) == ([3], [11])


def test_moving_keeps_everything_else() -> None:
    batch = pack(SAMPLES, KEYS)
    moved = batch.to(torch.device("meta"))
    assert moved.ids.is_meta and moved.noise_keys.is_meta and moved.labels.is_meta
    assert moved.learnt.is_meta
    assert moved.num_targets == batch.num_targets and not batch.ids.is_meta
