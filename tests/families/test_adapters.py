import copy

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny import KINDS, tiny_model
from transformers import AutoModelForCausalLM

from mmtune.config.recipe import LoraAdapter, NoAdapter
from mmtune.errors import ModelError
from mmtune.families.adapters import apply_adapter, merged, save_adapter

IDS = torch.tensor([[5, 9, 318, 40, 319, 7]])
NEW = [318, 319]


def lora(**settings):
    return LoraAdapter(kind="lora", rank=4, alpha=8.0, **settings)


def logits(model):
    with torch.no_grad():
        return model(IDS, use_cache=False).logits


def train_a_little(model, steps=3):
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-2, weight_decay=0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        model(IDS, labels=IDS, use_cache=False).loss.backward()
        optimizer.step()
    return model.eval()


def trained_lora(kind, tied, **settings):
    torch.manual_seed(0)
    model = tiny_model(kind, tied=tied)
    base = copy.deepcopy(model)
    return base, train_a_little(apply_adapter(model, lora(**settings), new_token_ids=NEW))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_merging_gives_a_plain_model_with_the_same_outputs_and_leaves_training_alone(kind, tied):
    base, model = trained_lora(kind, tied)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = logits(model)
    assert not torch.allclose(expected, logits(base), atol=1e-2)
    random_state = torch.get_rng_state()
    plain = merged(model)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert type(plain) is type(base)
    assert list(plain.state_dict()) == list(base.state_dict())
    assert not [n for n, _ in plain.named_modules() if "lora" in n]
    assert torch.allclose(logits(plain), expected, atol=1e-5)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(logits(model), expected)
    shared = {p.data_ptr() for p in plain.parameters()} & {p.data_ptr() for p in model.parameters()}
    assert not shared
    head, rows = plain.get_output_embeddings().weight, plain.get_input_embeddings().weight
    assert (head is rows) == tied


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_neox", "gpt2"])
def test_a_merged_model_saves_and_loads_plainly(kind, tied, tmp_path):
    _, model = trained_lora(kind, tied)
    merged(model).save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.allclose(logits(again), logits(model), atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt_neox", "gpt2"])
def test_new_rows_are_trained_at_both_ends_and_no_other_row(kind, tied):
    base, model = trained_lora(kind, tied)
    plain = merged(model)
    for ends in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(base, ends)().weight, getattr(plain, ends)().weight
        changed = (before != after).any(dim=1).nonzero().flatten().tolist()
        assert changed == NEW


@pytest.mark.parametrize("tied", [False, True])
def test_the_heads_weight_is_read_with_its_trained_rows_and_passes_gradients(tied):
    _, model = trained_lora("llama", tied)
    weight = model.get_base_model().get_output_embeddings().weight
    assert torch.equal(weight[NEW], merged(model).get_output_embeddings().weight[NEW])
    assert weight.requires_grad


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_adapter_is_small_and_loads_onto_the_base(tied, tmp_path):
    base, model = trained_lora("llama", tied)
    save_adapter(model, tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert not (tmp_path / "README.md").exists()
    assert not [name for name, t in saved.items() if t.shape[0] == base.config.vocab_size]
    again = PeftModel.from_pretrained(base, tmp_path).eval()
    assert torch.allclose(logits(again), logits(model), atol=1e-6)


def test_the_adapter_changes_nothing_before_training_and_freezes_the_base():
    model = tiny_model("qwen3")
    before = logits(model)
    adapted = apply_adapter(model, lora(), new_token_ids=[])
    assert torch.equal(logits(adapted), before)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


@pytest.mark.parametrize("kind", KINDS)
def test_all_linear_adapts_every_linear_layer_but_the_head(kind):
    model = tiny_model(kind)
    head = model.get_output_embeddings()
    linear = {
        name
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not head
    }
    adapted = apply_adapter(model, lora(), new_token_ids=[])
    found = {
        name.removeprefix("base_model.model.")
        for name, module in adapted.named_modules()
        if hasattr(module, "lora_A")
    }
    assert found == linear


def test_no_adapter_is_the_model_itself_with_every_parameter_trained():
    model = tiny_model("llama")
    assert apply_adapter(model, NoAdapter(), new_token_ids=NEW) is model
    assert merged(model) is model
    assert all(p.requires_grad for p in model.parameters())


def test_each_unknown_target_is_a_fault_with_near_names_and_what_there_is():
    section = lora(target_modules=["q_prj", "v_proj", "lm_head", "all-linear"])
    with pytest.raises(ModelError) as caught:
        apply_adapter(tiny_model("llama"), section, new_token_ids=[])
    faults = caught.value.faults
    assert len(faults) == 3
    assert "'q_prj'" in faults[0]
    assert "did you mean q_proj" in faults[0]
    assert "down_proj, gate_proj" in faults[0]
    assert "'lm_head'" in faults[1]
    assert "'all-linear'" in faults[2]
    with pytest.raises(ModelError):
        apply_adapter(tiny_model("llama"), lora(target_modules=[]), new_token_ids=[])


@pytest.mark.parametrize("target", ["q_proj", "layers.1.mlp.up_proj"])
def test_a_target_may_be_a_name_or_the_end_of_one(target):
    adapted = apply_adapter(tiny_model("llama"), lora(target_modules=[target]), new_token_ids=[])
    found = [name for name, module in adapted.named_modules() if hasattr(module, "lora_A")]
    assert found
    assert all(name.endswith(target) for name in found)


def test_half_precision_weights_keep_their_type_when_merged():
    model = apply_adapter(tiny_model("llama").bfloat16(), lora(), new_token_ids=NEW)
    plain = merged(train_a_little(model))
    assert plain.dtype == torch.bfloat16
    assert plain.get_input_embeddings().weight.dtype == torch.bfloat16


def test_training_goes_on_after_merging_as_if_nothing_had_been():
    outcomes = []
    for interrupted in (False, True):
        _, model = trained_lora("llama", False)
        if interrupted:
            merged(model)
        outcomes.append(logits(train_a_little(model)))
    assert torch.equal(*outcomes)
