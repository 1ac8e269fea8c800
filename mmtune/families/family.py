"""The Family protocol: everything the house needs to know about one kind of model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from mmtune.encoding.batches import Batch
from mmtune.encoding.store import TokenStore
from mmtune.families.outline import Outline
from mmtune.objectives.objective import Objective
from mmtune.types import Conversation

FAMILIES = {"text": "mmtune.families.text"}
"""Module of each family, imported when it is asked for."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready for work, with what it needs beside it."""

    model: Any
    """What is trained: the nn.Module that the family's objective reads"""
    tokenizer: Any
    chat_format: Any
    device: torch.device
    section: Any
    """The recipe's `model` section"""
    max_tokens: int
    """Longest conversation that the model has positions for"""
    notes: tuple[str, ...] = ()
    """What loading decided, one sentence each, to be printed"""


@dataclass(frozen=True, slots=True)
class Format:
    """The part of a model that turns conversations into tokens; no weights."""

    tokenizer: Any
    chat_format: Any
    added_ids: tuple[int, ...]
    """Of tokens that the tokenizer did not have as it was saved"""
    notes: tuple[str, ...]
    """What was decided, one sentence each, to be printed"""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How answers are sampled; temperature 0 is greedy."""

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    batch_size: int = 32
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """One answer."""

    example_id: str
    text: str
    stopped: bool
    """False where `max_new_tokens` cut the answer off"""
    extra: dict[str, Any] = field(default_factory=dict)


class Family(Protocol):
    """A module with these functions."""

    def load(self, section: Any, device: torch.device, *, seed: int, supervise: str) -> Loaded: ...

    def load_format(self, section: Any, supervise: str) -> Format: ...

    def outline(self, section: Any, made: Format) -> Outline: ...

    def batch(
        self, store: TokenStore, numbers: Sequence[int], keys: Sequence[int], pad_id: int | None
    ) -> Batch: ...

    def objective(self, section: Any) -> Objective: ...

    def generate(
        self, loaded: Loaded, conversations: Sequence[Conversation], settings: GenerationSettings
    ) -> list[Output]: ...

    def with_noise(self, loaded: Loaded, neftune_alpha: float) -> Loaded: ...

    def save_memory(self, loaded: Loaded) -> None: ...

    def save(self, loaded: Loaded, folder: Path, whole: Mapping[str, Tensor] | None) -> None: ...


def family(name: str) -> Family:
    """The family of that name."""
    return cast(Family, import_module(FAMILIES[name]))


def family_of(section: Any) -> Family:
    """The family of a recipe's `model` section; a text model that is an encoder-decoder, which only
    its checkpoint says, has doors of its own."""
    module = import_module(FAMILIES[section.family])
    pick = getattr(module, "doors", None)
    return cast(Family, pick(section) if pick else module)
