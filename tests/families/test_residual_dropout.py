import math

import pytest
import torch
from tiny import KINDS, tiny_model
from torch import nn

from mmtune.errors import ModelError
from mmtune.families.residual_dropout import LAYOUTS, add_residual_dropout

IDS = torch.arange(12)[None]
MANY_IDS = (10 + torch.arange(512).remainder(300)).view(8, 64)  # the padding row (2) is zero
VARIANTS = [(kind, {}) for kind in KINDS] + [("gpt_neox", {"use_parallel_residual": False})]


def build(kind, settings, layers=3):
    return tiny_model(kind, layers=layers, **settings)


def blocks_of(model):
    return [module for module in model.modules() if type(module).__name__ in LAYOUTS]


def hidden_after_each_layer(model, ids):
    seen = []
    handles = [
        block.register_forward_hook(lambda m, i, out: seen.append(out.detach().clone()))
        for block in blocks_of(model)
    ]
    model(ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(1)


@pytest.mark.parametrize(("kind", "settings"), VARIANTS)
def test_eval_mode_is_exact_and_removal_restores_train_mode(kind, settings):
    model = build(kind, settings)
    before = model(IDS, use_cache=False).logits
    dropout = add_residual_dropout(model, 0.5)
    assert torch.equal(model(IDS, use_cache=False).logits, before)
    model.train()
    assert not torch.allclose(model(IDS, use_cache=False).logits, before)
    dropout.remove()
    assert torch.equal(model(IDS, use_cache=False).logits, before)


@pytest.mark.parametrize(("kind", "settings"), VARIANTS)
def test_near_p_of_one_the_top_layer_is_the_identity_and_the_bottom_layer_is_untouched(
    kind, settings
):
    """So both branches are dropped, and the residual stream itself is not."""
    model = build(kind, settings, layers=2)
    clean = hidden_after_each_layer(model, IDS)
    add_residual_dropout(model.train(), 1.0 - 1e-9)
    bottom, top = hidden_after_each_layer(model, IDS)
    assert torch.equal(bottom, clean[0])
    assert not torch.allclose(clean[0], clean[1])
    assert torch.equal(top, bottom)


@pytest.mark.parametrize("branch", [0, 1])
@pytest.mark.parametrize(("kind", "settings"), VARIANTS)
def test_each_branch_of_each_layer_is_dropped_once_with_its_p(kind, settings, branch):
    """With the other branch silenced, what a layer adds is the branch: its zeros are counted.

    16,384 values, so 4 deviations are 0.016 at most; two drops in a row would give 0.64 for 0.4.
    """
    model = build(kind, settings)
    silence_branches(model, 1 - branch, from_layer=0)
    add_residual_dropout(model.train(), 0.4)
    for added, p in zip(added_by_layer(model, MANY_IDS), (0.0, 0.2, 0.4), strict=True):
        measured = (added.abs() < 1e-7).double().mean().item()
        assert abs(measured - p) <= 4 * math.sqrt(p * (1 - p) / added.numel()) + 1e-3


@pytest.mark.parametrize("branch", [0, 1])
@pytest.mark.parametrize(("kind", "settings"), VARIANTS)
def test_what_is_kept_is_scaled_up_by_what_is_dropped(kind, settings, branch):
    model = build(kind, settings, layers=2)
    silence_branches(model, 1 - branch, from_layer=0)
    silence_branches(model, branch, from_layer=0, to_layer=1)  # so the top layer's input is fixed
    _, clean = added_by_layer(model, MANY_IDS)
    add_residual_dropout(model.train(), 0.4)
    _, dropped = added_by_layer(model, MANY_IDS)
    kept = dropped.abs() > 1e-5
    assert kept.any()
    assert torch.allclose(dropped[kept], clean[kept] / 0.6, atol=1e-5)


def silence_branches(model, branch, *, from_layer, to_layer=None):
    for block in blocks_of(model)[from_layer:to_layer]:
        silence(block.get_submodule(LAYOUTS[type(block).__name__][branch]))


def silence(branch_end):
    branch_end.register_forward_hook(
        lambda m, i, out: (out[0] * 0, *out[1:]) if isinstance(out, tuple) else out * 0
    )


def added_by_layer(model, ids):
    changes = []

    def record(module, args, kwargs, output):
        before = args[0] if args else kwargs["hidden_states"]
        changes.append((output - before).detach())

    handles = [b.register_forward_hook(record, with_kwargs=True) for b in blocks_of(model)]
    model(ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return changes


def test_p_rises_linearly_from_zero_to_the_top():
    dropout = add_residual_dropout(tiny_model("llama", layers=4), 0.3)
    assert dropout.probabilities == pytest.approx((0.0, 0.1, 0.2, 0.3))
    assert add_residual_dropout(tiny_model("llama", layers=1), 0.3).probabilities == (0.0,)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2"])
def test_a_checkpoints_own_dropout_is_replaced_and_comes_back(kind):
    own = {"gpt_neox": {"hidden_dropout": 0.25}, "gpt2": {"resid_pdrop": 0.25}}.get(kind, {})
    model = tiny_model(kind, layers=2, **own)
    before = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
    dropout = add_residual_dropout(model, 0.4)
    ends = [blocks_of(model)[0].get_submodule(name) for name in LAYOUTS[type_of_block(model)]]
    assert all(end.p == 0.0 for end in ends if isinstance(end, nn.Dropout))
    dropout.remove()
    dropout.remove()
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == before


def type_of_block(model):
    return type(blocks_of(model)[0]).__name__


def test_saved_weights_load_plainly_and_have_the_same_names(tmp_path):
    model = tiny_model("gemma2")
    names = list(model.state_dict())
    add_residual_dropout(model, 0.3)
    assert list(model.state_dict()) == names
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).train()
    assert torch.allclose(
        again(IDS, use_cache=False).logits, model(IDS, use_cache=False).logits, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_neox", "gpt2"])
def test_gradient_checkpointing_recomputes_the_same_mask(kind):
    def gradients(checkpointing):
        model = tiny_model(kind, layers=3)
        add_residual_dropout(model.train(), 0.5)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(3)
        model(IDS, labels=IDS, use_cache=False).loss.backward()
        return [p.grad for p in model.parameters()]

    for one, other in zip(gradients(False), gradients(True), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_another_layout_is_refused_with_its_name_and_what_is_known():
    class StrangeLayer(nn.Module):
        pass

    class StrangeModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([StrangeLayer(), StrangeLayer()])

    with pytest.raises(ModelError, match=r"StrangeModel is made of StrangeLayer.*GPT2Block"):
        add_residual_dropout(StrangeModel(), 0.3)


def test_cross_attention_is_refused_and_a_second_application_is_a_mistake():
    with pytest.raises(ModelError, match="cross-attention"):
        add_residual_dropout(tiny_model("gpt2", add_cross_attention=True), 0.3)
    model = tiny_model("llama")
    add_residual_dropout(model, 0.3)
    with pytest.raises(ValueError, match="already"):
        add_residual_dropout(model, 0.3)
