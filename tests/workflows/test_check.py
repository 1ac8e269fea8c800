"""`mmtune check` counts every row, refuses what training would, and loads no weights."""

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from mmtune import cli
from mmtune.config.recipe import Data, NoAdapter, Recipe, Run, TextModel
from mmtune.encoding.batches import pack
from mmtune.encoding.samples import TokenSample
from mmtune.families import text
from mmtune.training.loop import WithObjective
from mmtune.training.memory import activation_bytes
from mmtune.workflows import estimates
from mmtune.workflows.terminal import visible

GOOD = [{"instruction": f"Count to {n}.", "output": "one " * n} for n in range(1, 41)]
BAD = [{"instruction": "Count.", "output": ""}, {"instruction": "Count.", "output": 7}]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe over 40 good and 3 bad rows, with a tiny model beside it."""
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    rows = [*map(json.dumps, GOOD + BAD), "{broken"]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    path = tmp_path / "x.yaml"
    path.write_text(
        f"model: {{family: text, path: {tmp_path}/model}}\n"
        f"data: {{sources: [{{path: {tmp_path}/rows.jsonl, name: '[red]rows'}}], "
        "max_bad_rows_fraction: 0.1, max_tokens: 256}\n"
        "train: {epochs: 3, batch: {kind: examples, count: 8}, batching: {row_tokens: 256}}\n"
        f"run: {{dir: {tmp_path}/run}}\n"
    )
    return path


def test_every_row_is_accounted_for_and_the_steps_are_those_of_training(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(recipe)]) == 0
    told = capsys.readouterr().out
    assert "[red]rows: 43 rows: 40 kept, 3 dropped" in told
    assert "1 empty_answer" in told and "1 wrong_type" in told and "1 broken_json" in told
    assert "rows.jsonl:43" in told
    assert "steps          5 an epoch (8 examples each), 15 in all" in told
    assert told.rstrip().endswith(f"ready: accelerate launch -m mmtune.train {recipe}")


def test_the_tokens_learnt_are_the_answers_and_their_stops(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(recipe)]) == 0
    told = capsys.readouterr().out
    tokenizer = tiny_tokenizer()
    learnt = sum(len(tokenizer(row["output"])["input_ids"]) + 1 for row in GOOD)
    [row] = [line.split() for line in told.splitlines() if line.startswith(" [red]rows ")]
    assert row[1] == "40" and row[3] == f"{learnt:,}"


def test_all_faults_of_data_and_run_folder_are_told_at_once(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "checkpoints" / "step-3").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-3" / "manifest.json").write_text("{}")
    assert cli.main(["check", str(recipe), "data.max_bad_rows_fraction=0.05"]) == 2
    told = capsys.readouterr()
    assert "3 of 43 rows cannot be used" in told.err and "train.resume=auto" in told.err
    assert "ready" not in told.out and "Lengths" in told.out


def test_missing_data_do_not_hide_that_the_model_is_missing(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(recipe), "data.path=nowhere.jsonl", "model.path=./no"]) == 2
    told = capsys.readouterr().err
    assert "nowhere.jsonl" in told and "./no" in told


def test_a_folder_without_weights_is_told_of_though_none_are_loaded(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model" / "model.safetensors").unlink()
    assert cli.main(["check", str(recipe)]) == 2
    assert "no weights (*.safetensors)" in capsys.readouterr().err


def test_texts_longer_than_the_models_positions_are_refused(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = ["data.max_tokens=600", "train.batching.row_tokens=600"]
    assert cli.main(["check", str(recipe), *long]) == 2
    assert "positions for 512 tokens" in capsys.readouterr().err


def test_dev_and_test_rows_are_counted_apart_from_those_that_are_learnt(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": "long " * 400, "completion": "b"}]
    for name, share in (("dev", rows), ("exam", rows[:1])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in share))
    more = [f"data.dev=[{{path: {tmp_path}/dev.jsonl}}]", "data.dev_fraction=0.3"]
    more += [f"test.sources=[{{path: {tmp_path}/exam.jsonl}}]", "train.select.by=loss"]
    assert cli.main(["check", str(recipe), *more, "data.max_bad_rows_fraction=0.5"]) == 0
    told = capsys.readouterr().out
    assert "held out: dev.jsonl: 2 rows: 1 kept, 1 dropped (1 overlong)" in told
    assert "exam.jsonl: 1 rows: 1 kept" in told and "1 test prompts" in told
    starts = (" [red]rows ", " held out: [red]rows ")
    learnt, held_out = (
        int(line.removeprefix(start).split()[0])
        for start in starts
        for line in told.splitlines()
        if line.startswith(start)
    )
    assert learnt + held_out == 40 and held_out > 0


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_the_outline_has_the_sizes_of_the_loaded_model(
    kind: str, adapter: str, tmp_path: Path
) -> None:
    tiny_model(kind, tied=True).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    section = TextModel.model_validate(
        {"family": "text", "path": str(tmp_path), "adapter": {"kind": adapter}}
    )
    outline = text.outline(section, text.load_format(section, "assistant"))
    network = text.load(section, torch.device("cpu"), seed=0, supervise="assistant").model.network
    assert outline.parameters == sum(p.numel() for p in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert outline.trainable == trained
    assert outline.weight_bytes == 4 * outline.parameters
    full = isinstance(section.adapter, NoAdapter)
    per_token = estimates.flop_per_token(outline)
    assert (per_token == 6 * outline.parameters) == full


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma2", "gemma3", "gpt_neox", "gpt2"])
def test_estimated_activations_are_near_to_what_a_forward_keeps(kind: str, tmp_path: Path) -> None:
    sizes = {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 8}
    model = tiny_model(kind, layers=4, **({} if kind == "gpt2" else sizes))
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    section = TextModel(family="text", path=str(tmp_path))
    recipe = Recipe(model=section, data=Data(path="x"), run=Run(dir="y"))
    outline = text.outline(section, text.load_format(section, "assistant"))
    loaded = text.load(section, torch.device("cpu"), seed=0, supervise="assistant")
    ids, lengths = torch.arange(300).numpy().astype("int32"), (300, 64, 96, 8)
    samples = [TokenSample(ids[:n], ids[:n] >= 0, str(n), "s") for n in lengths]
    kept = activation_bytes(
        WithObjective(loaded.model, text.objective(section)).train(), pack(samples, [0] * 4)
    )
    guess = estimates.memory(recipe, outline, lengths, value_bytes=4).activations
    assert 0.8 < guess / kept < 1.25


def test_examples_show_what_is_learnt_and_long_ones_lose_their_middle(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "begins " + "mmm " * 150 + "ends"
    turns = [{"role": r, "content": f"{r} {n}"} for n in range(12) for r in ("user", "assistant")]
    for name, row in (("a", {"prompt": long, "completion": long}), ("b", {"messages": turns})):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    sources = f"data.sources=[{{path: {tmp_path}/a.jsonl}}, {{path: {tmp_path}/b.jsonl}}]"
    settings = ["data.max_tokens=500", "train.batching.row_tokens=500", "data.overlong=truncate"]
    assert cli.main(["check", str(recipe), sources, *settings]) == 0
    told = capsys.readouterr().out
    assert "1 cut short" in told and "tokens lost to the limit" in told
    shown = told[told.index("Examples") : told.index("Lengths")]
    first, second = shown.split("── first · ")[1:]
    asked, answer = first.split("⟦")
    assert "begins mmm" in asked and "ends" in asked and "characters …]" in asked
    assert answer.startswith("begins mmm") and answer.rstrip().endswith("⟧")
    assert second.count("⟦") == second.count("⟧") == 4 and "of the turns between" in second
    assert "⟦assistant 11" in second and "⟦assistant 0" in second and "user 6" not in second


def test_a_histogram_counts_every_sample_once() -> None:
    import numpy as np

    lengths = np.array([1, 5, 64, 65, 128, 700])
    bins = estimates.histogram(lengths)
    assert sum(count for _, _, count in bins) == 6 and len(bins) <= 12
    for low, high, count in bins:
        assert count == ((lengths >= low) & (lengths <= high)).sum()


def test_data_cannot_steer_the_terminal() -> None:
    assert visible("a\x1b[31mb\x9bc\td\n") == "a␛[31mb␣c\td\n"
