"""The text family: causal language models of transformers."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from mmtune.config.recipe import TextModel
from mmtune.encoding.batches import TokenBatch, pack, pad
from mmtune.encoding.chat_format import ChatFormat, Supervise, chat_format
from mmtune.encoding.store import TokenStore
from mmtune.errors import FormatError, ModelError
from mmtune.families.adapters import apply_adapter, merged, save_adapter
from mmtune.families.attention import (
    document_arguments,
    plain_attention,
    set_attention,
    verify_isolation,
)
from mmtune.families.embeddings import resize_embeddings
from mmtune.families.family import Format, Loaded
from mmtune.families.generation import generate
from mmtune.families.head import head_parameters, hidden_scale, verify_head
from mmtune.families.loading import (
    empty_network,
    is_encoder_decoder,
    load_network,
    load_tokenizer,
)
from mmtune.families.noise import neftune_noise, noisy_embeddings
from mmtune.families.outline import Outline, outlined
from mmtune.families.parameters import freeze
from mmtune.families.residual_dropout import add_residual_dropout
from mmtune.objectives.next_token import next_token
from mmtune.objectives.objective import Objective

__all__ = [
    "LanguageModel",
    "batch",
    "generate",
    "load",
    "load_format",
    "objective",
    "outline",
    "save",
]


class LanguageModel(nn.Module):
    """A causal language model seen as hidden states and a head, so that no one makes its logits
    at positions where nothing is learnt."""

    def __init__(self, network: nn.Module, neftune_alpha: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.neftune_alpha = neftune_alpha
        self._no_split_modules = list(self.base._no_split_modules or ())

    @property
    def base(self) -> PreTrainedModel:
        """The transformers model, also under an adapter."""
        if isinstance(self.network, PreTrainedModel):
            return self.network
        return cast(PreTrainedModel, cast(PeftModel, self.network).get_base_model())

    @property
    def softcap(self) -> float:
        return getattr(self.base.config, "final_logit_softcapping", None) or 0.0

    def head(self) -> tuple[Tensor, Tensor | None]:
        """Weight [vocabulary, width] and bias [vocabulary] of the output layer."""
        return head_parameters(self.base)

    def hidden_states(self, batch: TokenBatch) -> Tensor:
        """[rows, tokens, width], what the head reads."""
        base = self.base
        lengths = batch.document_lengths if len(batch.ids) == 1 else ()
        with self._noise(batch):
            hidden = base.get_decoder()(
                input_ids=batch.ids,
                position_ids=batch.positions,
                use_cache=False,  # with a cache, transformers lets packed documents see each other
                **document_arguments(base, lengths),
            ).last_hidden_state
        scale = hidden_scale(base.config)
        return hidden if scale == 1.0 else hidden * scale

    def _noise(self, batch: TokenBatch) -> AbstractContextManager[None]:
        if not (self.training and self.neftune_alpha):
            return nullcontext()
        embeddings = cast(Tensor, self.base.get_input_embeddings().weight)
        noise = neftune_noise(
            *batch.noise_streams(),
            dim=embeddings.shape[1],
            alpha=self.neftune_alpha,
            device=embeddings.device,
        )
        return noisy_embeddings(self.base, noise)


def doors(section: TextModel) -> ModuleType:
    """This module, or that of encoder-decoders where the checkpoint is one."""
    try:
        pairs = is_encoder_decoder(section)
    except ModelError:
        pairs = False  # `load` says what is wrong with it
    return import_module("mmtune.families.encoder_decoder" if pairs else __name__)


def load(section: TextModel, device: torch.device, *, seed: int, supervise: Supervise) -> Loaded:
    """Load tokenizer and weights, add what the recipe asks for, and prove that packing is exact.

    Raises:
        ModelError: not found, not loadable, unknown layout, or a backend that mixes documents.
        FormatError: a chat template that cannot be trained on.
    """
    torch.manual_seed(seed)  # adapters draw their first weights
    made = load_format(section, supervise)
    tokenizer, fmt = made.tokenizer, made.chat_format
    network = load_network(section)
    new_ids = resize_embeddings(network, tokenizer, added=made.added_ids)
    _set_stops(network, tokenizer, fmt)
    backend = set_attention(network, section.attention, device)
    cast(nn.Module, network).to(device)
    verify_isolation(network)
    verify_head(network)
    if section.residual_dropout:
        add_residual_dropout(network, section.residual_dropout)
    adapted = apply_adapter(network, section.adapter, new_token_ids=new_ids)
    freeze(adapted, section.freeze)
    notes = (*made.notes, f"attention: {backend}, seen to keep packed documents apart")
    positions = getattr(network.config, "max_position_embeddings", None) or sys.maxsize
    return Loaded(LanguageModel(adapted), tokenizer, fmt, device, section, positions, notes)


def with_noise(loaded: Loaded, neftune_alpha: float) -> Loaded:
    """The same model, training with NEFTune noise."""
    return replace(loaded, model=LanguageModel(loaded.model.network, neftune_alpha))


def load_format(section: TextModel, supervise: Supervise) -> Format:
    """Tokenizer and chat format as training has them; no weight is read.

    Raises:
        ModelError: no tokenizer can be loaded.
        FormatError: a chat template that cannot be trained on.
    """
    tokenizer = load_tokenizer(section)
    fmt, added = prepare_tokenizer(section, tokenizer, supervise)
    stop = tokenizer.convert_ids_to_tokens(fmt.stop_id)
    notes = (f"chat format: {fmt.kind}, answers end with {stop}", *fmt.notes)
    return Format(tokenizer, fmt, tuple(added), notes)


def outline(section: TextModel, made: Format) -> Outline:
    """Sizes of the model that `load` would give, from its config alone: no weight is read.

    Raises ModelError for what would stop `load` and needs no weights to be seen.
    """
    with torch.device("meta"):
        network = empty_network(section)
    new_ids = resize_embeddings(network, made.tokenizer, added=made.added_ids)
    set_attention(network, section.attention, torch.device("cpu"))
    if section.residual_dropout:
        add_residual_dropout(network, section.residual_dropout)
    adapted = apply_adapter(network, section.adapter, new_token_ids=new_ids)
    freeze(adapted, section.freeze)
    return outlined(network, adapted)


def prepare_tokenizer(  # type: ignore[no-untyped-def]
    section: TextModel, tokenizer, supervise: Supervise
) -> tuple[ChatFormat, list[int]]:
    """The chat format, and the ids of tokens that the LIMA layout added to the tokenizer."""
    before = set(tokenizer.get_added_vocab().values())
    try:
        fmt = chat_format(tokenizer, section.chat_format, supervise)
    except FormatError as error:
        raise FormatError(
            *(f"model.path {section.path!r}: {fault}" for fault in error.faults)
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return fmt, sorted(set(tokenizer.get_added_vocab().values()) - before)


def batch(
    store: TokenStore, numbers: Sequence[int], keys: Sequence[int], pad_id: int | None
) -> TokenBatch:
    """One micro-batch: packed in a row, or padded with `pad_id` where that is given."""
    samples = [store.sample(number) for number in numbers]
    return pack(samples, keys) if pad_id is None else pad(samples, keys, pad_id)


def objective(section: TextModel) -> Objective:
    return next_token


def save(loaded: Loaded, folder: Path, whole: Mapping[str, Tensor] | None) -> None:
    """Write what plain `from_pretrained` loads; an adapter merged, and beside it unmerged.

    `whole` holds the full weights by the names in `loaded.model`, where those in it are sharded.
    """
    network = loaded.model.network
    if whole is not None:
        prefix = "network."
        state = {name.removeprefix(prefix): tensor for name, tensor in whole.items()}
        network.save_pretrained(folder, state_dict=state)
    else:
        plain = merged(network)
        plain.set_attn_implementation(plain_attention(plain))
        plain.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    if network is not loaded.model.base:
        save_adapter(network, folder / "adapter")


def save_memory(loaded: Loaded) -> None:
    """Keep no activations inside layers; make them again in the backward."""
    base = loaded.model.base
    # The first name is that of transformers 5.2x, the second of those before.
    enable = getattr(base, "activation_checkpointing_enable", base.gradient_checkpointing_enable)
    enable({"use_reentrant": False})


def _set_stops(network: PreTrainedModel, tokenizer, format_: ChatFormat) -> None:  # type: ignore[no-untyped-def]
    """Generation ends at what training taught as the end of a turn, and at the old EOS."""
    stops = [*format_.stop_ids]
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in stops:
        stops.append(tokenizer.eos_token_id)
    network.generation_config.eos_token_id = stops
    network.generation_config.pad_token_id = tokenizer.pad_token_id
