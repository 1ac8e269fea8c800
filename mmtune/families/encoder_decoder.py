"""The text family's encoder-decoders (T5, FLAN-T5, T0): the same doors as `text` has."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mmtune.config.recipe import LoraAdapter, TextModel
from mmtune.encoding.chat_format import ChatFormat, Supervise
from mmtune.encoding.pair_layout import PAIR_TEMPLATE, add_pair_format
from mmtune.encoding.pairs import PairBatch, pack_pairs, pad_pairs
from mmtune.encoding.store import TokenStore
from mmtune.errors import FormatError, ModelError
from mmtune.families import text
from mmtune.families.adapters import apply_adapter
from mmtune.families.embeddings import output_head, resize_embeddings
from mmtune.families.family import Format, Loaded
from mmtune.families.loading import empty_network, load_network, load_tokenizer, resolved
from mmtune.families.model_folder import tensor_shapes
from mmtune.families.outline import Outline, outlined
from mmtune.families.pair_attention import set_pair_attention
from mmtune.families.pair_generation import generate
from mmtune.families.pair_model import PairModel, verified
from mmtune.families.parameters import freeze
from mmtune.families.text import objective, save_memory

__all__ = [
    "batch",
    "generate",
    "load",
    "load_format",
    "objective",
    "outline",
    "save",
    "save_memory",
    "with_noise",
]


def load(section: TextModel, device: torch.device, *, seed: int, supervise: Supervise) -> Loaded:
    """Load tokenizer and weights, add what the recipe asks for, and see whether packing is exact.

    Raises:
        ModelError: not found, not loadable, unknown layout, or a setting it has no place for.
        FormatError: a chat template that cannot be trained on.
    """
    _check_settings(section)
    torch.manual_seed(seed)  # adapters draw their first weights
    made = load_format(section, supervise)
    network = load_network(section, pairs=True)
    new_ids = resize_embeddings(network, made.tokenizer, added=made.added_ids)
    start_id = _start_id(section, network)
    _set_generation(network, made.tokenizer, made.chat_format, start_id)
    backend = set_pair_attention(network, section.attention, device)
    cast(nn.Module, network).to(device)
    seen = verified(PairModel(network, start_id))
    adapted = apply_adapter(network, section.adapter, new_token_ids=new_ids)
    freeze(adapted, section.freeze)
    keeps = "seen to keep packed documents apart" if seen.packs else "for padded batches only"
    notes = (*made.notes, f"attention: {backend}, {keeps}")
    positions = getattr(network.config, "max_position_embeddings", None) or sys.maxsize
    model = PairModel(adapted, start_id, packs=seen.packs)
    return Loaded(model, made.tokenizer, made.chat_format, device, section, positions, notes)


def with_noise(loaded: Loaded, neftune_alpha: float) -> Loaded:
    """The same model, training with NEFTune noise on what its encoder reads."""
    model: PairModel = loaded.model
    noisy = PairModel(model.network, model.start_id, packs=model.packs, neftune_alpha=neftune_alpha)
    return replace(loaded, model=noisy)


def load_format(section: TextModel, supervise: Supervise) -> Format:
    """Tokenizer and chat format as training has them; no weight is read.

    Raises:
        ModelError: no tokenizer can be loaded.
        FormatError: a chat template that cannot be trained on, or `supervise` other than answers.
    """
    if supervise == "all":
        raise FormatError(
            "data.supervise is all, but an encoder-decoder learns its answers only: what the "
            "encoder reads is never predicted; set it to assistant"
        )
    tokenizer = load_tokenizer(section)
    if section.chat_format != "lima":
        add_pair_format(tokenizer)
    fmt, added = text.prepare_tokenizer(section, tokenizer, supervise)
    fmt = replace(fmt, pairs=True)
    stop = tokenizer.convert_ids_to_tokens(fmt.stop_id)
    kind = "pairs" if tokenizer.chat_template == PAIR_TEMPLATE else fmt.kind
    notes = (
        f"chat format: {kind}, answers end with {stop}; of each conversation the last answer is "
        "learnt, what comes before it is the encoder's",
        *fmt.notes,
    )
    return Format(tokenizer, fmt, tuple(added), notes)


def outline(section: TextModel, made: Format) -> Outline:
    """Sizes of the model that `load` would give, from its config alone: no weight is read.

    Raises ModelError for what would stop `load` and needs no weights to be seen.
    """
    _check_settings(section)
    with torch.device("meta"):
        network = empty_network(section, pairs=True)
    _give_own_head(section, network)
    new_ids = resize_embeddings(network, made.tokenizer, added=made.added_ids)
    _start_id(section, network)
    set_pair_attention(network, section.attention, torch.device("cpu"))
    adapted = apply_adapter(network, section.adapter, new_token_ids=new_ids)
    freeze(adapted, section.freeze)
    found = outlined(network, adapted)
    # What is kept of a row of pairs is not known from its length: the formula must do.
    return replace(found, kept_bytes=lambda lengths: None)


def batch(
    store: TokenStore, numbers: Sequence[int], keys: Sequence[int], pad_id: int | None
) -> PairBatch:
    """One micro-batch: packed in a row of each side, or padded with `pad_id` where it is given."""
    samples = [store.sample(number) for number in numbers]
    return pack_pairs(samples, keys) if pad_id is None else pad_pairs(samples, keys, pad_id)


def save(loaded: Loaded, folder: Path, whole: Mapping[str, Tensor] | None) -> None:
    """As `text.save`; the config says so where the head is not the embeddings (T5 1.1, FLAN-T5):
    transformers 5 writes that they are tied, and looks at the weights for the truth."""
    text.save(loaded, folder, whole)
    base: PreTrainedModel = loaded.model.base
    head, embeddings = output_head(base), base.get_input_embeddings()
    if head is not None and head.weight is not embeddings.weight:
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) | {"tie_word_embeddings": False}
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _check_settings(section: TextModel) -> None:
    """Raise ModelError, one fault for each setting that an encoder-decoder has no place for."""
    faults = []
    if section.residual_dropout:
        faults.append(
            "model.residual_dropout is for decoders; an encoder-decoder has dropout of its own "
            "(dropout_rate in config.json); set model.residual_dropout to 0.0"
        )
    if section.compile:
        faults.append("model.compile is for decoders; set it to false for an encoder-decoder")
    if isinstance(section.adapter, LoraAdapter) and section.chat_format == "lima":
        faults.append(
            "model.chat_format: lima adds a token, whose rows LoRA cannot train in an "
            "encoder-decoder; set it to auto, or model.adapter.kind to none"
        )
    if faults:
        raise ModelError(*(f"model.path {section.path!r}: {fault}" for fault in faults))


def _give_own_head(section: TextModel, network: PreTrainedModel) -> None:
    """On the meta device, as loading would: a head that is in the weights is not the embeddings,
    whatever the config says. Of a hub id, it is not known."""
    folder = Path(resolved(section))
    head = output_head(network)
    if head is not None and folder.is_dir():
        names = {name for name, module in network.named_modules() if module is head}
        if tensor_shapes(folder, section.path).keys() & {f"{name}.weight" for name in names}:
            head.weight = nn.Parameter(torch.empty_like(head.weight))


def _start_id(section: TextModel, network: PreTrainedModel) -> int:
    """The token that the decoder starts from. Raises ModelError where nothing says which."""
    for settings in (network.config, network.generation_config):
        found = getattr(settings, "decoder_start_token_id", None)
        if found is not None:
            return int(found)
    kind = str(network.config.model_type)
    if kind in ("t5", "mt5", "umt5") and network.config.pad_token_id is not None:
        return int(network.config.pad_token_id)  # as T5 does (Raffel et al. 2020)
    raise ModelError(
        f"model.path {section.path!r}: its config does not say from which token the decoder "
        "starts; set decoder_start_token_id in config.json"
    )


def _set_generation(  # type: ignore[no-untyped-def]
    network: PreTrainedModel, tokenizer, fmt: ChatFormat, start_id: int
) -> None:
    """Generation starts as training does, and ends at what it taught as the end of an answer."""
    settings = network.generation_config
    stops = dict.fromkeys([*fmt.stop_ids, tokenizer.eos_token_id])
    settings.eos_token_id = [stop for stop in stops if stop is not None]
    settings.pad_token_id = tokenizer.pad_token_id
    settings.decoder_start_token_id = start_id
    settings.forced_bos_token_id = None  # answers are learnt without
