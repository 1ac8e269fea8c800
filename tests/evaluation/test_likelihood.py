"""Sums of log-probabilities: those of plain transformers, and nothing beside a sample matters."""

import random

import numpy as np
import pytest
import tiny
import torch
from transformers import T5Config, T5ForConditionalGeneration

import mmtune.evaluation.tiles as tiling
from mmtune.encoding.chat_format import chat_format
from mmtune.encoding.conversations import encode
from mmtune.encoding.samples import TokenSample
from mmtune.evaluation.likelihood import ENCODER_DECODER, log_probabilities
from mmtune.evaluation.tiles import TILE_TOKENS, pair_tile, pair_tiles, text_tile, text_tiles
from mmtune.families.attention import set_attention
from mmtune.families.pair_attention import set_pair_attention
from mmtune.families.pair_model import PairModel
from mmtune.families.text import LanguageModel
from mmtune.types import Conversation, Text, Turn

CPU = torch.device("cpu")


def language_model(kind="llama", **sizes):
    network = tiny.tiny_model(kind, max_position_embeddings=4096, **sizes)
    set_attention(network, "documents", CPU)
    return LanguageModel(network)


def samples(count=12, seed=0):
    draw = random.Random(seed)
    made = []
    for number in range(count):
        ids = np.array([draw.randrange(3, 300) for _ in range(draw.randint(3, 90))], np.int32)
        supervised = np.zeros(len(ids), np.bool_)
        supervised[-draw.randint(1, len(ids) - 1) :] = True
        made.append(TokenSample(ids, supervised, str(number), ""))
    return made


def by_hand(network, sample):
    """The definition: softmax of plain logits, one document alone."""
    logits = network(input_ids=torch.tensor(sample.ids[None].astype(np.int64))).logits[0].double()
    each = torch.log_softmax(logits, -1)
    return sum(each[n - 1, sample.ids[n]].item() for n in np.flatnonzero(sample.supervised) if n)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma2"])
def test_the_sum_is_that_of_plain_transformers(kind):
    model = language_model(kind)
    plain = tiny.tiny_model(kind, max_position_embeddings=4096)
    mine = samples(6)
    found = log_probabilities(model, mine, CPU)
    assert found == pytest.approx([by_hand(plain, one) for one in mine], abs=1e-5, rel=1e-5)


def test_neighbours_order_and_batch_size_change_no_bit():
    model, mine = language_model(), samples(24)
    found = log_probabilities(model, mine, CPU)
    order = random.Random(1).sample(range(24), 24)
    shuffled = log_probabilities(model, [mine[n] for n in order], CPU, batch_tokens=300)
    assert [shuffled[order.index(n)] for n in range(24)] == found
    assert [log_probabilities(model, [one], CPU)[0] for one in mine[:2]] == found[:2]


def test_the_heads_products_have_one_shape_too():
    """At this width a product of one row and of many have other last bits."""
    model = language_model(hidden_size=512, layers=1)
    mine = [
        TokenSample(one.ids, np.arange(len(one.ids)) >= len(one.ids) - 1, str(n), "")
        for n, one in enumerate(samples(24))
    ]
    alone = [log_probabilities(model, [one], CPU)[0] for one in mine[:3]]
    assert log_probabilities(model, mine, CPU)[:3] == alone


def test_every_forward_has_the_same_shape(monkeypatch):
    model, shapes = language_model(), set()
    forward = model.hidden_states

    def watched(batch):
        shapes.add(tuple(batch.ids.shape))
        return forward(batch)

    monkeypatch.setattr(model, "hidden_states", watched)
    for batch_tokens in (1, 200, 10_000):
        log_probabilities(model, samples(6), CPU, batch_tokens=batch_tokens)
    assert shapes == {(1, TILE_TOKENS)}


def test_a_sample_longer_than_a_tile_is_scored_in_tiles_of_its_own(monkeypatch):
    monkeypatch.setattr(tiling, "TILE_TOKENS", 64)
    model, mine = language_model(), samples(10)
    long = [n for n, one in enumerate(mine) if len(one.ids) > 64]
    assert long
    found = log_probabilities(model, mine, CPU)
    plain = tiny.tiny_model("llama", max_position_embeddings=4096)
    assert found == pytest.approx([by_hand(plain, one) for one in mine], abs=1e-5, rel=1e-5)
    assert all([n] in list(text_tiles(mine)) for n in long)


def lengths(*sizes):
    """Samples of (prompt, target) tokens."""
    return [
        TokenSample(np.ones(a + b, np.int32), np.arange(a + b) >= a, str(n), "")
        for n, (a, b) in enumerate(sizes)
    ]


def random_lengths(count=200):
    draw = random.Random(0)
    return lengths(*((draw.randint(1, 2500), draw.randint(1, 90)) for _ in range(count)))


