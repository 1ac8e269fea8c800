"""The layout of conversations for an encoder-decoder: what its encoder reads, what it is to say."""

from collections.abc import Sequence

from mmtune.encoding.chat_tokenizer import ChatTokenizer
from mmtune.encoding.samples import Unencodable
from mmtune.encoding.turns import Said

PAIR_TEMPLATE = (
    "{%- if bos_token is defined and bos_token -%}{{ bos_token }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}"
    "{{ message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] in ['user', 'assistant'] -%}"
    "{{ message['content'] + eos_token }}"
    "{%- else -%}"
    "{{ raise_exception('No such role in the layout of pairs: ' + message['role']) }}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
"""Jinja. Input and target are plain text, each closed by EOS, as T5, T0 and FLAN-T5 were trained
(Raffel et al. 2020, section 2.4: text in, text out). The turns of a longer history stand one after
another, each closed by EOS: so does T5's own tokenizer join two texts.

    system: Be kind.  user: Hi  assistant: Hello
    encoder: Be kind.\\n\\nHi</s>                     decoder: Hello</s>
    user: Hi  assistant: Hello  user: Bye  assistant: See you
    encoder: Hi</s>Hello</s>Bye</s>                  decoder: See you</s>
"""


def add_pair_format(tokenizer: ChatTokenizer) -> None:
    """Give a tokenizer that has no chat template the layout of pairs."""
    if not tokenizer.chat_template:
        tokenizer.chat_template = PAIR_TEMPLATE


def as_pair(said: Sequence[Said]) -> list[Said]:
    """The turns up to the last answer; only that is learnt, since it alone is the decoder's.

    Raises Unencodable for what is no pair: a document, no answer, an answer to nothing.
    """
    if any(turn.role == "document" for turn in said):
        raise Unencodable(
            "document_without_prompt",
            "an encoder-decoder learns answers to prompts; running text has no prompt",
        )
    answers = [number for number, turn in enumerate(said) if turn.role == "assistant"]
    if not answers or answers[-1] == 0:
        raise Unencodable("no_pair", "an encoder-decoder needs a prompt and an answer after it")
    before = [Said(turn.role, turn.text, learn=False) for turn in said[: answers[-1]]]
    return [*before, said[answers[-1]]]
