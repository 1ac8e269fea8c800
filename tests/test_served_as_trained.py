"""What `final/` serves through plain transformers is what was trained, and what mmtune answers.

Invariant 5 of DESIGN section 7. Each run learns its rows nearly by heart, so that answers say
something and end with the stop token.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import in_fork, make_model, make_rows, train, write_recipe
from transformers import AutoModelForCausalLM, AutoTokenizer

from mmtune.config.recipe import TextModel
from mmtune.encoding.store import open_store
from mmtune.families import text
from mmtune.families.family import GenerationSettings
from mmtune.types import Conversation, Text, Turn

LORA = {"kind": "lora", "rank": 8}
ASKED = [f"Count to {n % 6 + 1} from {n}." for n in range(8)]


def plain_answer(folder: Path, question: str) -> str:
    """As the model card says, and as any user of transformers would do it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    answer: str = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])
    return answer


def our_answers(folder: Path) -> list[Any]:
    section = TextModel(family="text", path=str(folder))
    loaded = text.load(section, torch.device("cpu"), seed=0, supervise="assistant")
    asked = [Conversation(q, (Turn("user", (Text(q),)),)) for q in ASKED]
    return text.generate(loaded, asked, GenerationSettings(max_new_tokens=24))


@pytest.mark.parametrize(
    ("kind", "adapter"),
    [("llama", None), ("gemma2", None), ("gpt_neox", None), ("gpt2", None), ("qwen3", LORA)],
)
def test_plain_transformers_answers_as_mmtune_does(
    tmp_path: Path, kind: str, adapter: dict[str, Any] | None
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", 8)
    recipe = write_recipe(
        tmp_path,
        make_model(tmp_path / "model", kind),
        rows,
        train__epochs=50,
        train__save_every_steps=1000,
        **({"model__adapter": adapter} if adapter else {}),
    )
    assert in_fork(lambda: train(recipe)) == 0
    final = tmp_path / "run" / "final"
    store = open_store(tmp_path / "run" / "encoded" / "train")
    tokenizer = AutoTokenizer.from_pretrained(final)
    for number, question in enumerate(ASKED):
        sample = store.sample(number)
        trained = sample.ids[: int(sample.supervised.argmax())].tolist()
        asked = [{"role": "user", "content": question}]
        served = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)
        assert served["input_ids"] == trained
    ours = our_answers(final)
    for question, output in zip(ASKED, ours, strict=True):
        theirs = plain_answer(final, question)
        told, _, after = theirs.partition("<|end_of_turn|>")
        assert told == output.text
        assert bool(after == "" and theirs != told) == output.stopped, theirs
    assert sum(output.stopped for output in ours) >= 6
    assert len({output.text for output in ours}) >= 4
