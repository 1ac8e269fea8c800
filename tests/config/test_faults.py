"""A catalogue of wrong recipes, each with what its user must be told."""

from pathlib import Path

import pytest

from mmtune.config.load import load_recipe
from mmtune.errors import ConfigError

GOOD = {
    "model": "{family: text, path: pocket:lm}",
    "data": "{path: rows.jsonl}",
    "run": "{dir: runs/a}",
}


def recipe_text(**sections: str) -> str:
    return "".join(f"{name}: {text}\n" for name, text in (GOOD | sections).items() if text)


TEXTS = {
    "an unknown key": (
        recipe_text(train="{learning_rte: 1}"),
        ["x.yaml:4: train.learning_rte: no such key; did you mean train.learning_rate?"],
    ),
    "an abbreviation": (recipe_text(train="{lr: 1}"), ["did you mean train.learning_rate?"]),
    "words in another order": (recipe_text(train="{steps_max: 1}"), ["mean train.max_steps?"]),
    "dashes": (recipe_text(train="{max-steps: 1}"), ["did you mean train.max_steps?"]),
    "a key at another place": (
        recipe_text(train="{row_tokens: 4}"),
        ["train.row_tokens: no such key; did you mean train.batching.row_tokens?"],
    ),
    "a key above its section": (
        recipe_text(seed="3"),
        ["seed: no such key; did you mean train.seed?"],
    ),
    "a mistyped section": (recipe_text(trian="{}"), ["trian: no such key; did you mean train?"]),
    "a key like nothing": (recipe_text(zzz="1"), ["zzz: no such key; keys here: model, data"]),
    "a key of another kind": (
        recipe_text(model="{family: text, path: a, adapter: {kind: none, rank: 4}}"),
        ["model.adapter.rank: no such key here; it needs model.adapter.kind: lora"],
    ),
    "a mistyped key of a kind": (
        recipe_text(model="{family: text, path: a, adapter: {kind: lora, rnk: 4}}"),
        ["model.adapter.rnk: no such key; did you mean model.adapter.rank?"],
    ),
    "an unknown kind": (
        recipe_text(model="{family: text, path: a, adapter: {kind: lorra}}"),
        ["model.adapter.kind: found 'lorra' (did you mean 'lora'?), expected 'none' or 'lora'"],
    ),
    "a kind of the wrong type": (
        recipe_text(train="{batch: {kind: [1], count: 1}}"),
        ["train.batch.kind: found a list of 1, expected 'examples' or 'rows'"],
    ),
    "an unknown family": (
        recipe_text(model="{family: txt, path: a}"),
        ["x.yaml:1: model.family: found 'txt' (did you mean 'text'?), expected 'text'"],
    ),
    "a missing family": (
        recipe_text(model="{path: a}"),
        ["model.family: missing, expected 'text'"],
    ),
    "a missing section": (recipe_text(run=""), ["x.yaml: run: missing", "at least dir"]),
    "a missing key": (recipe_text(run="{}"), ["x.yaml:3: run.dir: missing, expected text"]),
    "a section that is text": (
        recipe_text(train="fast"),
        ["train: found 'fast', expected a section"],
    ),
    "a section that is a list": (
        recipe_text(train="[1, 2]"),
        ["train: found a list of 2, expected a section"],
    ),
    "an empty required section": (recipe_text(data=""), ["data: missing"]),
    "a required section without keys": (recipe_text(run="~"), ["run.dir: missing"]),
    "a word for a number": (
        recipe_text(train="{max_steps: many}"),
        ["train.max_steps: found 'many', expected a whole number >= 0"],
    ),
    "a fraction for a count": (
        recipe_text(train="{max_steps: 1.5}"),
        ["train.max_steps: found 1.5, expected a whole number >= 0"],
    ),
    "a number out of range": (
        recipe_text(train="{learning_rate: -1e-4}"),
        ["train.learning_rate: found -1e-4, expected a number > 0"],
    ),
    "a number out of a range with two ends": (
        recipe_text(data="{path: a, max_bad_rows_fraction: 3}"),
        ["found 3, expected a number >= 0 and <= 1"],
    ),
    "a truth value for a number": (
        recipe_text(train="{seed: true}"),
        ["train.seed: found 'true', expected a whole number"],
    ),
    "a word for a truth value": (
        recipe_text(run="{dir: a, tensorboard: maybe}"),
        ["run.tensorboard: found 'maybe', expected true or false"],
    ),
    "a word for a list": (
        recipe_text(model="{family: text, path: a, freeze: embed}"),
        ["model.freeze: found 'embed', expected a list, each text"],
    ),
    "a word for a list of sections": (
        recipe_text(data="{sources: a.jsonl}"),
        ["data.sources: found 'a.jsonl', expected a list of sections"],
    ),
    "a word for a section in a list": (
        recipe_text(data="{sources: [a.jsonl]}"),
        ["data.sources.0: found 'a.jsonl', expected a section of keys (at least path)"],
    ),
    "a list for a mapping": (
        recipe_text(data="{sources: [{path: a, fields: [b]}]}"),
        ["data.sources.0.fields: found a list of 1, expected `name: value` lines"],
    ),
    "a mapping of the wrong values": (
        recipe_text(data="{sources: [{path: a, fields: {prompt: [b]}}]}"),
        ["data.sources.0.fields.prompt: found a list of 1, expected text"],
    ),
    "a mistyped choice": (
        recipe_text(data="{path: a, overlong: trunc}"),
        ["found 'trunc' (did you mean 'truncate'?), expected 'drop', 'truncate' or 'error'"],
    ),
    "an unknown key in a list": (
        "model: {family: text, path: a}\nrun: {dir: a}\n"
        "data:\n  sources:\n  - path: a\n    nme: b\n",
        ["x.yaml:6: data.sources.0.nme: no such key; did you mean data.sources.0.name?"],
    ),
    "no rows": (
        recipe_text(data="{max_tokens: 5}"),
        ["x.yaml:2: data: give data.path, data.sources or data.mixture"],
    ),
    "keys that do not fit together": (
        recipe_text(data="{path: a, max_tokens: 4096}"),
        ["x.yaml: data.max_tokens (4096) is more than train.batching.row_tokens (2048)"],
    ),
    "a long value is cut": (
        recipe_text(train=f"{{max_steps: {'y' * 500}}}"),
        ["found 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy...', expected"],
    ),
    "a key given twice": (
        recipe_text() + "train: {seed: 1}\ntrain: {seed: 2}\n",
        ["x.yaml:5: train: key given twice (also on line 4)"],
    ),
    "an empty file": ("# nothing yet\n", ["x.yaml: the file is empty"]),
    "a list of things": ("- a\n- b\n", ["x.yaml: found a list of 2, expected `key: value`"]),
    "just a word": ("hello\n", ["x.yaml: found 'hello', expected `key: value`"]),
    "a broken bracket": ("model: {a: 1\nrun: 2\n", ["x.yaml:2: not valid YAML"]),
    "a tab": ("model:\n\tpath: a\n", ["x.yaml:2: not valid YAML", "(indent with spaces)"]),
    "two documents": (recipe_text() + "---\na: 1\n", ["not valid YAML"]),
    "a control character": ("model: a\nrun: \x01\n", ["x.yaml:2: not valid YAML"]),
    "a tag": ("model: !!python/name:os.system x\n", ["is not supported"]),
    "an endless alias": ("model: &a [*a]\n", ["x.yaml:1: nested too deep"]),
    "a key that is a list": ("[a, b]: 1\n", ["x.yaml:1: a key must be a plain word"]),
    "a base that is not there": (
        "based_on: nowhere.yaml\n",
        ["x.yaml:1: based_on:", "nowhere.yaml: no such file"],
    ),
    "a base that is a list": ("based_on: [a]\n", ["based_on: found a list of 1, expected a file"]),
    "a file based on itself": ("based_on: x.yaml\n", ["based on each other: x.yaml -> x.yaml"]),
}

