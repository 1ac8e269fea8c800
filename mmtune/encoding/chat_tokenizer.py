"""What is needed of a tokenizer: a transformers fast tokenizer has all of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tokenizers import AddedToken, Tokenizer

Messages = Sequence[Mapping[str, str]]


class ChatTokenizer(Protocol):
    """The part of transformers' `PreTrainedTokenizerFast` that encoding uses."""

    chat_template: Any
    bos_token: Any
    eos_token: Any
    unk_token: Any

    @property
    def backend_tokenizer(self) -> Tokenizer: ...

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]: ...

    @property
    def special_tokens_map(self) -> Mapping[str, Any]: ...

    def get_chat_template(self) -> str: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int: ...

    def convert_tokens_to_ids(self, tokens: Any) -> Any: ...
