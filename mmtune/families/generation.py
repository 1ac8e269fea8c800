"""Answers of a causal language model, in batches of prompts of like length."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmtune.encoding.control_tokens import Ids
from mmtune.encoding.conversations import encode_prompt
from mmtune.families.attention import attention_for_generation
from mmtune.families.family import GenerationSettings, Loaded, Output
from mmtune.types import Conversation


@torch.inference_mode()
def generate(
    loaded: Loaded, conversations: Sequence[Conversation], settings: GenerationSettings
) -> list[Output]:
    """Answer each conversation, which ends with a user's turn; answers come in the order asked."""
    with attention_for_generation(loaded.model.base):
        return answered(loaded, conversations, settings, _answer)


def answered(
    loaded: Loaded,
    conversations: Sequence[Conversation],
    settings: GenerationSettings,
    answer: Callable[[Loaded, Sequence[Ids], GenerationSettings], list[Tensor]],
) -> list[Output]:
    """Prompts of like length together, each batch drawn with a seed of its own."""
    prompts = [encode_prompt(conversation, loaded.chat_format) for conversation in conversations]
    by_length = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    outputs: dict[int, Output] = {}
    model = loaded.model.base
    was_training = model.training
    model.eval()
    for start in range(0, len(by_length), settings.batch_size):
        numbers = by_length[start : start + settings.batch_size]
        torch.manual_seed(settings.seed + start)
        answers = answer(loaded, [prompts[number] for number in numbers], settings)
        for number, ids in zip(numbers, answers, strict=True):
            outputs[number] = _output(loaded, conversations[number].example_id, ids)
    model.train(was_training)
    return [outputs[number] for number in range(len(prompts))]


def _answer(loaded: Loaded, prompts: Sequence[Ids], settings: GenerationSettings) -> list[Tensor]:
    model, pad_id = loaded.model.base, loaded.tokenizer.pad_token_id
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.as_tensor(prompt, dtype=torch.int64)
        mask[row, width - len(prompt) :] = 1
    generated = model.generate(
        input_ids=ids.to(loaded.device),
        attention_mask=mask.to(loaded.device),
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        **sampling(settings),
    )
    return list(generated[:, width:].cpu())


def sampling(settings: GenerationSettings) -> dict[str, Any]:
    """What transformers' `generate` must be told of how to draw."""
    if not settings.temperature:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    drawn = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    return {"do_sample": True, **drawn}


def _output(loaded: Loaded, example_id: str, answer: Tensor) -> Output:
    """Cut the answer at its first stop token."""
    stops = loaded.model.base.generation_config.eos_token_id
    ends = torch.isin(answer, torch.tensor(stops)).nonzero()
    stop = int(ends[0]) if len(ends) else len(answer)
    text = loaded.tokenizer.decode(answer[:stop], skip_special_tokens=True)
    return Output(example_id, text, stopped=bool(len(ends)))
