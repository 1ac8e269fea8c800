"""The layout for base models that have no chat template: LIMA's bare turns with a stop token."""

from mmtune.encoding.chat_tokenizer import ChatTokenizer

END_OF_TURN = "<|end_of_turn|>"

LIMA_TEMPLATE = (
    "{%- if bos_token is defined and bos_token -%}{{ bos_token }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}"
    "{{ message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] in ['user', 'assistant'] -%}"
    "{{ message['content'] + '" + END_OF_TURN + "' }}"
    "{%- else -%}"
    "{{ raise_exception('No such role in the LIMA layout: ' + message['role']) }}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
"""Jinja. No role headers: every utterance, the user's and the assistant's, is closed by a token
that is not the pretrained end of text (Zhou et al. 2023, LIMA, section 3). The paper has no system
turns; here one stands before the first user's text, closed by a blank line.

    system: Be kind.  user: Hi  assistant: Hello ->
    <s>Be kind.\\n\\nHi<|end_of_turn|>Hello<|end_of_turn|>
"""


def add_lima_format(tokenizer: ChatTokenizer) -> int:
    """Give the tokenizer the end-of-turn token and the LIMA chat template; returns the token's id.

    Doing it twice changes nothing more. The model's embeddings may have to grow: that is the
    family's part.
    """
    tokenizer.add_tokens([END_OF_TURN], special_tokens=True)
    tokenizer.chat_template = LIMA_TEMPLATE
    return int(tokenizer.convert_tokens_to_ids(END_OF_TURN))
