"""Batches of pairs: two rows, nothing lost, nothing shared between documents."""

import numpy as np
import pytest
import torch

from mmtune.encoding.batches import IGNORE
from mmtune.encoding.pairs import START, divided, pack_pairs, pad_pairs
from mmtune.encoding.samples import TokenSample


def pair(name: str, prompt: list[int], target: list[int]) -> TokenSample:
    ids = np.array(prompt + target, np.int32)
    return TokenSample(ids, np.arange(len(ids)) >= len(prompt), name, "s")


SAMPLES = [pair("a", [5, 6, 1], [7, 1]), pair("b", [8, 1], [9, 10, 11, 1])]


def test_packed_rows_hold_prompts_and_targets_each_started_anew() -> None:
    batch = pack_pairs(SAMPLES, [3, 4])
    assert batch.inputs.tolist() == [[5, 6, 1, 8, 1]]
    assert batch.input_documents.tolist() == [[0, 0, 0, 1, 1]]
    assert batch.ids.tolist() == [[START, 7, START, 9, 10, 11]]
    assert batch.labels.tolist() == [[7, 1, 9, 10, 11, 1]]
    assert batch.documents.tolist() == [[0, 0, 1, 1, 1, 1]]
    assert batch.learnt.tolist() == list(range(6))
    assert (batch.num_targets, batch.num_tokens, batch.padding_fraction) == (6, 11, 0.0)
    assert batch.document_lengths == (5, 6) and batch.document_targets == (2, 4)


def test_padded_rows_hold_one_document_each() -> None:
    batch = pad_pairs(SAMPLES, [3, 4], pad_id=0)
    assert batch.inputs.tolist() == [[5, 6, 1], [8, 1, 0]]
    assert batch.input_documents.tolist() == [[0, 0, 0], [1, 1, -1]]
    assert batch.ids.tolist() == [[START, 7, 0, 0], [START, 9, 10, 11]]
    assert batch.labels.tolist() == [[7, 1, IGNORE, IGNORE], [9, 10, 11, 1]]
    assert batch.documents.tolist() == [[0, 0, -1, -1], [1, 1, 1, 1]]
    assert batch.learnt.tolist() == [0, 1, 4, 5, 6, 7]
    assert batch.num_tokens == 11 and batch.padding_fraction == pytest.approx(3 / 14)


def test_noise_follows_prompts_and_never_counts_padding_into_them() -> None:
    lengths, keys = pack_pairs(SAMPLES, [3, 4]).noise_streams()
    assert (lengths.tolist(), keys.tolist()) == ([3, 2], [3, 4])
    lengths, keys = pad_pairs(SAMPLES, [3, 4], 0).noise_streams()
    assert (lengths.tolist(), keys.tolist()) == ([3, 2, 1], [3, 4, 0])


def test_a_batch_without_targets_reads_the_same_and_learns_nothing() -> None:
    batch = pack_pairs(SAMPLES, [3, 4])
    idle = batch.without_targets()
    assert idle.num_targets == 0 and len(idle.learnt) == 0 and (idle.labels == IGNORE).all()
    assert torch.equal(idle.inputs, batch.inputs) and torch.equal(idle.ids, batch.ids)
    assert idle.example_ids == ("a", "b")


@pytest.mark.parametrize("learnt", [[1, 1, 1], [0, 0, 0], [0, 1, 0]])
def test_what_is_no_prompt_and_target_is_refused(learnt: list[int]) -> None:
    sample = TokenSample(np.array([5, 6, 7], np.int32), np.array(learnt, bool), "a", "s")
    with pytest.raises(ValueError, match="no prompt with a target"):
        divided(sample)
