"""An encoder-decoder's packed documents compute what each computes alone, gradients too."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import T5_KINDS, tiny_pair_model, tiny_pair_tokenizer
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel

from mmtune.config.recipe import TextModel
from mmtune.encoding.pairs import PairBatch, pack_pairs, pad_pairs
from mmtune.encoding.samples import TokenSample
from mmtune.encoding.store import write_store
from mmtune.errors import FormatError, ModelError
from mmtune.families import encoder_decoder, pair_attention, text
from mmtune.families.family import GenerationSettings, Loaded, family_of
from mmtune.families.pair_attention import set_pair_attention
from mmtune.families.pair_model import PairModel, verified
from mmtune.objectives.next_token import next_token
from mmtune.types import Conversation, Text, Turn

CPU = torch.device("cpu")
SIZES = ((30, 4), (9, 12), (3, 1), (17, 26), (1, 2))
"""Prompt and target tokens; longer than the distances that have buckets of their own."""
EXACT = 1e-5


def samples(seed: int = 0) -> list[TokenSample]:
    rng = np.random.default_rng(seed)
    return [
        TokenSample(
            rng.integers(3, 190, prompt + target, dtype=np.int32),
            np.arange(prompt + target) >= prompt,
            f"e{number}",
            "s",
        )
        for number, (prompt, target) in enumerate(SIZES)
    ]


def packed(chosen: Sequence[TokenSample]) -> PairBatch:
    return pack_pairs(chosen, [7 * number for number in range(len(chosen))])


def made(kind: str, attention: str = "documents", **overrides: Any) -> PairModel:
    network = tiny_pair_model(kind, **overrides)
    set_pair_attention(network, attention, CPU)
    return PairModel(network, start_id=0)


def learnt_from(model: PairModel, batches: Sequence[PairBatch]) -> tuple[Tensor, Tensor]:
    """Losses [documents], and all gradients of their sum."""
    model.zero_grad()
    losses = []
    for batch in batches:
        losses.append(next_token(model, batch))  # type: ignore[arg-type]
        losses[-1].sum().backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(losses).detach(), torch.cat(gradients)


def plainly_learnt(network: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """By transformers alone: one document at a time, its own loss, its own attention."""
    network.zero_grad()
    losses = []
    for sample in samples():
        batch = packed([sample])
        output = network(input_ids=batch.inputs, labels=batch.labels)
        losses.append(output.loss * batch.num_targets)
        losses[-1].backward()
    return torch.stack(losses).detach(), torch.cat([p.grad.flatten() for p in network.parameters()])


def off(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("attention", ["documents", "sdpa", "eager"])
@pytest.mark.parametrize("kind", T5_KINDS)
def test_packed_and_padded_losses_and_gradients_are_those_of_plain_transformers(
    kind: str, attention: str
) -> None:
    losses, gradients = plainly_learnt(tiny_pair_model(kind))
    model = made(kind, attention)
    for batch in (packed(samples()), pad_pairs(samples(), [0] * len(SIZES), pad_id=0)):
        ours, theirs = learnt_from(model, [batch])
        assert torch.allclose(ours, losses, atol=EXACT, rtol=EXACT)
        assert off(theirs, gradients) < EXACT
        assert torch.allclose(theirs, gradients, atol=EXACT, rtol=1e-4)


@pytest.mark.parametrize("seam", ["encoder", "decoder", "cross"])
def test_documents_that_see_each_other_are_found_wherever_it_is(
    seam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same comparison fails by far when one of the three masks is left out."""
    real = pair_attention.pair_arguments

    def leaky(*arguments: Any) -> Any:
        encoder, decoder = real(*arguments)
        if seam == "encoder":
            encoder = {"attention_mask": torch.ones_like(encoder["attention_mask"])}
        if seam == "decoder":
            mask = decoder["attention_mask"]
            decoder |= {"attention_mask": torch.ones_like(mask).tril()}
        if seam == "cross":
            mask = decoder["encoder_attention_mask"]
            decoder |= {"encoder_attention_mask": torch.ones_like(mask)}
        return encoder, decoder

    model = made("t5", "sdpa")
    losses, gradients = plainly_learnt(tiny_pair_model("t5"))
    monkeypatch.setattr("mmtune.families.pair_model.pair_arguments", leaky)
    ours, theirs = learnt_from(model, [packed(samples())])
    assert off(theirs, gradients) > 100 * EXACT and off(ours, losses) > 100 * EXACT
    with pytest.raises(ModelError, match=r"computed in a way|kind to padded"):
        verified(model).hidden_states(packed(samples()))


