"""Conversation -> TokenSample in a ChatFormat, alone or many at once. Nothing is cut short here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.control_tokens import Ids, Piece
from mmtune.encoding.frames import Frame
from mmtune.encoding.pair_layout import as_pair
from mmtune.encoding.samples import TokenSample, Unencodable
from mmtune.encoding.turns import Said, laid_out, plain_turns
from mmtune.errors import FormatError
from mmtune.types import Conversation, Dropped

_CHUNK = 1000
"""Conversations handed to the tokenizer at once."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Text cut into pieces, and for each piece but the first what is learnt of its answer."""

    pieces: list[Piece]
    answers: list[tuple[bool, int]]
    """(learn, number of control tokens in the piece before the one that closes the answer)."""
    document: bool = False


def encode(conversation: Conversation, fmt: ChatFormat) -> TokenSample:
    """The conversation in tokens; Unencodable with the reason where it has no place in the format.

    Learnt are each answer from the end of its generation prompt to the token that closes it, or
    everything but BOS where `fmt.supervise` is `all`. A `document` is BOS, text, EOS.

        user: Hi  assistant: Hello -> <s> Hi <|end_of_turn|> Hello <|end_of_turn|>
                                      0   0   0               1     1
    """
    prepared = _prepared(conversation, fmt)
    return _assembled(conversation, fmt, prepared, fmt.control.encode(prepared.pieces))


def encode_many(
    conversations: Iterable[Conversation], fmt: ChatFormat
) -> list[TokenSample | Dropped]:
    """`encode` for many, in their order; what cannot be encoded is Dropped with its reason."""
    results: list[TokenSample | Dropped] = []
    chunk: list[Conversation] = []
    for conversation in conversations:
        chunk.append(conversation)
        if len(chunk) == _CHUNK:
            results += _encode_chunk(chunk, fmt)
            chunk = []
    return results + _encode_chunk(chunk, fmt)


def encode_prompt(conversation: Conversation, fmt: ChatFormat) -> Ids:
    """What the model is given to answer a conversation that ends in a user's turn: int32 [tokens].

    Equal to `apply_chat_template(..., add_generation_prompt=True)`, but that control tokens in the
    contents stay plain text. A conversation with no user's turn last is Unencodable.
    """
    said = plain_turns(conversation, fmt)
    if not said or said[-1].role != "user":
        raise Unencodable("no_user_turn_last", "a prompt must end in a user's turn")
    return joined(laid_out(said, fmt, generation=True), fmt, cut=False)


def _encode_chunk(chunk: Sequence[Conversation], fmt: ChatFormat) -> list[TokenSample | Dropped]:
    prepared = [_or_reason(conversation, fmt) for conversation in chunk]
    pieces = [p for item in prepared if isinstance(item, _Prepared) for p in item.pieces]
    encoded = iter(fmt.control.encode(pieces))
    results: list[TokenSample | Dropped] = []
    for conversation, item in zip(chunk, prepared, strict=True):
        if isinstance(item, Unencodable):
            results.append(_dropped(conversation, item))
            continue
        mine = [next(encoded) for _ in item.pieces]
        try:
            results.append(_assembled(conversation, fmt, item, mine))
        except Unencodable as reason:
            results.append(_dropped(conversation, reason))
    return results


def _or_reason(conversation: Conversation, fmt: ChatFormat) -> _Prepared | Unencodable:
    try:
        return _prepared(conversation, fmt)
    except Unencodable as reason:
        return reason


def _dropped(conversation: Conversation, reason: Unencodable) -> Dropped:
    return Dropped(conversation.source, conversation.example_id, reason.reason, reason.detail)


def _prepared(conversation: Conversation, fmt: ChatFormat) -> _Prepared:
    said = plain_turns(conversation, fmt)
    if fmt.pairs:
        said = as_pair(said)
    if any(turn.role == "document" for turn in said):
        return _document(said, fmt)
    layout, values = laid_out(said, fmt, generation=False)
    answers = [(said[turn].learn, controls) for turn, controls in layout.answers]
    return _Prepared(layout.pieces(values, cut=True), answers)


def _document(said: Sequence[Said], fmt: ChatFormat) -> _Prepared:
    if len(said) > 1:
        raise Unencodable("document_among_turns", "a document stands alone")
    if not fmt.tokenizer.eos_token:
        raise FormatError("tokenizer: it has no EOS token, which is needed to close documents")
    bos = fmt.control.aliases[str(fmt.tokenizer.bos_token)] if fmt.tokenizer.bos_token else ""
    eos = fmt.control.aliases[str(fmt.tokenizer.eos_token)]
    piece = Piece(bos + said[0].text + eos, "", 2 if bos else 1)
    return _Prepared([piece], [(said[0].learn, 0)], document=True)


def joined(layout_and_values: tuple[Frame, list[str]], fmt: ChatFormat, *, cut: bool) -> Ids:
    """The ids of a whole text, cut before answers or not."""
    layout, values = layout_and_values
    return np.concatenate(
        [_ids_and_places(item)[0] for item in fmt.control.encode(layout.pieces(values, cut=cut))]
    )


def _ids_and_places(item: tuple[Ids, Ids] | Unencodable) -> tuple[Ids, Ids]:
    if isinstance(item, Unencodable):
        raise item
    return item


def _assembled(
    conversation: Conversation,
    fmt: ChatFormat,
    prepared: _Prepared,
    encoded: Sequence[tuple[Ids, Ids] | Unencodable],
) -> TokenSample:
    pairs = [_ids_and_places(item) for item in encoded]
    masks = [np.full(len(ids), fmt.supervise == "all") for ids, _ in pairs]
    if prepared.document:
        masks[0][:] = prepared.answers[0][0]
    else:
        for mask, (_, places), (learn, before) in zip(
            masks[1:], pairs[1:], prepared.answers, strict=True
        ):
            mask[: places[before] + 1] = learn
    ids = np.concatenate([ids for ids, _ in pairs])
    supervised = np.concatenate(masks)
    _spare_bos(ids, supervised, fmt)
    if not supervised.any():
        raise Unencodable("nothing_supervised", "no token of it would be learnt")
    if fmt.pairs:  # what a template writes after the stop token, no decoder is to say
        end = int(np.flatnonzero(supervised)[-1]) + 1
        ids, supervised = ids[:end], supervised[:end]
    return TokenSample(ids, supervised, conversation.example_id, conversation.source)


def _spare_bos(ids: Ids, supervised: NDArray[np.bool_], fmt: ChatFormat) -> None:
    """BOS is given, never to be predicted: the first token, where it is that."""
    bos = fmt.tokenizer.bos_token
    if bos and len(ids) and ids[0] == fmt.tokenizer.convert_tokens_to_ids(bos):
        supervised[0] = False
