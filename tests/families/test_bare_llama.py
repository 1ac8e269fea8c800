"""The bare loop does the work that the real path does: the same loss, the same gradients."""

import numpy as np
import pytest
import torch
from tiny import tiny_model

from mmtune.encoding.batches import TokenBatch, pack
from mmtune.encoding.samples import TokenSample
from mmtune.families import bare_llama
from mmtune.families.attention import set_attention
from mmtune.families.bare_llama import bare_copy, bare_loss, places_learnt
from mmtune.families.text import LanguageModel
from mmtune.objectives.next_token import next_token


def batch_of(vocabulary: int, *lengths: int) -> TokenBatch:
    rng = np.random.default_rng(0)
    samples = [
        TokenSample(rng.integers(0, vocabulary, n, dtype=np.int32), rng.random(n) < 0.6, "x", "s")
        for n in lengths
    ]
    return pack(samples, [0] * len(samples))


@pytest.mark.parametrize("chunk", [1, 2**20])
def test_loss_and_gradients_are_those_of_the_real_path(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bare_llama, "_CHUNK_LOGITS", chunk)
    network = tiny_model("llama", tied=True, num_key_value_heads=4, pad_token_id=None)
    set_attention(network, "documents", torch.device("cpu"))
    batch = batch_of(network.config.vocab_size, 50, 3, 90, 20)
    bare = bare_copy(network)
    ours = next_token(LanguageModel(network), batch).sum()
    theirs = bare_loss(bare, batch, places_learnt(batch))
    ours.backward()
    theirs.backward()
    assert torch.isclose(ours, theirs, rtol=1e-6)
    for name, parameter in network.named_parameters():
        other = bare.weights[name].grad
        assert parameter.grad is not None and other is not None
        assert (parameter.grad - other).norm() < 1e-5 * parameter.grad.norm(), name


def test_grouped_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="as many key heads"):
        bare_copy(tiny_model("llama", num_key_value_heads=2))
