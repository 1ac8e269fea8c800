"""What a token model eats for one conversation, and what becomes of one that is too long."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmtune.errors import DataError

Overlong = Literal["drop", "truncate", "error"]


class Unencodable(Exception):
    """This conversation cannot become a sample; the caller writes the reason to its ledger.

    `reason` is a short word to count by, `detail` says what was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True, eq=False)
class TokenSample:
    """One conversation in tokens."""

    ids: NDArray[np.int32]
    """[tokens]"""
    supervised: NDArray[np.bool_]
    """[tokens]: true where this very token is learnt, that is, is a target."""
    example_id: str
    source: str


def fit(
    sample: TokenSample, max_tokens: int, policy: Overlong, *, stop_id: int | None = None
) -> TokenSample | str:
    """The sample if it is short enough; else what `policy` makes of it: a shorter one or a reason.

    `truncate` keeps the first `max_tokens - 1` tokens and closes the cut answer with `stop_id` (by
    default the last token that the sample learns, which is its stop token unless prompts are learnt
    too). A cut that would fall outside an answer goes back to the end of the answer before it, so
    that no stop is ever taught inside a user's turn.

    Reasons: `overlong`, `truncated_to_nothing`. `error` raises DataError.
    """
    tokens = len(sample.ids)
    if tokens <= max_tokens:
        return sample
    if policy == "error":
        raise DataError(
            f"{sample.source or 'data'}: example {sample.example_id} has {tokens} tokens, more "
            f"than data.max_tokens ({max_tokens}); raise that or set data.overlong to drop or "
            "truncate"
        )
    return "overlong" if policy == "drop" else _truncated(sample, max_tokens, stop_id)


def _truncated(sample: TokenSample, max_tokens: int, stop_id: int | None) -> TokenSample | str:
    learnt = np.flatnonzero(sample.supervised)
    inside = learnt[learnt < max_tokens]
    in_answer = bool(sample.supervised[max_tokens - 1])
    if in_answer and (max_tokens < 2 or not sample.supervised[max_tokens - 2]):
        inside, in_answer = inside[:-1], False  # a stop alone would be an empty answer
    if len(inside) == 0:
        return "truncated_to_nothing"
    ids = sample.ids[: inside[-1] + 1].copy()
    if in_answer and sample.supervised[max_tokens]:  # else its last token is its own stop
        ids[-1] = sample.ids[learnt[-1]] if stop_id is None else stop_id
    return TokenSample(ids, sample.supervised[: len(ids)].copy(), sample.example_id, sample.source)
