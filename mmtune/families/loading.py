"""A checkpoint of transformers by its path: pocket name, folder or hub id. Safetensors only.

Whatever the folder lacks is told before a library is asked, which would fill the gaps at random.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging as library_log

from mmtune.config.recipe import TextModel
from mmtune.data.hub import HUB_ID, online
from mmtune.errors import ModelError
from mmtune.families.model_folder import check_config, json_object, tensor_shapes
from mmtune.families.weights_fit import check_filled, check_shapes
from mmtune.pocket.shipped import weights_folder

Result = TypeVar("Result")

_LIBRARY_FAULTS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
_REASON_CHARS = 240
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")


def load_tokenizer(section: TextModel):  # type: ignore[no-untyped-def]
    """The checkpoint's tokenizer, as it was saved. Raises ModelError."""
    path = resolved(section)
    _check_code(section, path, "tokenizer_config.json")
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in _TOKENIZERS):
        raise ModelError(
            f"model.path {section.path!r}: there is no tokenizer in it (tokenizer.json); save the "
            "model's own beside it"
        )
    return _asked(
        section,
        "no tokenizer can be loaded",
        lambda: AutoTokenizer.from_pretrained(path, **_hub_arguments(section, path)),
    )


def resolved(section: TextModel) -> str:
    """Where the checkpoint is: the path, or the folder that `pocket:NAME` stands for.

    Raises ModelError for what is neither a model's folder nor a hub id.
    """
    if section.path.startswith("pocket:"):
        return str(weights_folder(section.path.removeprefix("pocket:")))
    path = _local(section.path)
    if path is None:
        _check_hub_id(section.path)
        return section.path
    if path.is_file():
        raise ModelError(f"model.path {section.path!r}: is a file; give the folder that it is in")
    check_config(path, section.path)
    return str(path)


def _local(path: str) -> Path | None:
    """The file or folder of this name, or None."""
    try:
        found = Path(path).expanduser()
        return found if path.strip() and found.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, NUL, no such user
        return None


def _check_hub_id(path: str) -> None:
    if "://" in path:
        raise ModelError(f"model.path {path!r}: URLs are not read; give a hub id or a folder")
    parts = path.split("/")
    looks_local = path.startswith((".", "/", "~")) or len(parts) > 2 or _local(parts[0])
    if looks_local or not (HUB_ID.fullmatch(path) or re.fullmatch(r"[\w-][\w.-]*", path)):
        raise ModelError(f"model.path: there is no folder {path!r}, and it is no hub id")


def is_encoder_decoder(section: TextModel) -> bool:
    """Whether the checkpoint's config says so; no weight is read. Raises ModelError."""
    path = resolved(section)
    _check_code(section, path, "config.json")
    arguments = _hub_arguments(section, path)
    config = _asked(
        section, "cannot be loaded", lambda: AutoConfig.from_pretrained(path, **arguments)
    )
    return bool(getattr(config, "is_encoder_decoder", False))


def empty_network(section: TextModel, *, pairs: bool = False) -> PreTrainedModel:
    """The layout without weights; make it under `torch.device("meta")`. `pairs` is for
    encoder-decoders.

    Raises ModelError also where the weight files of a folder cannot fill it.
    """
    path = resolved(section)
    shapes = tensor_shapes(Path(path), section.path) if Path(path).is_dir() else None
    _check_code(section, path, "config.json")

    def make() -> PreTrainedModel:
        config = AutoConfig.from_pretrained(path, **_hub_arguments(section, path))
        if not pairs:
            _check_causal(section, config)
        return _auto(pairs).from_config(
            config, dtype=_dtype(section), trust_remote_code=section.trust_remote_code
        )

    network = _asked(section, "cannot be loaded", make)
    if shapes is not None:
        check_shapes(section.path, network, shapes)
    return network


def load_network(section: TextModel, *, pairs: bool = False) -> PreTrainedModel:
    """Layout and weights, on the CPU. Raises ModelError where the weights do not fill the layout,
    or are no numbers."""
    path = resolved(section)
    if Path(path).is_dir():
        with torch.device("meta"):
            empty_network(section, pairs=pairs)

    def load() -> Any:
        return _auto(pairs).from_pretrained(
            path,
            dtype=_dtype(section),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told of below
            **_hub_arguments(section, path),
        )

    network, loading = _asked(section, "cannot be loaded", load)
    if not pairs:
        _check_causal(section, network.config)
    check_filled(section.path, network, loading)
    return network


def _auto(pairs: bool) -> Any:
    return AutoModelForSeq2SeqLM if pairs else AutoModelForCausalLM


def _check_causal(section: TextModel, config: Any) -> None:
    """A masked language model would be loaded as one that sees what it is to predict."""
    kind = str(config.model_type)
    sees_all = getattr(config, "is_decoder", None) is False and not kind.startswith("gpt_neox")
    if getattr(config, "is_encoder_decoder", False) or sees_all:
        raise ModelError(
            f"model.path {section.path!r}: {kind} is no causal language model (config.json: "
            f"is_decoder false or an encoder-decoder); the text family trains decoders"
        )


def _check_code(section: TextModel, path: str, file: str) -> None:
    """Code that comes with a checkpoint is run by nobody who did not ask for it."""
    folder = Path(path)
    if section.trust_remote_code or not (folder / file).is_file():
        return
    if "auto_map" not in json_object(folder / file, section.path):
        return
    if file == "config.json":
        known = json_object(folder / file, section.path)["model_type"] in CONFIG_MAPPING
    else:
        written = json_object(folder / file, section.path).get("tokenizer_class")
        known = hasattr(transformers, str(written))
    if not known:
        raise ModelError(
            f"model.path {section.path!r}: {file} asks to run code of the checkpoint's own "
            "(auto_map), which was not run; set model.trust_remote_code: true if you have read it"
        )


def _dtype(section: TextModel) -> torch.dtype:
    return torch.bfloat16 if section.dtype == "bfloat16" else torch.float32


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


def _asked(section: TextModel, outcome: str, ask: Callable[[], Result]) -> Result:
    """What the library answers; its many ways to fail become one message of one line."""
    hub = not (section.path.startswith("pocket:") or _local(section.path))
    reachable = not hub or online()
    try:
        with _quiet():
            return ask()
    except _LIBRARY_FAULTS as error:
        if not reachable:
            raise ModelError(
                f"model.path {section.path!r}: no folder of this name, nothing of it was "
                "downloaded before, and the hub cannot be reached; check the name and the network"
            ) from error
        reason = " ".join(str(error).split())
        if isinstance(error, LookupError) or not reason:
            reason = f"{type(error).__name__} {reason}"
        reason = reason if len(reason) <= _REASON_CHARS else reason[:_REASON_CHARS] + "..."
        raise ModelError(f"model.path {section.path!r}: {outcome}: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The library's own reports of missing weights say less than ours."""
    before = library_log.get_verbosity()
    library_log.set_verbosity_error()
    try:
        yield
    finally:
        library_log.set_verbosity(before)
