import pytest
import torch
from tiny import KINDS, tiny_model, tiny_tokenizer

from mmtune.errors import ModelError
from mmtune.families.embeddings import resize_embeddings

IDS = torch.arange(9)[None]


def ends_of(model):
    return model.get_input_embeddings().weight, model.get_output_embeddings().weight


def tokenizer_with(*marks):
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    return tokenizer


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_token_gets_the_mean_row_at_both_ends_and_old_logits_stay(kind, tied):
    tokenizer = tokenizer_with("<|a|>", "<|b|>")
    model = tiny_model(kind, vocab_size=310, tied=tied)
    old = [rows.detach().clone() for rows in ends_of(model)]
    before = model(IDS, use_cache=False).logits
    state = torch.get_rng_state()
    assert resize_embeddings(model, tokenizer) == [310, 311]
    assert torch.equal(torch.get_rng_state(), state)
    for rows, was in zip(ends_of(model), old, strict=True):
        assert rows.shape == (312, 32)
        assert rows.requires_grad
        assert torch.equal(rows[:310], was)
        assert torch.allclose(rows[310:], was.mean(0).expand(2, -1), atol=1e-7)
    assert model.config.vocab_size == 312
    assert (ends_of(model)[0] is ends_of(model)[1]) == tied
    logits = model(IDS, use_cache=False).logits
    assert logits.shape[-1] == 312
    assert torch.allclose(logits[..., :310], before, atol=1e-6)


def test_a_model_padded_past_its_tokenizer_never_shrinks():
    model = tiny_model("llama", vocab_size=320)
    before = [rows.detach().clone() for rows in ends_of(model)]
    assert resize_embeddings(model, tiny_tokenizer()) == []
    assert all(torch.equal(a, b) for a, b in zip(ends_of(model), before, strict=True))


def test_an_added_token_that_falls_on_a_padding_row_is_initialised_from_used_rows_only():
    model = tiny_model("qwen2", vocab_size=320)
    with torch.no_grad():
        for rows in ends_of(model):
            rows[310:] = 1e3
    assert resize_embeddings(model, tokenizer_with("<|a|>"), added=[310]) == [310]
    for rows in ends_of(model):
        assert rows.shape[0] == 320
        assert torch.allclose(rows[310], rows[:310].mean(0), atol=1e-6)


def test_another_models_tokenizer_is_refused():
    with pytest.raises(ModelError, match="of two models"):
        resize_embeddings(tiny_model("llama", vocab_size=300), tiny_tokenizer())


def test_a_resized_model_saves_and_loads(tmp_path):
    model = tiny_model("gemma3", vocab_size=310, tied=True)
    resize_embeddings(model, tokenizer_with("<|a|>"))
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again.get_output_embeddings().weight, ends_of(model)[1])
