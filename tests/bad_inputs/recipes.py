"""Recipes and overrides that cannot be meant; `tests/config/test_faults.py` has many more."""

import os
from pathlib import Path

from bad_inputs.case import Case, with_override, with_recipe

GOOD = """\
model: {family: text, path: model, gradient_checkpointing: "off"}
data: {path: rows.jsonl, max_tokens: 64}
run: {dir: run, tensorboard: false, threads: 1}
"""


def latin_recipe() -> list[str]:
    Path("bad.yaml").write_bytes(GOOD.encode() + "# café\n".encode("latin-1"))
    return []


def utf16_recipe() -> list[str]:
    Path("bad.yaml").write_bytes(GOOD.encode("utf-16"))
    return []


def folder_for_recipe() -> list[str]:
    Path("bad.yaml").unlink()
    Path("bad.yaml").mkdir()
    return []


def circular_link() -> list[str]:
    Path("bad.yaml").unlink()
    os.symlink("bad.yaml", "bad.yaml")
    return []


def no_recipe() -> list[str]:
    Path("bad.yaml").rename("bat.yaml")
    return []


RECIPES = [
    Case("a key that is not known", "bad.yaml:4: train.lr: no such key; did you mean "
         "train.learning_rate?", with_recipe(GOOD + "train: {lr: 1}\n")),
    Case("a word for a number", "bad.yaml:4: train.max_steps: found 'many', expected a whole "
         "number >= 0", with_recipe(GOOD + "train: {max_steps: many}\n")),
    Case("a number that is none", "bad.yaml:4: train.learning_rate: found .nan, expected a "
         "number > 0", with_recipe(GOOD + "train: {learning_rate: .nan}\n")),
    Case("a huge number", "bad.yaml:4: train.learning_rate: found 1e999, expected a number > 0",
         with_recipe(GOOD + "train: {learning_rate: 1e999}\n")),
    Case("a key given twice", "bad.yaml:5: train: key given twice (also on line 4)",
         with_recipe(GOOD + "train: {seed: 1}\ntrain: {seed: 2}\n")),
    Case("YAML that is broken", "bad.yaml:5: not valid YAML: …",
         with_recipe(GOOD + "train: {seed: 1\n")),
    Case("a YAML tag that runs code", "bad.yaml:4: YAML tag "
         "'tag:yaml.org,2002:python/object/apply:os.system' is not supported; write the value",
         with_recipe(GOOD + "samples: {prompts: !!python/object/apply:os.system ['touch canary']}"
                     "\n")),
    Case("aliases that multiply (a billion laughs)", "bad.yaml:4: nested too deep or too large "
         "for a recipe",
         with_recipe(GOOD + "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
             f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)))),
    Case("Latin-1", "bad.yaml:4: not UTF-8 text; save the file as UTF-8", latin_recipe),
    Case("UTF-16", "bad.yaml:1: not UTF-8 text; save the file as UTF-8", utf16_recipe),
    Case("an empty file", "bad.yaml: the file is empty; expected `key: value` lines",
         with_recipe("")),
    Case("a folder", "bad.yaml: is a folder, expected a YAML file", folder_for_recipe),
    Case("a file that is not there", "bad.yaml: no such file; did you mean bat.yaml?", no_recipe),
    Case("a link to itself", "bad.yaml: is a link that leads nowhere (bad.yaml)", circular_link),
    Case("a base that is not there", "bad.yaml:1: based_on: nowhere.yaml: no such file",
         with_recipe("based_on: nowhere.yaml\n")),
]  # fmt: skip

OVERRIDES = [
    Case("`train.lr=1`", "override 'train.lr=1': train.lr: no such key; did you mean "
         "train.learning_rate?", with_override("train.lr=1")),
    Case("`train.seed`", "override 'train.seed': expected key=value, such as "
         "train.learning_rate=1e-4", with_override("train.seed")),
    Case("`--train.seed=1`", "mmtune check: unrecognized arguments: --train.seed=1; see "
         "`mmtune check --help`", with_override("--train.seed=1")),
    Case("`train.seed=1.5`", "override 'train.seed=1.5': train.seed: found 1.5, expected a whole "
         "number", with_override("train.seed=1.5")),
    Case("`train.max_steps=`", "", with_override("train.max_steps="), does="takes the default"),
    Case("`data.path=` with nothing after it", "bad.yaml:2: data: give data.path…",
         with_override("data.path=")),
    Case("`model.freeze=[*.a]`", "override 'model.freeze=[*.a]': not valid YAML: … (quote a value "
         "that begins with '*')", with_override("model.freeze=[*.a]")),
    Case("`train..seed=1`", "override 'train..seed=1': expected key=value, such as "
         "train.learning_rate=1e-4", with_override("train..seed=1")),
]  # fmt: skip