OVERRIDES = {
    "an unknown key": ("train.lr=1", "override 'train.lr=1': train.lr: no such key; did you mean"),
    "a key without section": ("learning_rate=1", "did you mean train.learning_rate?"),
    "a wrong value": ("train.seed=x", "override 'train.seed=x': train.seed: found 'x', expected a"),
    "no equals sign": ("train.seed", "override 'train.seed': expected key=value"),
    "a flag": ("--train.seed=1", "expected key=value"),
    "an empty key": ("=1", "expected key=value"),
    "a hole in the key": ("train..seed=1", "expected key=value"),
    "a base": ("based_on=y.yaml", "based_on belongs in the file"),
    "an index past the end": ("data.sources.3.path=a", "found '3', expected an index from 0 to"),
    "a name for an index": ("data.dev={}", "data.dev: found an empty section, expected a list"),
    "broken YAML": ("model.freeze=[*.a]", "override 'model.freeze=[*.a]': not valid YAML"),
    "a key below a value": ("train.seed.x=1", "train.seed: found keys x, expected a whole number"),
}

JARGON = ("union_tag", "extra_forbidden", "pydantic", "Input should", "Value error", "NoneType")


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, overrides)
    return list(caught.value.faults)


@pytest.mark.parametrize("case", TEXTS)
def test_a_wrong_file_is_explained(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, fragments = TEXTS[case]
    Path("x.yaml").write_text(text)
    found = faults(Path("x.yaml"))
    assert any(all(fragment in fault for fragment in fragments) for fault in found), found
    assert not [word for word in JARGON if word in "\n".join(found)]
    assert all("\n" not in fault and fault.startswith("x.yaml") for fault in found)


@pytest.mark.parametrize("case", OVERRIDES)
def test_a_wrong_override_is_explained(case: str, tmp_path: Path) -> None:
    override, fragment = OVERRIDES[case]
    path = tmp_path / "x.yaml"
    path.write_text(recipe_text(data="{sources: [{path: a}]}"))
    found = faults(path, override)
    assert len(found) == 1 and fragment in found[0], found


def test_the_fault_names_the_file_that_set_the_key(tmp_path: Path) -> None:
    (tmp_path / "low.yaml").write_text(recipe_text(train="{seed: a}"))
    (tmp_path / "top.yaml").write_text("based_on: low.yaml\ntrain:\n  epochs: b\n")
    found = faults(tmp_path / "top.yaml")
    assert found[0].startswith(f"{tmp_path / 'low.yaml'}:4: train.seed")
    assert found[1].startswith(f"{tmp_path / 'top.yaml'}:3: train.epochs")


def test_a_file_that_cannot_be_read_as_text_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"model:\n  path: caf\xe9\n")
    assert faults(tmp_path / "x.yaml") == [
        f"{tmp_path / 'x.yaml'}:2: not UTF-8 text; save the file as UTF-8"
    ]


def test_a_mistyped_file_name_is_answered_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "lima_text.yaml").write_text("")
    assert faults(tmp_path / "lima_txt.yaml")[0].endswith(f"mean {tmp_path / 'lima_text.yaml'}?")
    assert faults(tmp_path)[0].endswith("is a folder, expected a YAML file")


def test_bases_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("based_on: b.yaml\n")
    (tmp_path / "b.yaml").write_text("based_on: a.yaml\n")
    assert "a.yaml -> b.yaml -> a.yaml" in faults(tmp_path / "a.yaml")[0]