@pytest.mark.parametrize("tiles", [text_tiles, pair_tiles])
def test_every_sample_is_in_one_tile_and_the_tile_of_several_is_one_tile_wide(tiles):
    mine = random_lengths()
    rows = list(tiles(mine))
    assert sorted(number for row in rows for number in row) == list(range(200))
    for row in rows:
        together = [mine[n] for n in row]
        if tiles is text_tiles:
            width = text_tile(together).ids.shape[1]
        else:
            batch = pair_tile(together)
            width, depth = batch.inputs.shape[1], batch.ids.shape[1]
            assert depth == tiling.TARGET_TOKENS
        assert width == TILE_TOKENS or (len(row) == 1 and width % TILE_TOKENS == 0)


def test_the_model_goes_back_to_training_and_no_gradient_is_made():
    model = language_model().train()
    log_probabilities(model, samples(2), CPU)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()
    log_probabilities(model, samples(2), CPU)
    assert not model.training


def test_a_sample_with_nothing_to_score_sums_to_nothing_and_shifts_no_other():
    model, (a, b) = language_model(), samples(2)
    empty = TokenSample(a.ids, np.zeros(len(a.ids), np.bool_), "none", "")
    assert log_probabilities(model, [a, empty, b], CPU) == [
        *log_probabilities(model, [a], CPU),
        0.0,
        *log_probabilities(model, [b], CPU),
    ]
    assert log_probabilities(model, [], CPU) == []


def answered(option, fmt):
    turns = (Turn("user", (Text("How many?"),)), Turn("assistant", (Text(option),)))
    return encode(Conversation("x", turns), fmt)


@pytest.mark.parametrize("option", ["yes", " yes", "three green triangles", "naïve ☃ 三", "7"])
@pytest.mark.parametrize("kind", ["own", "lima"])
def test_what_is_scored_is_the_option_and_its_stop_token_whatever_it_begins_with(option, kind):
    fmt = chat_format(tiny.tiny_tokenizer("chatml" if kind == "own" else None), kind)
    sample = answered(option, fmt)
    *text, stop = sample.ids[sample.supervised].tolist()
    assert stop == fmt.stop_id
    assert fmt.tokenizer.decode(text) == option
    prompt = fmt.tokenizer.decode(sample.ids[~sample.supervised].tolist())
    assert option not in prompt and "How many?" in prompt


def test_with_the_stop_token_a_prefix_of_another_option_is_not_favoured_for_that():
    fmt = chat_format(tiny.tiny_tokenizer("chatml"))
    model = language_model()
    short, long = answered("yes", fmt), answered("yes, no", fmt)
    stopless = []
    for sample in (short, long):
        supervised = sample.supervised.copy()
        supervised[np.flatnonzero(supervised)[-1]] = False
        stopless.append(TokenSample(sample.ids, supervised, "", ""))
    begin = log_probabilities(model, stopless, CPU)
    assert begin[0] > begin[1]  # always: the longer one only adds factors below one
    whole = log_probabilities(model, [short, long], CPU)
    assert whole[0] < begin[0] and whole[1] < begin[1]


def pair_model():
    config = T5Config(
        vocab_size=320,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        initializer_factor=2.0,
        pad_token_id=2,
        decoder_start_token_id=2,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = T5ForConditionalGeneration(config).eval()
    return network


def pair_samples(count):
    draw = random.Random(2)
    made = []
    for one in samples(count, seed=5):
        start = draw.randint(1, len(one.ids) - 1)
        supervised = np.arange(len(one.ids)) >= start
        made.append(TokenSample(one.ids, supervised, one.example_id, ""))
    return made


def pair_by_hand(network, sample):
    start = int(np.argmax(sample.supervised))
    ids = torch.tensor(sample.ids[None].astype(np.int64))
    logits = network(input_ids=ids[:, :start], labels=ids[:, start:]).logits[0].double()
    each = torch.log_softmax(logits, -1)
    return sum(each[n, token].item() for n, token in enumerate(ids[0, start:].tolist()))


def test_an_encoder_decoders_sums_are_plain_transformers_and_no_neighbour_changes_a_bit():
    mine = pair_samples(10)
    with torch.no_grad():
        wanted = [pair_by_hand(pair_model(), one) for one in mine[:4]]
    network = pair_model()
    set_pair_attention(network, "documents", CPU)
    model = PairModel(network, 2)
    found = log_probabilities(model, mine, CPU, laying=ENCODER_DECODER)
    assert found[:4] == pytest.approx(wanted, abs=1e-4, rel=1e-5)
    turned = log_probabilities(model, mine[::-1], CPU, laying=ENCODER_DECODER, batch_tokens=200)
    assert turned[::-1] == found
    assert log_probabilities(model, mine[:1], CPU, laying=ENCODER_DECODER) == found[:1]