@pytest.mark.parametrize("attention", ["documents", "sdpa"])
@pytest.mark.parametrize("side", ["prompt", "target"])
def test_another_token_in_one_document_changes_no_bit_of_the_others(
    attention: str, side: str
) -> None:
    model, before = made("flan_t5", attention), samples()
    ids = before[1].ids.copy()
    place = 4 if side == "prompt" else 12
    ids[place] = 150 if ids[place] != 150 else 151
    after = [before[0], replace(before[1], ids=ids), *before[2:]]
    with torch.no_grad():
        one, two = (model.hidden_states(packed(which))[0] for which in (before, after))
    documents = packed(before).documents[0]
    assert torch.equal(one[documents != 1], two[documents != 1])
    assert not torch.equal(one[documents == 1], two[documents == 1])


def test_splitting_a_batch_changes_no_gradient() -> None:
    model = made("t5")
    _, together = learnt_from(model, [packed(samples())])
    _, apart = learnt_from(model, [packed(samples()[:2]), packed(samples()[2:])])
    assert off(apart, together) < EXACT


def test_gradient_checkpointing_computes_the_same() -> None:
    model = made("flan_t5")
    _, whole = learnt_from(model.train(), [packed(samples())])
    loaded = Loaded(model, None, None, CPU, None, 0)
    encoder_decoder.save_memory(loaded)
    _, again = learnt_from(model, [packed(samples())])
    assert torch.equal(again, whole)


def test_a_batch_without_targets_gives_every_parameter_a_gradient_of_nothing() -> None:
    model = made("t5")
    _, gradients = learnt_from(model, [packed(samples()).without_targets()])
    assert not gradients.any()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_noise_is_put_on_prompts_alike_in_any_row_and_not_on_answers() -> None:
    network = tiny_pair_model("t5")
    set_pair_attention(network, "documents", CPU)
    noisy = PairModel(network, 0, neftune_alpha=5.0).train()
    several = packed(samples())
    with torch.no_grad():
        rows = noisy.hidden_states(several)[0].split(SIZES_OF_TARGETS)
        quiet = PairModel(network, 0).hidden_states(several)[0].split(SIZES_OF_TARGETS)
        for number, sample in enumerate(samples()):
            alone = noisy.hidden_states(pack_pairs([sample], [7 * number]))[0]
            assert torch.allclose(rows[number], alone, atol=EXACT)
            assert not torch.allclose(rows[number], quiet[number], atol=1e-3)


SIZES_OF_TARGETS = [target for _, target in SIZES]


def test_what_a_decoder_reads_gets_no_noise_where_both_sides_share_their_embeddings() -> None:
    network = tiny_pair_model("t5")
    network.set_input_embeddings(network.get_input_embeddings())
    assert network.encoder.embed_tokens is network.decoder.embed_tokens
    set_pair_attention(network, "documents", CPU)
    read: list[Tensor] = []
    network.decoder.block[0].register_forward_pre_hook(lambda _, args: read.append(args[0]))
    network.encoder.block[0].register_forward_pre_hook(lambda _, args: read.append(args[0]))
    for alpha in (0.0, 5.0):
        PairModel(network, 0, neftune_alpha=alpha).train().hidden_states(packed(samples()))
    assert not torch.equal(read[0], read[2]) and torch.equal(read[1], read[3])


def test_absolute_positions_are_refused_in_packed_rows_and_trained_on_in_padded_ones() -> None:
    network = tiny_pair_model("bart")
    set_pair_attention(network, "documents", CPU)
    model = verified(PairModel(network, start_id=0))
    with pytest.raises(ModelError, match=r"train.batching.kind to padded"):
        model.hidden_states(packed(samples()))
    losses, gradients = plainly_learnt(tiny_pair_model("bart"))
    rows = pad_pairs(samples(), [0] * len(SIZES), pad_id=0)
    ours, theirs = learnt_from(model, [rows])
    assert torch.allclose(ours, losses, atol=1e-4) and off(theirs, gradients) < EXACT


# ---- the doors


def folder_of(path: Path, kind: str = "t5", **overrides: Any) -> Path:
    tiny_pair_model(kind, **overrides).save_pretrained(path)
    tiny_pair_tokenizer().save_pretrained(path)
    return path


def loaded_from(path: Path, **settings: Any) -> Loaded:
    section = TextModel(family="text", path=str(path), **settings)
    return family_of(section).load(section, CPU, seed=0, supervise="assistant")


def test_the_checkpoint_says_which_doors_are_its_own(tmp_path: Path) -> None:
    section = TextModel(family="text", path=str(folder_of(tmp_path / "t5")))
    assert family_of(section) is encoder_decoder
    assert family_of(TextModel(family="text", path="pocket:lm")) is text
    assert family_of(TextModel(family="text", path=str(tmp_path / "nowhere"))) is text
    loaded = loaded_from(tmp_path / "t5")
    assert any("seen to keep packed documents apart" in note for note in loaded.notes)
    assert any("chat format: pairs" in note for note in loaded.notes)


