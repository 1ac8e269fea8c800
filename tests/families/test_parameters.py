import pytest
from tiny import KINDS, tiny_model

from mmtune.config.recipe import LoraAdapter
from mmtune.errors import ModelError
from mmtune.families.adapters import apply_adapter
from mmtune.families.parameters import freeze, trainable_table

LORA = LoraAdapter(kind="lora", rank=4)


def trained(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_exactly_the_matching_parameters_are_frozen():
    model = tiny_model("llama")
    names = trained(model)
    freeze(model, ["model.layers.0.*", "*norm.weight"])
    assert names - trained(model) == {
        name for name in names if name.startswith("model.layers.0.") or name.endswith("norm.weight")
    }


def test_freezing_a_layer_freezes_its_adapter():
    model = apply_adapter(tiny_model("llama"), LORA, new_token_ids=[319])
    names = trained(model)
    freeze(model, ["model.layers.0.*"])
    gone = names - trained(model)
    assert gone == {name for name in names if ".layers.0." in name}
    freeze(model, ["model.embed_tokens.*"])
    assert not any("embed_tokens" in name for name in trained(model))


def test_a_tied_head_freezes_with_the_embeddings():
    model = tiny_model("llama", tied=True)
    freeze(model, ["lm_head.weight"])
    assert not model.get_input_embeddings().weight.requires_grad


def test_each_pattern_without_a_match_is_a_fault_with_near_names_and_nothing_is_frozen():
    model = tiny_model("llama")
    names = trained(model)
    with pytest.raises(ModelError) as caught:
        freeze(model, ["model.norm.wieght", "model.norm.weight", "nowhere.*"])
    assert len(caught.value.faults) == 2
    assert "model.norm.weight" in caught.value.faults[0]
    assert trained(model) == names


def test_leaving_nothing_to_train_is_an_error():
    model = tiny_model("llama")
    with pytest.raises(ModelError, match="leave none of the"):
        freeze(model, ["model.*", "lm_head.*"])
    assert trained(model)


def test_a_pattern_for_what_the_adapter_freezes_anyway_is_an_error():
    model = apply_adapter(tiny_model("llama"), LORA, new_token_ids=[])
    with pytest.raises(ModelError, match="frozen already"):
        freeze(model, ["*norm.weight"])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_table_accounts_for_every_parameter_once(kind, tied):
    model = tiny_model(kind, tied=tied)
    freeze(model, [next(iter(dict(model.named_parameters())))])
    *parts, total = trainable_table(model)
    parameters = list(model.parameters())
    assert total.parameters == sum(row.parameters for row in parts)
    assert total.parameters == sum(p.numel() for p in parameters)
    assert total.trainable == sum(p.numel() for p in parameters if p.requires_grad)
    assert len({row.part for row in parts}) == len(parts)
    assert any("*" in row.part for row in parts)


def test_an_adapter_has_rows_of_its_own():
    model = apply_adapter(tiny_model("llama"), LORA, new_token_ids=[319])
    rows = {row.part: row for row in trainable_table(model)}
    assert rows["model.layers.*.self_attn"].trainable == 0
    adapter = rows["model.layers.*.self_attn (adapter)"]
    assert adapter.parameters == adapter.trainable > 0
    assert rows["model.embed_tokens (adapter)"].trainable == 32
