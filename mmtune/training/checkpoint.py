"""Checkpoints without pickle: written aside, checked by hash, renamed into place.

    checkpoints/step-120/
      model.safetensors       what is trained (an adapter's weights only, under LoRA)
      optimizer.safetensors   AdamW's moments
      state.json              step, place in the data, recipe hash
      manifest.json           size and sha256 of each file; written last

No generator state is kept: data order, noise and dropout are pure functions of seed and step.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from mmtune.errors import CheckpointError

_MANIFEST = "manifest.json"
_FILES = ("model.safetensors", "optimizer.safetensors", "state.json")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come, and what it must be resumed with."""

    step: int
    epoch: int
    window: int
    index: int
    """next step within the window"""
    recipe_hash: str
    data_hash: str
    position: float = 0.0
    """epochs done"""
    due: bool = False
    """The recipe asks for a save here, and so for a measurement; else a signal did."""


def save_checkpoint(
    parent: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, main: bool
) -> Path:
    """Write `parent/step-<n>`; all ranks call it, the main one writes."""
    weights, moments = _states(model, optimizer)
    folder = parent / f"step-{progress.step}"
    if not main:
        return folder
    aside = parent / f"step-{progress.step}.tmp-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_file(_without_aliases(weights), aside / "model.safetensors")
    save_file(_flat(moments["state"]), aside / "optimizer.safetensors")
    (aside / "state.json").write_text(
        json.dumps({"progress": asdict(progress), "groups": moments["param_groups"]}, indent=1)
    )
    _write_manifest(aside)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(aside, folder)
    _sync(parent)
    return folder


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> Progress:
    """Put a verified checkpoint's weights (and moments) in place.

    Raises:
        CheckpointError: it does not fit the model.
    """
    state = json.loads((folder / "state.json").read_text())
    weights = load_file(folder / "model.safetensors")
    ours, _ = _states(model, optimizer)
    _restore_aliases(weights, ours)
    if missing := sorted(set(ours) - set(weights)):
        raise CheckpointError(
            f"{folder}: the checkpoint lacks {len(missing)} of the model's trained tensors, "
            f"{missing[0]!r} first; it belongs to another recipe"
        )
    saved: dict[str, Any] = {}
    if optimizer is not None:
        moments = _nested(load_file(folder / "optimizer.safetensors"))
        saved = {"state": moments, "param_groups": state["groups"]}
    set_state_dict(
        model,
        optimizer or [],
        model_state_dict=cast(Any, weights),
        optim_state_dict=saved,
        options=_options(strict=False),
    )
    return Progress(**state["progress"])


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights on the CPU, gathered from their shards; every rank must call it."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(model, options=options))


def newest_good(parent: Path, tell: Callable[[str], None]) -> Path | None:
    """The newest checkpoint whose files are those of its manifest; damaged ones are told of."""
    for folder in sorted_checkpoints(parent)[::-1]:
        if (fault := verify(folder)) is None:
            return folder
        tell(f"{folder} is damaged ({fault}); looking at the one before it")
    if parent.is_dir():
        tell(f"{parent} holds no good checkpoint: the run starts anew")
    return None


def set_aside_newer(parent: Path, step: int) -> None:
    """Rename checkpoints past `step`, which proved damaged, so that none is counted on again."""
    for path in sorted_checkpoints(parent):
        if int(path.name.removeprefix("step-")) > step:
            aside = path.with_name(f"{path.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)


def verify(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        files = json.loads((folder / _MANIFEST).read_text())["files"]
        written = [(name, about["bytes"], about["sha256"]) for name, about in files.items()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"no readable manifest: {error!r}"
    if missing := sorted({*_FILES} - {*files}):
        return f"its manifest lacks {missing[0]}"
    for name, size, sha256 in written:
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes, not {size}"
        if _sha256(path) != sha256:
            return f"{name} is not what was written (its sha256 differs)"
    return None


def sorted_checkpoints(parent: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    found = [
        (int(match[1]), path)
        for path in parent.glob("step-*")
        if (match := re.fullmatch(r"step-(\d+)", path.name))
    ]
    return [path for _, path in sorted(found)]


def remove_old(parent: Path, keep_last: int, keep: Path | None) -> None:
    """Keep the newest `keep_last` checkpoints and `keep`; leftovers of cut saves go too."""
    for path in sorted_checkpoints(parent)[:-keep_last]:
        if path != keep:
            shutil.rmtree(path)
    for path in parent.glob("step-*.tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _states(
    model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is trained and the optimizer's moments, whole and on the CPU, by full names."""
    found = get_state_dict(model, optimizer or [], options=_options())
    return cast(tuple[dict[str, Any], dict[str, Any]], found)


def _options(strict: bool = True) -> StateDictOptions:
    return StateDictOptions(
        full_state_dict=True,
        cpu_offload=True,
        ignore_frozen_params=True,
        strict=strict,
    )


def _flat(state: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """`{"a.weight": {"exp_avg": x}}` -> `{"a.weight.exp_avg": x}`"""
    return {
        f"{parameter}.{name}": value.contiguous()
        for parameter, entries in state.items()
        for name, value in entries.items()
    }


def _nested(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, _, name = key.rpartition(".")
        state.setdefault(parameter, {})[name] = value
    return state


def _without_aliases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tied weights stand under several names; safetensors takes each memory once."""
    seen: set[tuple[int, torch.Size]] = set()
    kept = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() == 0 or place not in seen:
            kept[name] = tensor.contiguous()
            seen.add(place)
    return kept


def _restore_aliases(weights: dict[str, Tensor], ours: dict[str, Any]) -> None:
    places = {
        ours[name].untyped_storage().data_ptr(): tensor
        for name, tensor in weights.items()
        if name in ours
    }
    for name in set(ours) - set(weights):
        if (tensor := places.get(ours[name].untyped_storage().data_ptr())) is not None:
            weights[name] = tensor


def _write_manifest(folder: Path) -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        _sync(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    (folder / _MANIFEST).write_text(json.dumps({"files": files}, indent=1))
    _sync(folder / _MANIFEST)
    _sync(folder)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
