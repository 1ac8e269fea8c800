"""Whether weights fill a layout: every tensor there, of its size, of numbers, and none left over.

The library fills what is missing at random and goes on; here it is an error that names the tensor.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from mmtune.errors import ModelError
from mmtune.families.model_folder import Shapes

_NUMBERS = re.compile(r"\.\d+\.")


def check_filled(path: str, network: PreTrainedModel, loading: Mapping[str, Any]) -> None:
    if wrong := sorted(loading["mismatched_keys"]):
        key, found, expected = (*wrong[0], "", "")[:3]
        raise ModelError(_misfit(path, f"{key} is {_sizes(found)}, not {_sizes(expected)}"))
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(_misfit(path, f"{_some(missing)} not in the weights"))
    _check_no_more_layers(path, network, list(loading["unexpected_keys"]))
    for name, tensor in network.named_parameters():
        if not torch.isfinite(tensor.detach().sum(dtype=torch.float32)):
            raise ModelError(
                f"model.path {path!r}: {name} holds values that are no numbers (NaN or "
                "infinite); the checkpoint is of a run that diverged, or damaged"
            )


def check_shapes(path: str, network: PreTrainedModel, found: Shapes) -> None:
    """Compares tensors in the files with those of the layout, by name and shape.

    Only where every name in the files is one of the layout: others are renamed as they are loaded.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    _check_no_more_layers(path, network, [name for name in found if name not in wanted])
    if not found.keys() <= wanted.keys():
        return
    for name, shape in found.items():
        if shape != wanted[name]:
            raise ModelError(
                _misfit(path, f"{name} is {_sizes(shape)}, not {_sizes(wanted[name])}")
            )
    tied = set(network._tied_weights_keys or ())
    missing = [n for n, _ in network.named_parameters() if n not in found and n not in tied]
    if missing:
        raise ModelError(_misfit(path, f"{_some(missing)} not in the weights"))


def _check_no_more_layers(path: str, network: PreTrainedModel, extra: list[str]) -> None:
    """Weights of a layer past the config's last would be left out without a word."""
    ignored = [re.compile(p) for p in network._keys_to_ignore_on_load_unexpected or ()]
    kinds = {_NUMBERS.sub(".N.", name) for name, _ in network.named_parameters()}
    for name in extra:
        if _NUMBERS.sub(".N.", name) in kinds and not any(p.search(name) for p in ignored):
            raise ModelError(_misfit(path, f"{name} has no place in the model"))


def _misfit(path: str, what: str) -> str:
    return (
        f"model.path {path!r}: config.json and the weights are of two models: {what}; "
        "use the config.json that the weights came with"
    )


def _some(names: list[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more are" if len(names) > 1 else f"{names[0]} is"


def _sizes(shape: Any) -> str:
    return " x ".join(map(str, shape))
