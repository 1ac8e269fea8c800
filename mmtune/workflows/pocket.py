"""`mmtune pocket build NAME`: how the embedded models were made, and can be made again."""

import json
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mmtune.config.load import load_recipe
from mmtune.errors import ConfigError
from mmtune.families.fresh import LanguageModelShape, new_language_model
from mmtune.pocket.corpus import documents
from mmtune.pocket.shipped import WEIGHTS
from mmtune.workflows import train

_RECIPES = Path(__file__).parents[2] / "configs" / "pocket"
_TOKENIZER_DOCUMENTS = 20_000
_TOKENIZER_SEED = 1
"""Another part of the corpus than the model is trained on."""

LM_SHAPE = LanguageModelShape(vocabulary=1024, width=160, layers=6, heads=5, feed_forward=432)
"""2.0 million parameters: about as many as the tokens that an hour on two cores affords are best
spent on (Hoffmann et al. 2022: some 20 tokens a parameter)."""


def run(name: str, overrides: Sequence[str] = ()) -> None:
    """Train the embedded model `name` from nothing and put it where `pocket:NAME` looks.

    Raises:
        ConfigError: there is no such model.
    """
    if name != "lm":
        raise ConfigError(f"mmtune pocket build: there is no embedded model {name!r}; there is lm")
    recipe = load_recipe(_RECIPES / "lm.yaml", overrides)
    untrained = Path(recipe.model.path)
    if recipe.train.resume == "never" or not untrained.exists():
        texts = islice(documents(_TOKENIZER_SEED), _TOKENIZER_DOCUMENTS)
        new_language_model(untrained, texts, LM_SHAPE, seed=recipe.train.seed)
    train.run(recipe)
    ship(untrained, Path(recipe.run.dir) / "final", WEIGHTS / name)


def ship(untrained: Path, final: Path, folder: Path) -> None:
    """Put a trained base model into the package, its weights in bfloat16.

    Tokenizer and configuration are those it began with: the end-of-turn token that the training
    loop adds has no place in a base model, so its row is left off again.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in untrained.glob("*.json"):
        shutil.copyfile(file, folder / file.name)
    rows = json.loads((untrained / "config.json").read_text())["vocab_size"]
    weights = load_file(final / "model.safetensors")
    low = {
        name: (tensor[:rows] if "embed_tokens" in name else tensor).to(torch.bfloat16).contiguous()
        for name, tensor in weights.items()
    }
    save_file(low, folder / "model.safetensors", metadata={"format": "pt"})
