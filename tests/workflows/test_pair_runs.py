"""A whole run of an encoder-decoder: checked, trained, stopped, resumed, saved, served."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_pair_model, tiny_pair_tokenizer
from tiny_runs import all_metrics, in_fork, make_rows, metrics, status, train, weights_hash
from tiny_runs import write_recipe as recipe_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from mmtune.cli import main
from mmtune.encoding.pairs import divided
from mmtune.encoding.store import open_store
from mmtune.training import loop

ROWS = 22
QUESTIONS = [f"Count to {n % 6 + 1} from {n}." for n in range(8)]


def write_recipe(folder: Path, model: Path, rows: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = {
        "train__optimizer": {"kind": "adafactor"},
        "train__learning_rate": 3e-2,
        "train__schedule": "constant",
        "train__save_every_steps": 4,
        "train__neftune_alpha": 1.0,
    }
    return recipe_file(folder, model, rows, **settings | changes)


def make_model(folder: Path, kind: str = "flan_t5", **overrides: Any) -> Path:
    tiny_pair_model(kind, **overrides).save_pretrained(folder)
    tiny_pair_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows learnt nearly by heart, with dropout and noise on."""
    folder = tmp_path_factory.mktemp("pairs")
    model = make_model(folder / "model", dropout_rate=0.02)
    rows = make_rows(folder / "rows.jsonl", len(QUESTIONS))
    dev = make_rows(folder / "dev.jsonl", 5, start=40)
    recipe = write_recipe(
        folder, model, rows, train__epochs=40, train__save_every_steps=40,
        data__dev=[{"path": str(dev)}],
    )  # fmt: skip
    assert in_fork(lambda: train(recipe)) == 0
    return folder / "run"


def test_it_learns_its_rows(whole: Path) -> None:
    rows = metrics(whole)
    assert rows[-1]["loss"] < rows[0]["loss"] / 5
    assert all(row["padding_fraction"] == 0 for row in rows)
    dev = [row["dev_loss"]["all"] for row in all_metrics(whole) if "dev_loss" in row]
    assert len(dev) >= 3 and dev[1] < dev[0]
    assert status(whole)["state"] == "finished"


def test_plain_transformers_serves_what_was_trained_and_answers_as_mmtune_does(
    whole: Path, tmp_path: Path
) -> None:
    final = whole / "final"
    tokenizer = AutoTokenizer.from_pretrained(final)
    model = AutoModelForSeq2SeqLM.from_pretrained(final)
    store = open_store(whole / "encoded" / "train")
    theirs = []
    for number, question in enumerate(QUESTIONS):
        asked = [{"role": "user", "content": question}]
        inputs = tokenizer.apply_chat_template(
            asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        prompt, target = divided(store.sample(number))
        assert inputs["input_ids"][0].tolist() == prompt.tolist() == tokenizer(question).input_ids
        assert target[-1] == tokenizer.eos_token_id
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=24, do_sample=False)[0]
        assert output[0] == 0  # the token it starts from
        theirs.append(tokenizer.decode(output, skip_special_tokens=True))
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": q}) + "\n" for q in QUESTIONS))
    out = tmp_path / "answers.jsonl"
    command = ["generate", str(whole), "--prompts", str(prompts), "--out", str(out)]
    assert in_fork(lambda: main([*command, "--max-new-tokens", "24"])) == 0
    ours = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["answer"] for row in ours] == theirs
    assert sum(row["stopped"] for row in ours) >= 6 and len(set(theirs)) >= 4


def test_the_card_says_how_it_is_used(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (whole / "final" / "README.md").read_text()
    assert "AutoModelForSeq2SeqLM" in card and "CausalLM" not in card
    code = card.split("```python\n")[1].split("```")[0].replace("max_new_tokens=64", "max_length=9")
    monkeypatch.chdir(whole / "final")
    exec(compile(code, "card", "exec"), {})


@pytest.mark.parametrize(
    "changes",
    [{}, {"model__adapter": {"kind": "lora", "rank": 4, "dropout": 0.1}}],
    ids=["adafactor", "lora"],
)
def test_a_run_stopped_by_a_signal_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    model = make_model(tmp_path / "model", dropout_rate=0.1)
    rows = make_rows(tmp_path / "rows.jsonl", ROWS)
    straight = write_recipe(tmp_path / "straight", model, rows, **changes)
    assert in_fork(lambda: train(straight)) == 0
    stopped = write_recipe(tmp_path / "stopped", model, rows, **changes)
    real = loop._seed_dropout

    def terminated_at_step_6(seed: int, step: int, batch: Any) -> None:
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        real(seed, step, batch)

    monkeypatch.setattr(loop, "_seed_dropout", terminated_at_step_6)
    assert in_fork(lambda: train(stopped)) == 75
    monkeypatch.undo()
    assert in_fork(lambda: train(stopped, "train.resume=auto")) == 0
    runs = [tmp_path / name / "run" for name in ("straight", "stopped")]
    assert weights_hash(runs[0]) == weights_hash(runs[1])
    losses = [[(row["step"], row["loss"], row["grad_norm"]) for row in metrics(r)] for r in runs]
    assert losses[0] == losses[1] and len(losses[0]) == 12


@pytest.mark.parametrize("kind", ["padded", "length_grouped"])
def test_padded_rows_are_trained_on_too(tmp_path: Path, kind: str) -> None:
    model = make_model(tmp_path / "model", "bart")
    rows = make_rows(tmp_path / "rows.jsonl", 8)
    recipe = write_recipe(
        tmp_path, model, rows, train__epochs=1, train__learning_rate=1e-3,
        train__batching={"kind": kind, "row_tokens": 128},
    )  # fmt: skip
    assert in_fork(lambda: train(recipe)) == 0


def test_what_cannot_be_packed_is_refused_before_the_first_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = make_model(tmp_path / "model", "bart")
    recipe = write_recipe(tmp_path, model, make_rows(tmp_path / "rows.jsonl", 8))
    assert in_fork(lambda: train(recipe)) == 2
    assert "set train.batching.kind to padded" in capfd.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_check_and_preview_show_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model(tmp_path / "model")
    recipe = write_recipe(tmp_path, model, make_rows(tmp_path / "rows.jsonl", 8))
    assert main(["check", str(recipe)]) == 0
    told = capsys.readouterr().out
    assert "T5ForConditionalGeneration" in told and "Adafactor's moments" in told
    assert "chat format: pairs" in told
    assert main(["preview", str(recipe)]) == 0
    told = capsys.readouterr().out
    assert "Count to 3 from 2.</s>\n⟦ 2 3 4</s>⟧" in told
