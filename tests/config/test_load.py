"""Recipes come in whole or not at all: layers, numbers, and what survives a round trip."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmtune.config.load import changed_keys, load_recipe, recipe_hash, to_yaml
from mmtune.config.recipe import ExamplesBatch, LoraAdapter, NoAdapter, Recipe
from mmtune.errors import ConfigError

PLAIN = """\
model: {family: text, path: pocket:lm}
data: {path: rows.jsonl}
run: {dir: runs/a}
"""


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_numbers_with_exponents_are_numbers_in_files_and_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN + "train: {learning_rate: 3e-4, final_learning_rate: 1E-5}\n")
    recipe = load_recipe(path, ["train.learning_rate=1e-4"])
    assert (recipe.train.learning_rate, recipe.train.final_learning_rate) == (1e-4, 1e-5)


def test_yaml_words_that_look_like_booleans_stay_words(tmp_path: Path) -> None:
    text = PLAIN.replace("lm}", "lm, gradient_checkpointing: on}")
    recipe = load_recipe(write(tmp_path, text), ["train.mixed_precision=no"])
    assert recipe.model.gradient_checkpointing == "on"
    assert recipe.train.mixed_precision == "no"


@pytest.mark.parametrize("written", ["12345e67", "0123", "2024-01-01", "true", "1_000", "0x1f"])
def test_text_that_looks_like_something_else_stays_text(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, PLAIN.replace("pocket:lm", f"pocket:lm, revision: {written}"))
    recipe = load_recipe(path, [f"run.dir={written}", f"data.sources.0.path={written}"])
    assert recipe.model.revision == recipe.run.dir == recipe.data.sources[0].path == written


def test_a_chain_of_bases_merges_mappings_and_replaces_lists(tmp_path: Path) -> None:
    write(tmp_path, PLAIN + "samples: {prompts: [a, b], count: 2}\ntrain: {seed: 1}\n", "low.yaml")
    write(tmp_path, "based_on: low.yaml\ntrain: {epochs: 2}\n", "middle.yaml")
    (tmp_path / "sub").mkdir()
    top = "based_on: ../middle.yaml\nsamples: {prompts: [c]}\n"
    recipe = load_recipe(write(tmp_path / "sub", top), [])
    assert (recipe.train.seed, recipe.train.epochs) == (1, 2.0)
    assert (recipe.samples.prompts, recipe.samples.count) == (["c"], 2)


def test_another_kind_replaces_the_section_whole_whatever_the_order(tmp_path: Path) -> None:
    lora = PLAIN.replace("lm}", "lm, adapter: {kind: lora, rank: 8}}")
    write(tmp_path, lora, "low.yaml")
    top = write(tmp_path, "based_on: low.yaml\nmodel: {adapter: {kind: none}}\n")
    assert load_recipe(top, []).model.adapter == NoAdapter()
    again = load_recipe(top, ["model.adapter.rank=4", "model.adapter.kind=lora"])
    assert again.model.adapter == LoraAdapter(kind="lora", rank=4)
    off = load_recipe(tmp_path / "low.yaml", ["model.adapter.kind=none"])
    assert off.model.adapter == NoAdapter()
    same = load_recipe(tmp_path / "low.yaml", ["model.adapter.alpha=2"])
    assert same.model.adapter == LoraAdapter(kind="lora", rank=8, alpha=2)


def test_a_kind_that_chooses_no_section_keeps_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, PLAIN + "train: {batching: {kind: packed, row_tokens: 4096}}\n", "low.yaml")
    top = write(tmp_path, "based_on: low.yaml\ntrain: {batching: {kind: padded}}\n")
    assert load_recipe(top, []).train.batching.row_tokens == 4096


def test_one_key_of_a_default_section_keeps_the_default_kind(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, PLAIN), ["train.batch.count=64"])
    assert recipe.train.batch == ExamplesBatch(kind="examples", count=64)


def test_a_key_without_value_takes_its_default(tmp_path: Path) -> None:
    write(tmp_path, PLAIN + "train: {seed: 5, epochs: 3}\n", "low.yaml")
    top = write(tmp_path, "based_on: low.yaml\nsamples:\ntrain: {seed: , batch: ~}\n")
    recipe = load_recipe(top, ["train.epochs="])
    assert recipe.samples.count == 4
    assert (recipe.train.seed, recipe.train.epochs) == (0, 1.0)


def test_overrides_reach_into_lists_and_append(tmp_path: Path) -> None:
    text = PLAIN.replace("path: rows.jsonl", "sources: [{path: a}, {path: b, max_rows: 3}]")
    overrides = ["data.sources.1.path=c", "data.sources.2.path=d", "data.dev.0.path=e"]
    data = load_recipe(write(tmp_path, text), overrides).data
    assert [s.path for s in data.sources] == ["a", "c", "d"]
    assert data.sources[1].max_rows == 3
    assert data.dev[0].path == "e"


NASTY = [
    "1e-4",
    "no",
    "~",
    "",
    " padded ",
    "a: b",
    "#x",
    "é\u2028\x07",
    "'\"",
    "-",
    "0o17",
    "x" * 300,
]


@pytest.mark.parametrize("text", NASTY)
def test_a_resolved_recipe_loads_to_an_equal_one(tmp_path: Path, text: str) -> None:
    recipe = load_recipe(write(tmp_path, PLAIN), ["train.learning_rate=1e-7", "train.epochs=1e16"])
    samples = recipe.samples.model_copy(update={"prompts": [text, "plain"]})
    recipe = recipe.model_copy(update={"samples": samples})
    again = load_recipe(write(tmp_path, to_yaml(recipe), "again.yaml"), [])
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe)


def test_the_hash_and_the_differences_see_every_change(tmp_path: Path) -> None:
    old = load_recipe(write(tmp_path, PLAIN), [])
    new = load_recipe(
        tmp_path / "recipe.yaml",
        ["train.learning_rate=3e-5", "model.adapter={kind: lora, rank: 4}", "data.dev.0.path=x"],
    )
    assert recipe_hash(old) != recipe_hash(new)
    changes = changed_keys(old, new)
    assert "train.learning_rate: 1e-05 -> 3e-05" in changes
    assert "model.adapter.kind: 'none' -> 'lora'" in changes
    assert "model.adapter.rank: not set -> 4" in changes
    assert "data.dev: a list of 0 -> a list of 1" in changes
    assert changed_keys(old, old) == []


def test_equal_recipes_have_equal_hashes_however_they_were_written(tmp_path: Path) -> None:
    text = "data: {{sources: [{{path: a, fields: {{{0}}}}}]}}\nmodel: {{family: text, path: b}}\n"
    write(tmp_path, "run: {dir: c}\n" + text.format("x: p, y: q"), "one.yaml")
    write(tmp_path, text.format("y: q, x: p") + "run: {dir: c}\n", "two.yaml")
    one, two = (load_recipe(tmp_path / f"{name}.yaml") for name in ("one", "two"))
    assert one == two and recipe_hash(one) == recipe_hash(two)


def test_loading_takes_under_half_a_second_and_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN + "train: {lr: 1}\n")
    code = (
        "import sys; from pathlib import Path; from mmtune.config.load import load_recipe\n"
        "from mmtune.errors import ConfigError\n"
        f"try: load_recipe(Path({str(path)!r}), [])\n"
        "except ConfigError: assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)\n"
        "else: sys.exit(1)\n"
    )
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 0.5


def test_a_recipe_of_many_sources_loads_quickly(tmp_path: Path) -> None:
    sources = "".join(f"    - {{path: part{i}.jsonl, max_rows: {i}}}\n" for i in range(300))
    text = PLAIN.replace("data: {path: rows.jsonl}\n", f"data:\n  sources:\n{sources}")
    start = time.process_time()
    recipe: Recipe = load_recipe(write(tmp_path, text), [])
    assert len(recipe.data.sources) == 300
    assert time.process_time() - start < 0.5


def test_faults_of_files_keys_and_overrides_come_together(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN + "train:\n  lr: 1\n  epochs: -1\n  epochs: 2\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, ["train.seed=x", "oops", "run.dri=a"])
    where = {fault.split(": ")[0] for fault in caught.value.faults}
    lines = {f"{path}:{line}" for line in (5, 6, 7)}
    assert where == lines | {f"override {o!r}" for o in ("train.seed=x", "oops", "run.dri=a")}
    assert len(caught.value.faults) == 6
    assert "lr" in str(caught.value) and "\n" in str(caught.value)