@pytest.mark.parametrize(("kind", "lora"), [("t5", False), ("flan_t5", True), ("umt5", False)])
def test_what_is_saved_is_what_was_trained(tmp_path: Path, kind: str, lora: bool) -> None:
    adapter = (
        {"kind": "lora", "rank": 4, "target_modules": ["q", "v"]} if lora else {"kind": "none"}
    )
    loaded = loaded_from(folder_of(tmp_path / "model", kind), adapter=adapter)
    trained = [p for p in loaded.model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    before = next_token(loaded.model, packed(samples())).sum().item()
    for _ in range(3):
        optimizer.zero_grad()
        (next_token(loaded.model, packed(samples())).sum() / 45).backward()
        optimizer.step()
    with torch.no_grad():
        losses = next_token(loaded.model, packed(samples()))
    assert losses.sum() < before
    encoder_decoder.save(loaded, tmp_path / "final", None)
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "final").eval()
    served, _ = plainly_learnt(plain)
    assert torch.allclose(served, losses, atol=1e-4, rtol=EXACT)
    assert (tmp_path / "final" / "adapter").is_dir() == lora
    tied = json.loads((tmp_path / "final" / "config.json").read_text())["tie_word_embeddings"]
    assert tied == (kind == "t5")  # older versions of transformers go by it
    assert AutoTokenizer.from_pretrained(tmp_path / "final").chat_template
    ours = answers(loaded)
    assert [o.text for o in answers(loaded_from(tmp_path / "final"))] == [o.text for o in ours]


def answers(loaded: Loaded) -> list[Any]:
    questions = ["a", "How many green triangles?", "Sort 9, 4."]
    asked = [Conversation(q, (Turn("user", (Text(q),)),)) for q in questions]
    return encoder_decoder.generate(loaded, asked, GenerationSettings(max_new_tokens=9))


def test_answers_do_not_depend_on_what_is_asked_beside_them(tmp_path: Path) -> None:
    loaded = loaded_from(folder_of(tmp_path, "flan_t5"))
    together = answers(loaded)
    assert loaded.model.base.config._attn_implementation == pair_attention.PAIRS
    for output in together:
        asked = [Conversation("x", (Turn("user", (Text(output.example_id),)),))]
        [alone] = encoder_decoder.generate(loaded, asked, GenerationSettings(max_new_tokens=9))
        assert (alone.text, alone.stopped) == (output.text, output.stopped)


def test_a_store_of_pairs_becomes_batches(tmp_path: Path) -> None:
    store = write_store(tmp_path, [samples()])
    batch = encoder_decoder.batch(store, [2, 0], [5, 6], None)
    assert batch.example_ids == ("e2", "e0") and batch.input_lengths == (3, 30)
    assert int(store.num_targets[[2, 0]].sum()) == batch.num_targets
    assert int(store.lengths[[2, 0]].sum()) == batch.num_tokens
    assert encoder_decoder.batch(store, [2, 0], [5, 6], 0).inputs.shape == (2, 30)


def test_an_outline_counts_a_head_of_its_own(tmp_path: Path) -> None:
    for kind, rows in (("t5", 1), ("flan_t5", 2)):
        section = TextModel(family="text", path=str(folder_of(tmp_path / kind, kind)))
        format_ = encoder_decoder.load_format(section, "assistant")
        outline = encoder_decoder.outline(section, format_)
        model = loaded_from(tmp_path / kind).model
        assert outline.parameters == sum(p.numel() for p in model.parameters())
        parts = {row.part: row.parameters for row in outline.parts}
        assert parts["shared"] + parts.get("lm_head", 0) == rows * 200 * 32


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"residual_dropout": 0.1}, "residual_dropout is for decoders"),
        ({"compile": True}, "compile is for decoders"),
        ({"chat_format": "lima", "adapter": {"kind": "lora"}}, "LoRA cannot train"),
    ],
)
def test_settings_that_have_no_place_in_it_are_refused(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        loaded_from(folder_of(tmp_path), **settings)


def test_prompts_cannot_be_learnt(tmp_path: Path) -> None:
    section = TextModel(family="text", path=str(folder_of(tmp_path)))
    with pytest.raises(FormatError, match="supervise is all"):
        encoder_decoder.load_format(section, "all")


def test_the_lima_layout_grows_all_embeddings(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "model", "flan_t5", vocab_size=len(tiny_pair_tokenizer()))
    loaded = loaded_from(path, chat_format="lima")
    rows = len(tiny_pair_tokenizer()) + 1
    assert loaded.model.head()[0].shape[0] == rows
    encoder_decoder.save(loaded, tmp_path / "final", None)
    again = loaded_from(tmp_path / "final", chat_format="lima")
    assert again.model.head()[0].shape[0] == rows
    assert [o.text for o in answers(again)] == [o.text for o in answers(loaded)]
