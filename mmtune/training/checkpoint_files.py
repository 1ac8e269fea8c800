"""A checkpoint as a folder of files: written aside, proved by a manifest, renamed into place.

    checkpoints/step-120/
      model.safetensors       what is trained (an adapter's weights only, under LoRA)
      optimizer.safetensors   AdamW's moments
      state.json              step, place in the data, what the run is made of
      manifest.json           size and sha256 of each file; written last

No pickle, and no generator state: data order, noise and dropout are pure functions of seed and
place in the run.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

_MANIFEST = "manifest.json"
WEIGHTS, MOMENTS, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a checkpoint holds, in memory of its own: training may go on while it is written."""

    step: int
    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    state: Mapping[str, Any]
    """JSON"""


def write_snapshot(parent: Path, snapshot: Snapshot) -> Path:
    """Write `parent/step-<n>` whole or not at all, on the disk when this returns.

    Raises OSError or SafetensorError where it cannot be written; nothing of it is left then.
    """
    folder = parent / f"step-{snapshot.step}"
    aside = parent / f"step-{snapshot.step}.tmp-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        save_file(dict(snapshot.weights), aside / WEIGHTS)
        save_file(dict(snapshot.moments), aside / MOMENTS)
        (aside / STATE).write_text(json.dumps(snapshot.state, indent=1))
        _write_manifest(aside)
        if folder.exists():  # written by a run that this one goes back behind
            _set_aside(folder, "old")
        os.replace(aside, folder)
        sync(parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    shutil.rmtree(f"{folder}.old", ignore_errors=True)
    return folder


def read_snapshot(folder: Path) -> Snapshot:
    """What `write_snapshot` wrote; verify it first."""
    step = int(folder.name.removeprefix("step-"))
    weights, moments = load_file(folder / WEIGHTS), load_file(folder / MOMENTS)
    return Snapshot(step, weights, moments, read_state(folder))


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint."""
    state: dict[str, Any] = json.loads((folder / STATE).read_text())
    return state


def newest_good(parent: Path, tell: Callable[[str], None]) -> Path | None:
    """The newest checkpoint whose files are those of its manifest; damaged ones are told of."""
    found = sorted_checkpoints(parent)[::-1]
    for folder in found:
        if (fault := verify(folder)) is None:
            return folder
        tell(f"{folder} is damaged ({fault}); looking at the one before it")
    if found:
        tell(f"{parent} holds no good checkpoint: the run starts anew")
    return None


def verify(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        files = json.loads((folder / _MANIFEST).read_text())["files"]
        written = [(name, about["bytes"], about["sha256"]) for name, about in files.items()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"no readable manifest: {error!r}"
    if missing := sorted({WEIGHTS, MOMENTS, STATE} - {*files}):
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


def saved_steps(parent: Path) -> list[int]:
    """Step numbers of the finished checkpoints, oldest first."""
    return [int(path.name.removeprefix("step-")) for path in sorted_checkpoints(parent)]


def clear_way(parent: Path, step: int) -> None:
    """Before a run goes on from `step`: checkpoints past it, which proved damaged, are renamed so
    that none is counted on again; leftovers of saves that were cut short are removed."""
    for path in sorted_checkpoints(parent):
        if int(path.name.removeprefix("step-")) > step:
            _set_aside(path, "damaged")
    for path in parent.glob("step-*.tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def remove_old(parent: Path, keep_last: int, keep: Path | None) -> None:
    """Keep the newest `keep_last` checkpoints and `keep`. Called when a newer one lies on the disk
    whole, and never otherwise, so that the only good one is never removed."""
    for path in sorted_checkpoints(parent)[:-keep_last]:
        if path != keep:
            shutil.rmtree(path)


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_aside(path: Path, why: str) -> None:
    aside = path.with_name(f"{path.name}.{why}")
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(path, aside)


def _write_manifest(folder: Path) -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    (folder / _MANIFEST).write_text(json.dumps({"files": files}, indent=1))
    sync(folder / _MANIFEST)
    sync(folder)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
