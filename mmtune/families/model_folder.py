"""What lies in a checkpoint's folder, read without loading it: config, weight files, their tensors.

Reads JSON and the headers of safetensors files, never a pickle. Knows no architecture.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from mmtune.errors import ModelError

Shapes = dict[str, tuple[int, ...]]

_INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_MAX_HEADER_BYTES = 100 << 20
_DTYPE_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16}
_DTYPE_BITS |= {"U64": 64, "U32": 32, "U16": 16, "I8": 8, "U8": 8, "BOOL": 8}


def check_config(folder: Path, name: str) -> None:
    """Raises ModelError unless `config.json` is there and says what kind of model it is.

    `name` is how messages call the folder.
    """
    path = folder / "config.json"
    if not path.is_file():
        adapter = (folder / "adapter_config.json").is_file()
        what = "an adapter without its model; merge it first" if adapter else "no model's folder"
        raise ModelError(f"model.path {name!r}: there is no config.json in it: it is {what}")
    if not str(json_object(path, name).get("model_type") or ""):
        raise ModelError(
            f"model.path {name!r}: config.json does not say its model_type; is it a model of "
            "transformers?"
        )


def tensor_shapes(folder: Path, name: str) -> Shapes:
    """Every tensor of the folder's safetensors files. Raises ModelError for what cannot be read:
    none there, a shard missing, cut short, no safetensors at all."""
    index = folder / _INDEX
    if index.is_file():
        weights = json_object(index, name).get("weight_map")
        if not isinstance(weights, dict):
            raise ModelError(f"model.path {name!r}: {_INDEX} has no weight_map")
        files = sorted({folder / str(shard) for shard in weights.values()})
    elif (folder / "model.safetensors").is_file():
        files = [folder / "model.safetensors"]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(_no_weights(folder, name))
    shapes: Shapes = {}
    for file in files:
        if not file.is_file():
            raise ModelError(f"model.path {name!r}: {_INDEX} names {file.name}, which is not there")
        shapes |= _header(file, name)
    return shapes


def _no_weights(folder: Path, name: str) -> str:
    pickled = sorted(path.name for form in _PICKLED for path in folder.glob(form))
    if pickled:
        return (
            f"model.path {name!r}: its weights are pickled ({pickled[0]}), and reading a pickle "
            "runs code; it was not read. Convert it to safetensors where you trust it"
        )
    return f"model.path {name!r}: there are no weights (*.safetensors) in it"


def _header(file: Path, name: str) -> Shapes:
    """Shapes from the JSON at the start of a safetensors file, sizes compared with the file's."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size):
            raise ModelError(f"model.path {name!r}: {file.name} is no safetensors file")
        text = handle.read(length)
    try:
        tensors = json.loads(text)
        tensors.pop("__metadata__", None)
        end = max((int(t["data_offsets"][1]) for t in tensors.values()), default=0)
        shapes = {key: tuple(int(n) for n in t["shape"]) for key, t in tensors.items()}
        whole = all(_fills(t) for t in tensors.values())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise ModelError(f"model.path {name!r}: {file.name} is no safetensors file") from None
    if 8 + length + end != size or not whole:
        raise ModelError(
            f"model.path {name!r}: {file.name} is damaged: {size:,} bytes where "
            f"{8 + length + end:,} belong; copy or download it again"
        )
    return shapes


def _fills(tensor: Mapping[str, Any]) -> bool:
    """Whether the bytes of a tensor are as many as its shape needs."""
    bits = _DTYPE_BITS.get(tensor["dtype"])
    begin, end = tensor["data_offsets"]
    return bits is None or prod(tensor["shape"]) * bits == 8 * (end - begin)


def json_object(path: Path, name: str) -> dict[str, Any]:
    """What the file holds. Raises ModelError where that is no JSON object."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"model.path {name!r}: {path.name} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"model.path {name!r}: {path.name} is no JSON object")
    return found
