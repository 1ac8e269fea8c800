"""Compares the prompts that are trained on with those that plain transformers serves."""

from collections.abc import Sequence

import numpy as np

from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.conversations import encode, joined
from mmtune.encoding.samples import Unencodable
from mmtune.encoding.skeleton import messages
from mmtune.encoding.turns import laid_out, plain_turns
from mmtune.errors import FormatError
from mmtune.types import Conversation


def check_served(fmt: ChatFormat, conversations: Sequence[Conversation]) -> int:
    """Compare prompts as trained with what `apply_chat_template` serves; returns how many.

    Looks at the last answer of each conversation. Left out are those that cannot be encoded or that
    hold the text of a control token, where serving by that function reads it as one. Raises
    FormatError at the first difference.
    """
    compared = 0
    for conversation in conversations:
        try:
            compared += _check_one(conversation, fmt)
        except Unencodable:
            continue
    return compared


def _check_one(conversation: Conversation, fmt: ChatFormat) -> int:
    said = plain_turns(conversation, fmt)
    answers = [number for number, turn in enumerate(said) if turn.role == "assistant"]
    if not answers or answers[-1] == 0 or any(fmt.control.count(turn.text) for turn in said):
        return 0
    sample = encode(conversation, fmt)
    asked = said[: answers[-1]]
    prompt_layout = laid_out(asked, fmt, generation=True)
    served = fmt.tokenizer.apply_chat_template(
        messages([turn.role for turn in asked], [turn.text for turn in asked]),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    trained = joined(prompt_layout, fmt, cut=True)
    prompt = joined(prompt_layout, fmt, cut=False)
    if not np.array_equal(prompt, served) or not np.array_equal(
        sample.ids[: len(trained)], trained
    ):
        raise FormatError(
            f"chat template: the prompt of example {conversation.example_id} is trained on as "
            f"{sample.ids[: len(trained)].tolist()} but served as {list(served)}; the template "
            "lays out a history otherwise than the same turns in training"
        )
    return 1
