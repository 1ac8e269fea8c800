"""A checkpoint of transformers by its path: pocket name, folder or hub id. Safetensors only."""

import re
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from mmtune.config.recipe import TextModel
from mmtune.errors import ModelError
from mmtune.pocket.shipped import weights_folder


def load_tokenizer(section: TextModel):  # type: ignore[no-untyped-def]
    """The checkpoint's tokenizer, as it was saved."""
    path = resolved(section)
    try:
        return AutoTokenizer.from_pretrained(path, **_hub_arguments(section, path))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.path {section.path!r}: no tokenizer can be loaded: {error}"
        ) from error


def resolved(section: TextModel) -> str:
    """Where the checkpoint is: the path, or the folder that `pocket:NAME` stands for."""
    if section.path.startswith("pocket:"):
        return str(weights_folder(section.path.removeprefix("pocket:")))
    if section.path.startswith((".", "/", "~")) and not Path(section.path).expanduser().is_dir():
        raise ModelError(f"model.path: there is no folder {section.path!r}")
    return str(Path(section.path).expanduser()) if Path(section.path).is_dir() else section.path


def empty_network(section: TextModel) -> PreTrainedModel:
    """The layout without weights; make it under `torch.device("meta")`."""
    path = resolved(section)
    if Path(path).is_dir() and not any(Path(path).glob("*.safetensors")):
        raise ModelError(f"model.path {section.path!r}: there are no weights (*.safetensors) in it")
    arguments = _hub_arguments(section, path)
    try:
        config = AutoConfig.from_pretrained(path, **arguments)
        return AutoModelForCausalLM.from_config(
            config, dtype=_dtype(section), trust_remote_code=section.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model.path {section.path!r} cannot be loaded: {error}") from error


def _dtype(section: TextModel) -> torch.dtype:
    return torch.bfloat16 if section.dtype == "bfloat16" else torch.float32


def load_network(section: TextModel) -> PreTrainedModel:
    """Layout and weights, on the CPU."""
    path = resolved(section)
    try:
        return AutoModelForCausalLM.from_pretrained(
            path, dtype=_dtype(section), use_safetensors=True, **_hub_arguments(section, path)
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model.path {section.path!r} cannot be loaded: {error}") from error


def _hub_arguments(section: TextModel, path: str) -> dict[str, object]:
    if section.trust_remote_code and not Path(path).is_dir():
        if not re.fullmatch(r"[0-9a-f]{40}", section.revision):
            raise ModelError(
                "model.trust_remote_code runs code from the hub: pin model.revision to a commit "
                f"hash (it is {section.revision!r})"
            )
    local = Path(path).is_dir()
    return {"trust_remote_code": section.trust_remote_code} | (
        {} if local else {"revision": section.revision}
    )
