"""`mmtune generate`: answers of a model, to a file of prompts in batches, or in a dialogue."""

import json
from pathlib import Path

import torch

from mmtune.config.recipe import TextModel
from mmtune.errors import InputError, ModelError
from mmtune.families.family import GenerationSettings, Loaded, family_of
from mmtune.workflows.answers import answer_file
from mmtune.workflows.dialogue import converse
from mmtune.workflows.terminal import console, visible


def run(
    model: str,
    *,
    prompts: Path | None = None,
    out: Path | None = None,
    system: str = "",
    **settings: float,
) -> None:
    """Answer the rows of `prompts`, into `out` or to standard output; without, talk.

    `model` is a folder that plain transformers loads, a run's folder (then its `final/`), a hub
    id or `pocket:NAME`; `settings` are those of GenerationSettings.

    Raises InputError: no such model, prompts that cannot be answered, or an `out` that holds
    answers of another model or with other settings.
    """
    if out is not None and prompts is None:
        raise InputError("mmtune generate: --out belongs with --prompts")
    if system and prompts is not None:
        raise InputError(
            "mmtune generate: --system is for dialogues; put it into the prompts' rows"
        )
    path = model_path(model)
    wanted = GenerationSettings(**settings)  # type: ignore[arg-type]
    loaded = _load(path)
    kind = family_of(loaded.section)
    if prompts is not None:
        answer_file(prompts, out, kind, loaded, model=path, settings=wanted)
        return
    screen = console()
    for note in loaded.notes:
        screen.print(visible(note), style="dim")
    converse(kind, loaded, wanted, system=system, out=screen)


def model_path(model: str) -> str:
    """Where the model is: a run's folder stands for its `final/`.

    Raises ModelError for a folder with no model in it, and for what is no folder and can be no id.
    """
    folder = Path(model).expanduser()
    if model.startswith("pocket:") or not folder.is_dir():
        if not model.startswith("pocket:") and (folder.exists() or model.count("/") != 1):
            raise ModelError(f"mmtune generate: {model!r} is no folder of a model and no hub id")
        return model
    if (folder / "config.json").is_file():
        return str(folder)
    if (folder / "final" / "config.json").is_file():
        return str(folder / "final")
    hint = "; its run has not come to its end" if (folder / "recipe.yaml").exists() else ""
    raise ModelError(
        f"mmtune generate: there is no model in {folder} (no config.json, nor in final/){hint}"
    )


def _load(path: str) -> Loaded:
    section = TextModel(family="text", path=path, dtype=_saved_dtype(Path(path)))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return family_of(section).load(section, device, seed=0, supervise="assistant")


def _saved_dtype(folder: Path):  # type: ignore[no-untyped-def]
    """As plain transformers takes it: what the folder's config says. A hub id's is not known
    before it is loaded."""
    if not (folder / "config.json").is_file():
        return "bfloat16" if torch.cuda.is_available() else "float32"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    saved = config.get("dtype", config.get("torch_dtype"))
    return "bfloat16" if saved == "bfloat16" else "float32"
