"""`mmtune preview` marks the tokens that the loss reads, and no others."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_model, tiny_tokenizer

from mmtune import cli
from mmtune.encoding.batches import pack, pad
from mmtune.encoding.samples import TokenSample
from mmtune.workflows.documents import Marks, documents, marked

DIALOGUE = [
    {"role": "system", "content": "Be [red]kind[/red]."},
    {"role": "user", "content": "How many? <|im_end|>"},
    {"role": "assistant", "content": "Three\x1b[31m."},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Yes. :smile:"},
]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Two sources, the second with one row only, over a ChatML model."""
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer("chatml").save_pretrained(tmp_path / "model")
    many = [{"prompt": f"Count to {n}.", "completion": f"{n} it is"} for n in range(60)]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in many))
    (tmp_path / "one.jsonl").write_text(json.dumps({"messages": DIALOGUE, "id": "d"}) + "\n")
    path = tmp_path / "x.yaml"
    path.write_text(
        f"model: {{family: text, path: {tmp_path}/model}}\n"
        f"data: {{sources: [{{path: {tmp_path}/many.jsonl}}, {{path: {tmp_path}/one.jsonl}}], "
        "max_tokens: 200}\n"
        "train: {batch: {kind: examples, count: 4}, batching: {row_tokens: 200}}\n"
        f"run: {{dir: {tmp_path}/run}}\n"
    )
    return path


def test_every_source_is_shown_turn_by_turn_with_its_answers_marked(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["preview", str(recipe), "--rows", "1"]) == 0
    told = capsys.readouterr().out
    start = told.index("one.jsonl/d ")
    body = told[told.index("\n", start) + 1 :]
    assert body.startswith(
        "<|im_start|>system\nBe [red]kind[/red].<|im_end|>\n"
        "\n<|im_start|>user\nHow many? <|im_end|><|im_end|>\n"
        "\n<|im_start|>assistant\n⟦Three␛[31m.<|im_end|>⟧\n"
        "\n<|im_start|>user\nSure?<|im_end|>\n"
        "\n<|im_start|>assistant\n⟦Yes. :smile:<|im_end|>⟧"
    )
    assert not (tmp_path / "run").exists()  # where a run may be under way


@pytest.mark.parametrize("batching", ["packed", "padded", "length_grouped"])
def test_as_many_documents_are_shown_as_the_loop_puts_in_its_first_batches(
    recipe: Path, batching: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["preview", str(recipe), "--rows", "3", f"train.batching.kind={batching}"]
    assert cli.main(command) == 0
    told = capsys.readouterr().out
    counts = [int(n) for n in re.findall(r"^(\d+) documents, ", told, re.MULTILINE)]
    assert len(counts) >= 3 and sum(counts) == told.count("── document ")
    assert told.count("pack ") >= 3 and "step 1, micro-batch 1" in told


def _samples() -> list[TokenSample]:
    tokenizer = tiny_tokenizer("chatml")
    made = []
    for number, (plain, learnt) in enumerate([("Ask", "answer é"), ("Ask more now", "no")]):
        ids = tokenizer(plain)["input_ids"], tokenizer(learnt + "<|im_end|>")["input_ids"]
        flags = np.repeat([False, True], [len(ids[0]), len(ids[1])])
        made.append(TokenSample(np.array(ids[0] + ids[1], np.int32), flags, str(number), "s"))
    return made


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_the_marks_are_the_targets_of_the_batch(layout: str) -> None:
    samples, tokenizer = _samples(), tiny_tokenizer("chatml")
    batch = pack(samples, [0, 0]) if layout == "packed" else pad(samples, [0, 0], 2)
    found = list(documents(batch))
    assert sum(int(d.learnt.sum()) for d in found) == batch.num_targets
    for document, sample in zip(found, samples, strict=True):
        assert np.array_equal(document.ids, sample.ids)
        assert np.array_equal(document.learnt, sample.supervised)
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    told = [marked(d, tokenizer, [stop], Marks.BRACKETS).plain for d in found]
    assert told == ["Ask⟦answer é<|im_end|>⟧", "Ask more now⟦no<|im_end|>⟧"]
    coloured = marked(found[0], tokenizer, [stop], Marks.COLOURS)
    assert coloured.plain == "Askanswer é<|im_end|>"
    green = [span for span in coloured.spans if getattr(span.style, "color", None)]
    assert "".join(coloured.plain[s.start : s.end] for s in green) == "answer é<|im_end|>"
