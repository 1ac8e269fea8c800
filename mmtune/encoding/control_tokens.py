"""Keeps the control tokens of a template apart from text in the data that is spelled like them.

The template's own control tokens are respelled by private aliases that no data can contain, and
the tokenizer is copied so that aliases are control tokens and the public spellings plain text. One
call of the tokenizer then reads both rightly, with text split where serving splits it.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer

from mmtune.encoding.chat_tokenizer import ChatTokenizer
from mmtune.encoding.samples import Unencodable

Ids = NDArray[np.int32]

_ANCHOR = "\x00"
"""Stands for the plain text before a piece; takes part in no merge, so that it can be cut off."""


def private_word() -> str:
    """A fresh word of 12 private-use characters (150 bits): data cannot hold it but by knowing it.

    No template trims such characters and no word-boundary rule takes them for letters.
    """
    return "".join(chr(0xE000 + secrets.randbelow(0x1900)) for _ in range(12))


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A stretch of text that is tokenised by itself. Controls are spelled by alias."""

    text: str
    before: str = ""
    """What stands before it: an alias, or `_ANCHOR` for text, or nothing at the very start."""
    controls: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ControlTokens:
    """A copy of the tokenizer that knows control tokens by alias only."""

    aliases: Mapping[str, str]
    pattern: re.Pattern[str]
    """Finds the public spellings."""
    backend: Tokenizer
    true_ids: Ids
    """[copy's vocabulary]: the tokenizer's id of each of the copy's ids."""
    is_alias: NDArray[np.bool_]
    is_control: NDArray[np.bool_]
    """True at the public ids, which the copy must never give."""
    adds_prefix: bool
    """It puts a space before each stretch of text, as sentencepiece does."""

    def spell(self, literal: str) -> str:
        """A template's literal text with each control token by its alias."""
        return self.pattern.sub(lambda match: self.aliases[match.group()], literal)

    def count(self, literal: str) -> int:
        """How many control tokens are spelled, publicly, in the text."""
        return len(self.pattern.findall(literal))

    def context(self, literal: str) -> str:
        """What to put before a piece that follows this literal (see `Piece.before`)."""
        found = [match for match in self.pattern.finditer(literal) if match.end() == len(literal)]
        if found:
            return self.aliases[found[0].group()]
        return _ANCHOR if literal and self.adds_prefix else ""

    def encode(self, pieces: Sequence[Piece]) -> list[tuple[Ids, Ids] | Unencodable]:
        """For each piece its ids, and the places of its control tokens in them, or why not."""
        texts = [piece.before + piece.text for piece in pieces]
        heads = {before: self._ids(before) for before in {piece.before for piece in pieces}}
        encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [
            self._checked(np.array(encoding.ids, dtype=np.int32), heads[piece.before], piece)
            for encoding, piece in zip(encodings, pieces, strict=True)
        ]

    def _checked(self, raw: Ids, head: Ids, piece: Piece) -> tuple[Ids, Ids] | Unencodable:
        if len(head):
            if not np.array_equal(raw[: len(head)], head):
                return Unencodable("boundary_merged", "the answer cannot be cut from its prompt")
            raw = raw[len(head) :]
        places = np.flatnonzero(self.is_alias[raw]).astype(np.int32)
        if self.is_control[raw].any() or len(places) != piece.controls:
            return Unencodable(
                "control_token_in_data", "its text cannot be kept apart from control tokens"
            )
        return self.true_ids[raw], places

    def _ids(self, text: str) -> Ids:
        ids = self.backend.encode(text, add_special_tokens=False).ids if text else []
        return np.array(ids, dtype=np.int32)


def control_tokens(tokenizer: ChatTokenizer, literals: Sequence[str]) -> ControlTokens:
    """Control tokens are the special ones, and other added tokens that the literals use.

    Added tokens that are neither stay what they are when met in data: Gemma's runs of newlines, or
    Qwen3's `<think>`, which the model itself writes. So does white space in literals.
    """
    control = {
        token.content: (number, token)
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special or any(_uses(literal, token.content) for literal in literals)
    }
    aliases = {content: private_word() for content in control}
    backend = _plain_reader(tokenizer.backend_tokenizer, frozenset(control))
    public_size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
    backend.add_tokens([_like(token, aliases[text]) for text, (_, token) in control.items()])
    size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
    true_ids = np.arange(size, dtype=np.int32)
    is_control = np.zeros(size, dtype=np.bool_)
    for text, (number, _) in control.items():
        true_ids[backend.token_to_id(aliases[text])] = number
        # the unknown token also stands for characters that the vocabulary lacks: no forgery
        is_control[number] = text != str(tokenizer.unk_token)
    return ControlTokens(
        aliases=aliases,
        pattern=_any_of(control),
        backend=backend,
        true_ids=true_ids,
        is_alias=np.arange(size) >= public_size,
        is_control=is_control,
        adds_prefix=_adds_prefix(backend),
    )


def _uses(literal: str, content: str) -> bool:
    return not content.isspace() and content in literal


def _any_of(contents: Mapping[str, object]) -> re.Pattern[str]:
    longest_first = sorted(contents, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _like(token: AddedToken, alias: str) -> AddedToken:
    return AddedToken(
        alias,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=False,
    )


def _plain_reader(backend: Tokenizer, control: frozenset[str]) -> Tokenizer:
    """A copy for which the control tokens' public spellings are plain text."""
    spec = json.loads(backend.to_str())
    for token in spec["added_tokens"]:
        token["special"] = token["content"] in control
    if spec["model"]["type"] == "Unigram":
        _hide_pieces(spec, control)
    copy = Tokenizer.from_str(json.dumps(spec))
    copy.encode_special_tokens = True
    copy.no_truncation()
    copy.no_padding()
    return copy


def _hide_pieces(spec: dict[str, Any], control: frozenset[str]) -> None:
    """Give the control tokens private spellings, each with its id. T5's unigram model has them
    among its own pieces: it would find them in text that no added token was looked for in."""
    hidden = {content: private_word() for content in control}
    for token in spec["added_tokens"]:
        token["content"] = hidden.get(token["content"], token["content"])
    vocabulary = spec["model"]["vocab"]
    spec["model"]["vocab"] = [[hidden.get(piece, piece), score] for piece, score in vocabulary]
    for steps in ("post_processor", "truncation", "padding"):  # name tokens by their old spelling
        spec[steps] = None


def _adds_prefix(backend: Tokenizer) -> bool:
    text = "x" if backend.normalizer is None else backend.normalizer.normalize_str("x")
    if backend.pre_tokenizer is not None:
        text = "".join(part for part, _ in backend.pre_tokenizer.pre_tokenize_str(text))
    return len(text) > 1
