"""The language model that ships: small, at home in its corpus, and no follower of instructions."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mmtune.pocket.corpus import documents
from mmtune.pocket.instructions import dev_set, grade
from mmtune.pocket.shipped import weights_folder

UNSEEN = 4321
"""A seed that pre-training did not read."""


@pytest.fixture(scope="module")
def folder() -> Path:
    return weights_folder("lm")


@pytest.fixture(scope="module")
def parts(folder: Path):  # type: ignore[no-untyped-def]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def test_it_is_small_and_a_base_model(folder: Path, parts) -> None:  # type: ignore[no-untyped-def]
    model, tokenizer = parts
    assert 2_000_000 <= sum(p.numel() for p in model.parameters()) <= 5_000_000
    assert (folder / "model.safetensors").stat().st_size < 8_000_000
    assert tokenizer.chat_template is None
    assert len(tokenizer) == model.config.vocab_size


def test_it_knows_its_corpus(parts) -> None:  # type: ignore[no-untyped-def]
    model, tokenizer = parts
    losses = []
    for text in islice(documents(UNSEEN), 40):
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text).input_ids]])
        with torch.no_grad():
            losses.append(model(input_ids=ids, labels=ids).loss.item())
    assert sum(losses) / len(losses) < 0.75, "a uniform guess would be at 6.9"


def test_it_does_not_follow_instructions_before_tuning(parts) -> None:  # type: ignore[no-untyped-def]
    model, tokenizer = parts
    right = 0
    asked = list(dev_set(50))[::2]
    for instruction in asked:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(instruction.prompt).input_ids]])
        answer = model.generate(ids, max_new_tokens=30, do_sample=False)[0, ids.shape[1] :]
        right += grade(instruction, tokenizer.decode(answer, skip_special_tokens=True))
    assert right <= 0.2 * len(asked)
