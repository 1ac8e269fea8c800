"""From a model and its optimizer to a snapshot, and back: all ranks take part, one holds it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from mmtune.errors import CheckpointError
from mmtune.training.checkpoint_files import Snapshot, read_snapshot


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come, and what it must be resumed with."""

    step: int = 0
    epoch: int = 0
    window: int = 0
    index: int = 0
    """next step within the window"""
    position: float = 0.0
    """epochs done"""
    due: bool = False
    """The recipe asks for a save here, and so for a measurement; else a signal did."""
    pieces: int = 1
    """Parts that each micro-batch is run in, where one alone ran out of memory."""
    recent_losses: tuple[float, ...] = ()
    """What a sudden rise is judged by (`train.spike_stop`)."""
    spikes: int = 0
    """Steps in a row that rose"""
    made_of: Mapping[str, str] = field(default_factory=dict)
    """Facts about data, tokenizer and chat template that must not change."""


def take_snapshot(
    model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, main: bool
) -> Snapshot | None:
    """Copy all that a checkpoint holds to the host. Every rank calls it, the main one gets it."""
    weights, moments = _states(model, optimizer)
    if not main:
        return None
    live = {tensor.data_ptr() for tensor in model.state_dict().values()}
    live |= {
        value.data_ptr()
        for entries in optimizer.state.values()
        for value in entries.values()
        if isinstance(value, Tensor)
    }
    state = {"progress": asdict(progress), "groups": moments["param_groups"]}
    return Snapshot(
        progress.step,
        _detached(_without_aliases(weights), live),
        _detached(_flat(moments["state"]), live),
        state,
    )


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> Progress:
    """Put a verified checkpoint's weights (and moments) in place.

    Raises:
        CheckpointError: it does not fit the model.
    """
    found = read_snapshot(folder)
    weights = dict(found.weights)
    ours, _ = _states(model, optimizer)
    _restore_aliases(weights, ours)
    if missing := sorted(set(ours) - set(weights)):
        raise CheckpointError(
            f"{folder}: the checkpoint lacks {len(missing)} of the model's trained tensors, "
            f"{missing[0]!r} first; it belongs to another recipe"
        )
    saved: dict[str, Any] = {}
    if optimizer is not None:
        saved = {"state": _nested(found.moments), "param_groups": found.state["groups"]}
    set_state_dict(
        model,
        optimizer or [],
        model_state_dict=cast(Any, weights),
        optim_state_dict=saved,
        options=_options(strict=False),
    )
    return progress_of(found.state)


def progress_of(state: Mapping[str, Any]) -> Progress:
    """As `take_snapshot` wrote it."""
    fields = dict(state["progress"])
    return Progress(**fields | {"recent_losses": tuple(fields["recent_losses"])})


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights on the CPU, gathered from their shards; every rank must call it."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(model, options=options))


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


def _detached(tensors: Mapping[str, Tensor], live: set[int]) -> dict[str, Tensor]:
    """The same values in memory that training does not write to: what came from another device
    or from shards is a copy already."""
    return {
        name: tensor.clone() if tensor.data_ptr() in live else tensor
        for name, tensor in tensors.items()
    }


def _flat(state: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """`{"a.weight": {"exp_avg": x}}` -> `{"a.weight.exp_avg": x}`"""
    return {
        f"{parameter}.{name}": value.contiguous()
        for parameter, entries in state.items()
        for name, value in entries.items()
    }


def _nested(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
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
