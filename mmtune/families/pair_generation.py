"""Answers of an encoder-decoder, in batches of prompts of like length."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmtune.encoding.control_tokens import Ids
from mmtune.families.family import GenerationSettings, Loaded, Output
from mmtune.families.generation import answered, sampling
from mmtune.families.pair_attention import plain_pair_attention
from mmtune.types import Conversation


@torch.inference_mode()
def generate(
    loaded: Loaded, conversations: Sequence[Conversation], settings: GenerationSettings
) -> list[Output]:
    """Answer each conversation, which ends with a user's turn; answers come in the order asked."""
    with plain_pair_attention(loaded.model.base):
        return answered(loaded, conversations, settings, _answer)


def _answer(loaded: Loaded, prompts: Sequence[Ids], settings: GenerationSettings) -> list[Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), loaded.tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.as_tensor(prompt, dtype=torch.int64)
        mask[row, : len(prompt)] = 1
    generated = loaded.model.base.generate(
        input_ids=ids.to(loaded.device),
        attention_mask=mask.to(loaded.device),
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        **sampling(settings),
    )
    return list(generated[:, 1:].cpu())  # without the token it starts from
