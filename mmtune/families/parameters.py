"""Which parameters are trained: freezing by name, and the table a run prints at its start."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from mmtune.errors import ModelError

_ADAPTER = re.compile(r"\.(lora_\w+?|trainable_tokens_\w+?)\.")
_PEFT_WRAPPING = re.compile(r"^base_model\.model\.|\.base_layer(?=\.)|\.token_adapter(?=\.)")


@dataclass(frozen=True, slots=True)
class PartRow:
    """A line of the start-up table."""

    part: str
    parameters: int
    trainable: int


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Stop training the parameters whose full name matches one of the `fnmatch` patterns.

    Names are those of the plain model, also where an adapter wraps it; an adapter's own parameters
    lie under the layer they adapt. Call it after the adapter is applied, so that

        ["model.layers.0.*"]  freezes the bottom layer, its LoRA matrices included

    Raises ModelError, one fault for each pattern that matches nothing or nothing trainable, or
    when nothing is left to train.
    """
    parameters = list(_named(model))
    trained = {id(parameter) for _, parameter in parameters if parameter.requires_grad}
    faults, chosen = [], []
    for pattern in patterns:
        matched = [p for name, p in parameters if fnmatchcase(name, pattern)]
        if not matched:
            faults.append(_no_match(pattern, [name for name, _ in parameters]))
        elif not any(id(p) in trained for p in matched):
            faults.append(
                f"model.freeze: {pattern!r} matches only parameters that are frozen already "
                "(the adapter freezes the base model); remove it"
            )
        chosen += matched
    if faults:
        raise ModelError(*faults)
    if trained <= {id(parameter) for parameter in chosen}:
        raise ModelError(
            f"model.freeze: {list(patterns)} leave none of the {len(trained)} trainable tensors to "
            "train; narrow the patterns"
        )
    for parameter in chosen:
        parameter.requires_grad_(False)


def _no_match(pattern: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.3)
    return (
        f"model.freeze: {pattern!r} matches no parameter; patterns match the whole name, "
        f"e.g. {', '.join(near or names[:3])}"
    )


def trainable_table(model: nn.Module) -> list[PartRow]:
    """Parameters by part of the model, in the model's order; the last row is `all`.

    Layers are summed up under `*`, what an adapter adds has rows of its own, and a tied head is
    counted once, with the embeddings.

        model.embed_tokens                 10240      0
        model.layers.*.self_attn            6144      0
        model.layers.*.self_attn (adapter)  2304   2304
        all                                18688   2304
    """
    sums: dict[str, list[int]] = {}
    seen: set[int] = set()
    for name, parameter in _named(model):
        if id(parameter) in seen:
            continue
        seen.add(id(parameter))
        count = sums.setdefault(_part(name), [0, 0])
        count[0] += parameter.numel()
        count[1] += parameter.numel() * parameter.requires_grad
    rows = [PartRow(part, *count) for part, count in sums.items()]
    total, trainable = sum(row.parameters for row in rows), sum(row.trainable for row in rows)
    return [*rows, PartRow("all", total, trainable)]


def _part(name: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` -> `model.layers.*.mlp`"""
    adapter = _ADAPTER.search(name)
    module = name[: adapter.start()] if adapter else name.rpartition(".")[0]
    layer = re.match(r"(.*?\.)\d+\.([^.]+)", module)
    part = f"{layer[1]}*.{layer[2]}" if layer else module
    return f"{part} (adapter)" if adapter else part


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Under plain names; a tied parameter comes once under each of its names."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        yield _PEFT_WRAPPING.sub("", name), parameter
