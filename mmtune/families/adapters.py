"""LoRA on a transformers model: put on, merge into a plain model, save.

What is trained under it besides the adapter (frozen patterns) is in `parameters`, the rows of new
tokens in `embeddings`.
"""

import copy
import difflib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils.other import TrainableTokensWrapper
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

from mmtune.config.recipe import LoraAdapter, NoAdapter
from mmtune.errors import ModelError
from mmtune.families.embeddings import output_head

Model = PreTrainedModel | PeftModel
ALL_LINEAR = "all-linear"
_ADAPTER_NAME = "default"


def apply_adapter(
    model: PreTrainedModel, section: LoraAdapter | NoAdapter, *, new_token_ids: Sequence[int]
) -> Model:
    """The model with the adapter of `section`; with none, the model itself.

    The base is frozen. The rows of `new_token_ids` (a fresh end-of-turn token) are trained beside
    LoRA, in the embeddings and, where it is not tied to them, in the head: LoRA alone would leave
    them as initialised, and saving both matrices whole would make the adapter as big as they are.
    A is drawn from torch's global generator, B is zero: the model's outputs do not change yet.

    Code that reads the head's matrix must do so through the module's `weight` each step: it is
    then the matrix with the trained rows in place, not a Parameter.

    Raises ModelError, one fault for each target that names no linear layer.
    """
    if isinstance(section, NoAdapter):
        return model
    config = LoraConfig(
        r=section.rank,
        lora_alpha=cast(int, section.alpha),  # any number, though it is annotated as int
        lora_dropout=section.dropout,
        target_modules=_targets(model, section.target_modules),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        trainable_token_indices=_token_rows(model, list(new_token_ids)),
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
    )
    adapted = get_peft_model(model, config, adapter_name=_ADAPTER_NAME)
    assert isinstance(adapted, PeftModel)
    return adapted


def _targets(model: PreTrainedModel, wanted: list[str]) -> str | list[str]:
    if wanted == [ALL_LINEAR]:
        return ALL_LINEAR
    linear = _linear_layers(model)
    faults = [
        _no_layer(target, linear)
        for target in wanted
        if not any(name == target or name.endswith(f".{target}") for name in linear)
    ]
    if faults or not wanted:
        raise ModelError(*(faults or [_no_layer("", linear)]))
    return wanted


def _linear_layers(model: PreTrainedModel) -> list[str]:
    """Full names of the layers LoRA may adapt. Not the head: where it is tied, the embeddings
    would have to change with it, and merging would untie the two."""
    head = output_head(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    ]


def _no_layer(target: str, linear: list[str]) -> str:
    leaves = sorted({name.rpartition(".")[2] for name in linear})
    near = difflib.get_close_matches(target, [*leaves, ALL_LINEAR], n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return (
        f"model.adapter.target_modules: {target!r} is no linear layer that can be adapted{hint} "
        f"There are {', '.join(leaves)}; or [{ALL_LINEAR}], by itself, for all of them"
    )


def _token_rows(model: PreTrainedModel, ids: list[int]) -> dict[str, list[int]] | None:
    """peft's `trainable_token_indices`; it carries the rows to a tied head on its own."""
    if not ids:
        return None
    embeddings, head = model.get_input_embeddings(), output_head(model)
    names = {module: name for name, module in model.named_modules()}
    rows = {names[embeddings]: ids}
    if head is not None and head.weight is not embeddings.weight:
        if getattr(head, "bias", None) is not None:  # peft 0.21 computes such a head without it
            raise ModelError(
                f"model.adapter: new tokens cannot be trained under LoRA in the head of "
                f"{type(model).__name__}, which has a bias; use model.adapter.kind=none"
            )
        rows[names[head]] = ids
    return rows


def merged(model: Model) -> PreTrainedModel:
    """A plain model on the CPU, in eval mode, with the adapter's weights added in.

    The given model is only read and can be trained on: merging in place and taking the change out
    again would leave rounding behind in the base weights. Without an adapter it is the model
    itself. Sums are made in float32 and rounded once to the weights' own type.
    """
    if isinstance(model, PreTrainedModel):
        return model
    base = cast(PreTrainedModel, model.get_base_model())
    with torch.device("meta"):
        names = list(type(base)(copy.deepcopy(base.config)).state_dict())
    with _no_progress_bar():
        plain: PreTrainedModel = type(base).from_pretrained(
            None,
            config=copy.deepcopy(base.config),
            state_dict={name: _plain_tensor(base, name) for name in names},
            dtype=base.dtype,
        )
    plain.generation_config = copy.deepcopy(base.generation_config)
    return plain  # from_pretrained gives it in eval mode


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers' bar for reading a checkpoint; here the tensors are in memory already."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@torch.no_grad()
def _plain_tensor(base: nn.Module, name: str) -> Tensor:
    """A copy of the tensor a plain model has under `name`, adapter included."""
    path, _, leaf = name.rpartition(".")
    module = base.get_submodule(path)
    if isinstance(module, LoraLayer):
        tensor = getattr(module.get_base_layer(), leaf)
        if leaf == "weight":
            change = cast(nn.Module, module).get_delta_weight(_ADAPTER_NAME)  # type: ignore[operator]
            tensor = (tensor.float() + change.float()).to(tensor.dtype)
    elif isinstance(module, TrainableTokensWrapper):
        tensor = module.token_adapter.get_merged_weights([_ADAPTER_NAME])
    else:
        tensor = getattr(module, leaf)
    return cast(Tensor, tensor).detach().to("cpu", copy=True)


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter alone (safetensors) for `PeftModel.from_pretrained(base, folder)`.

    Rows of new tokens are in it, the rest of the embeddings is not: where tokens were added, give
    the base model its rows first (`base.resize_token_embeddings(len(tokenizer))`).
    """
    card = folder / "README.md"
    had_card = card.exists()
    with warnings.catch_warnings():
        # It cannot tell whether a base without a folder was resized; the rows are in there anyhow.
        warnings.filterwarnings("ignore", message="Could not find a config file")
        model.save_pretrained(str(folder), save_embedding_layers=False)
    if not had_card:
        card.unlink(missing_ok=True)  # peft's is a form that nobody filled in
