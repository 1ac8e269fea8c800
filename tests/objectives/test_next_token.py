"""The chunked cross entropy is F.cross_entropy of the full logits, values and gradients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmtune.encoding.batches import IGNORE, TokenBatch, pack
from mmtune.encoding.samples import TokenSample
from mmtune.objectives import next_token as module
from mmtune.objectives.next_token import next_token

WIDTH, VOCABULARY = 12, 97


@dataclass
class Model:
    """Hidden states and a head, as leaves."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    softcap: float = 0.0

    def head(self) -> tuple[Tensor, Tensor | None]:
        return self.weight, self.bias

    def hidden_states(self, batch: TokenBatch) -> Tensor:
        return self.hidden

    @property
    def leaves(self) -> list[Tensor]:
        return [x for x in (self.hidden, self.weight, self.bias) if x is not None]


def batch_of(*lengths: int, learnt: float = 0.6) -> TokenBatch:
    rng = np.random.default_rng(0)
    samples = [
        TokenSample(
            rng.integers(0, VOCABULARY, n, dtype=np.int32), rng.random(n) < learnt, f"{i}", "s"
        )
        for i, n in enumerate(lengths)
    ]
    return pack(samples, [0] * len(samples))


def model_for(batch: TokenBatch, *, dtype: torch.dtype, bias: bool, softcap: float) -> Model:
    made = torch.Generator().manual_seed(1)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=made, dtype=dtype).requires_grad_()

    hidden = leaf(*batch.ids.shape, WIDTH)
    return Model(hidden, leaf(VOCABULARY, WIDTH), leaf(VOCABULARY) if bias else None, softcap)


def reference(model: Model, batch: TokenBatch) -> Tensor:
    logits = F.linear(model.hidden, model.weight, model.bias)
    if model.softcap:
        logits = model.softcap * torch.tanh(logits / model.softcap)
    losses = F.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE, reduction="none"
    )
    documents = batch.documents.flatten()
    return torch.stack([losses[documents == n].sum() for n in range(len(batch.example_ids))])


def values_and_gradients(sums: Tensor, leaves: list[Tensor], scale: float = 1.0) -> list[Tensor]:
    return [sums.detach(), *torch.autograd.grad(sums.sum() * scale, leaves)]


@pytest.mark.parametrize("softcap", [0.0, 3.0])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("chunk", [1, 7, 2048])
def test_values_and_gradients_are_those_of_full_logits(
    dtype: torch.dtype, bias: bool, softcap: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_TARGETS", chunk)
    batch = batch_of(9, 1, 30, 17)
    model = model_for(batch, dtype=dtype, bias=bias, softcap=softcap)
    ours = values_and_gradients(next_token(model, batch), model.leaves, 1 / 7)
    theirs = values_and_gradients(reference(model, batch), model.leaves, 1 / 7)
    assert ours[0].dtype == torch.float32
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one.double(), other.double(), rtol=1e-5, atol=1e-5)


def test_on_a_cpu_a_chunk_fits_the_cache_and_is_never_tiny() -> None:
    rows = {size: module._chunk_rows(torch.empty(size, 1)) for size in (300, 8192, 128_000)}
    assert rows == {300: 2048, 8192: 128, 128_000: 64}
    assert module._chunk_rows(torch.empty(128_000, 1, device="meta")) == 2048


@pytest.mark.parametrize("targets", [6, 7, 8, 14, 15])
def test_no_target_is_lost_at_a_chunks_edge(targets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(targets + 1, learnt=2.0)
    assert batch.num_targets == targets
    model = model_for(batch, dtype=torch.float32, bias=True, softcap=0.0)
    whole = values_and_gradients(next_token(model, batch), model.leaves)
    monkeypatch.setattr(module, "CHUNK_TARGETS", 7)
    parts = values_and_gradients(next_token(model, batch), model.leaves)
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_each_document_has_its_own_sum() -> None:
    batch = batch_of(9, 1, 30)
    model = model_for(batch, dtype=torch.float32, bias=False, softcap=0.0)
    sums = next_token(model, batch)
    assert sums.shape == (3,) and sums[1] == 0
    assert sums[0] > 0 and sums[2] > sums[0]


def test_a_batch_without_targets_gives_zero_gradients_and_not_none() -> None:
    """DDP waits for every parameter's gradient, on a rank without targets too."""
    batch = batch_of(9, 4).without_targets()
    model = model_for(batch, dtype=torch.float32, bias=True, softcap=2.0)
    sums = next_token(model, batch)
    assert sums.tolist() == [0, 0]
    sums.sum().backward()
    for leaf in model.leaves:
        assert leaf.grad is not None and not leaf.grad.any()


def test_a_frozen_head_gets_no_gradient_and_the_rest_the_same() -> None:
    batch = batch_of(20)
    model = model_for(batch, dtype=torch.float32, bias=True, softcap=0.0)
    (before,) = torch.autograd.grad(next_token(model, batch).sum(), [model.hidden])
    assert model.bias is not None
    model.weight.requires_grad_(False)
    model.bias.requires_grad_(False)
    next_token(model, batch).sum().backward()
    assert torch.equal(model.hidden.grad, before)  # type: ignore[arg-type]
    assert model.weight.grad is None and model.bias.grad is None


class Widest(TorchDispatchMode):
    """The most rows that any tensor as wide as the vocabulary has had."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and VOCABULARY in tensor.shape[-1:]:
                self.rows = max(self.rows, tensor.numel() // VOCABULARY)
        return out


def test_the_logits_of_a_pack_are_never_all_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_TARGETS", 16)
    batch = batch_of(90, 110, learnt=2.0)
    model = model_for(batch, dtype=torch.float32, bias=False, softcap=2.0)
    with Widest() as ours:
        next_token(model, batch).sum().backward()
    with Widest() as theirs:
        reference(model, batch).sum().backward()
    assert theirs.rows == 200  # the spy sees what it should
    assert ours.rows == 16


def test_nothing_as_wide_as_the_vocabulary_is_kept_for_the_backward() -> None:
    batch = batch_of(90, 110, learnt=2.0)
    model = model_for(batch, dtype=torch.float32, bias=False, softcap=2.0)
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        sums = next_token(model, batch)
    assert max(kept) <= max(200 * WIDTH, VOCABULARY * WIDTH)
    assert sums.requires_grad


def test_unequal_weights_of_documents_are_a_mistake() -> None:
    batch = batch_of(9, 9)
    model = model_for(batch, dtype=torch.float32, bias=False, softcap=0.0)
    with pytest.raises(ValueError, match="weigh the same"):
        (next_token(model, batch) * torch.tensor([1.0, 2.0])).sum().backward()


def test_under_autocast_the_gradients_stay_near() -> None:
    batch = batch_of(40, 24)
    model = model_for(batch, dtype=torch.float32, bias=True, softcap=0.0)
    theirs = values_and_gradients(reference(model, batch), model.leaves)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = next_token(model, batch)
    for one, other in zip(values_and_gradients(sums, model.leaves), theirs, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()
