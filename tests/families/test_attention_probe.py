"""The probe believes a path only when its numbers, gradients included, are right."""

import pytest
import torch
from torch import Tensor

from mmtune.families import attention_probe
from mmtune.families.attention_probe import AttentionProbe, by_document, probe_attention

CPU = torch.device("cpu")


def probe_one(monkeypatch: pytest.MonkeyPatch, attend: attention_probe.Attend) -> AttentionProbe:
    monkeypatch.setattr(attention_probe, "PATHS", {"one": attend})
    return probe_attention(CPU)[0]


def test_the_paths_that_need_nothing_run_on_a_cpu_in_float32() -> None:
    probes = {p.path: p for p in probe_attention(CPU) if p.dtype == "float32"}
    assert probes["sdpa, a document at a time"].runs
    assert probes["sdpa, block mask"].runs
    assert probes["eager"].runs
    assert not probes["flash_attn"].runs
    assert all(bool(p.reason) != p.runs and len(p.reason) <= 90 for p in probes.values())


def test_a_path_that_lets_documents_see_each_other_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leaky(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(query[None], key[None], value[None], is_causal=True)[0]

    probe = probe_one(monkeypatch, leaky)
    assert not probe.runs and probe.reason.startswith("wrong result: off by")


def test_a_path_with_wrong_gradients_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def frozen_keys(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return by_document(query, key.detach() + 0 * key, value)

    assert probe_one(monkeypatch, frozen_keys).reason.startswith("wrong result")


def test_the_reason_is_the_last_operators_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        raise NotImplementedError(
            "No operator\n`a` is not supported because:\n    old\n"
            "`b` is not supported because:\n    device=cpu (supported: {'cuda'})\n    more"
        )

    assert probe_one(monkeypatch, refusing).reason == "device=cpu (supported: {'cuda'})"
