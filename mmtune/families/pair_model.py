"""An encoder-decoder seen as hidden states and a head, and the proof that it computes as alone."""

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from mmtune.encoding.pairs import START, PairBatch, pack_pairs, pad_pairs
from mmtune.encoding.samples import TokenSample
from mmtune.errors import ModelError
from mmtune.families.head import head_parameters, hidden_scale
from mmtune.families.noise import neftune_noise, noisy_embeddings
from mmtune.families.pair_attention import pair_arguments, plain_pair_attention

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 6e-2, torch.float16: 1e-2}
_PROBE = ((5, 4), (9, 1), (3, 6))
"""Input and target tokens of the documents that are tried"""


class PairModel(nn.Module):
    """What the objective reads: the decoder's hidden states at the targets, and the head."""

    def __init__(
        self,
        network: nn.Module,
        start_id: int,
        *,
        packs: bool = True,
        neftune_alpha: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.start_id = start_id
        self.packs = packs
        """Whether documents packed in a row compute as alone."""
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

    def hidden_states(self, batch: PairBatch) -> Tensor:
        """[rows, target tokens, width], what the head reads.

        Raises ModelError for a packed batch where the layout cannot keep documents apart.
        """
        if not self.packs and batch.packed and len(batch.input_lengths) > 1:
            raise ModelError(
                f"{type(self.base).__name__}: packed documents would not be computed as they are "
                "alone (its positions count on through a row); set train.batching.kind to padded "
                "or length_grouped"
            )
        base = self.base
        for_encoder, for_decoder = pair_arguments(base, batch)
        with self._noise(batch):
            read = base.get_encoder()(input_ids=batch.inputs, **for_encoder).last_hidden_state
        hidden: Tensor = base.get_decoder()(
            input_ids=batch.ids.masked_fill(batch.ids == START, self.start_id),
            encoder_hidden_states=read,
            use_cache=False,
            **for_decoder,
        ).last_hidden_state
        scale = hidden_scale(base.config)
        return hidden if scale == 1.0 else hidden * scale

    def _noise(self, batch: PairBatch) -> AbstractContextManager[None]:
        """On what the encoder reads: the decoder reads the answer itself."""
        if not (self.training and self.neftune_alpha):
            return nullcontext()
        encoder = cast(PreTrainedModel, self.base.get_encoder())
        embeddings = cast(Tensor, encoder.get_input_embeddings().weight)
        noise = neftune_noise(
            *batch.noise_streams(),
            dim=embeddings.shape[1],
            alpha=self.neftune_alpha,
            device=embeddings.device,
        )
        return noisy_embeddings(encoder, noise)


def verified(model: PairModel) -> PairModel:
    """The model, knowing whether it can be fed packed rows.

    Logits of a few documents, padded and packed, are compared with those that transformers alone
    gives for each. Raises ModelError where the padded ones differ.
    """
    samples = _probe(model)
    was_training = model.training
    model.eval()
    keys = [0] * len(samples)
    pad_id = model.base.config.pad_token_id or 0
    with torch.no_grad():
        alone = torch.cat([_plain_logits(model, sample) for sample in samples])
        padded = _error(_logits(model, pad_pairs(samples, keys, pad_id)), alone)
        packed = _error(_logits(model, pack_pairs(samples, keys)), alone)
    model.train(was_training)
    allowed = _TOLERANCE[alone.dtype]
    if not padded < allowed:  # nan is not less either
        raise ModelError(
            f"{type(model.base).__name__} with attention "
            f"{model.base.config._attn_implementation!r}: its logits are computed in a way that "
            f"mmtune does not know (they differ by {padded:.1%}); set model.attention to another "
            "backend, or this layout cannot be trained yet"
        )
    model.packs = packed < allowed
    return model


def _probe(model: PairModel) -> list[TokenSample]:
    rows = cast(nn.Embedding, model.base.get_input_embeddings()).num_embeddings
    total = sum(a + b for a, b in _PROBE)
    ids = (np.arange(total) * 7919 % rows).astype(np.int32)
    ends = np.cumsum([a + b for a, b in _PROBE])
    return [
        TokenSample(part, np.arange(len(part)) >= prompt, "probe", "")
        for part, (prompt, _) in zip(np.split(ids, ends[:-1]), _PROBE, strict=True)
    ]


def _logits(model: PairModel, batch: PairBatch) -> Tensor:
    """[targets, vocabulary] of all documents, in order."""
    weight, bias = model.head()
    moved = batch.to(weight.device)
    keeps, model.packs = model.packs, True
    hidden = model.hidden_states(moved).flatten(0, 1).index_select(0, moved.learnt)
    model.packs = keeps
    logits = nn.functional.linear(hidden, weight, bias)
    return model.softcap * torch.tanh(logits / model.softcap) if model.softcap else logits


def _plain_logits(model: PairModel, sample: TokenSample) -> Tensor:
    """[targets, vocabulary], by transformers alone."""
    batch = pack_pairs([sample], [0]).to(model.head()[0].device)
    with plain_pair_attention(model.base):
        logits: Tensor = model.base(
            input_ids=batch.inputs,
            decoder_input_ids=batch.ids.masked_fill(batch.ids == START, model.start_id),
            use_cache=False,
        ).logits
    return logits[0]


def _error(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).float().norm() / theirs.float().norm().clamp_min(1e-12)).item()
