"""ChatFormat: how one model's tokenizer lays out a conversation. Made, and checked, once a model.

Knows templates and control tokens; conversations are encoded in `mmtune.encoding.conversations`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mmtune.encoding.chat_tokenizer import ChatTokenizer
from mmtune.encoding.control_tokens import ControlTokens, control_tokens
from mmtune.encoding.frames import Frame, frame, stop_token
from mmtune.encoding.lima_layout import LIMA_TEMPLATE, add_lima_format
from mmtune.encoding.samples import Unencodable
from mmtune.encoding.skeleton import Render, Skeleton, messages, render_with, skeleton
from mmtune.errors import FormatError
from mmtune.sandbox import TemplateFault

Kind = Literal["auto", "own", "lima"]
Supervise = Literal["assistant", "all"]

_DIALOGUE = ("user", "assistant", "user", "assistant")


@dataclass(frozen=True, slots=True, eq=False)
class ChatFormat:
    """One tokenizer's layout of turns. `tokenizer` must not be changed after."""

    kind: Literal["own", "lima"]
    supervise: Supervise
    tokenizer: ChatTokenizer
    render: Render
    control: ControlTokens
    stop_ids: tuple[int, ...]
    """Tokens that stop generation: the one that closes the last answer first."""
    folds_system: bool
    """The template takes no system turn, so it goes before the next user's text."""
    notes: tuple[str, ...]
    """What a user should know about this template."""
    frames: dict[tuple[tuple[str, ...], bool], Frame] = field(default_factory=dict)
    """Filled as roles are met: (roles, with generation prompt) -> frame."""
    pairs: bool = False
    """For an encoder-decoder: the last answer alone is learnt, all before it is its prompt."""

    @property
    def stop_id(self) -> int:
        """The token that closes the last answer."""
        return self.stop_ids[0]

    def frame(self, roles: tuple[str, ...], *, generation: bool = False) -> Frame:
        """The layout of turns of these roles; Unencodable where there is none."""
        key = (roles, generation)
        if key not in self.frames:
            bones = skeleton(self.render, roles, generation=generation)
            self.frames[key] = frame(self.control, bones)
        return self.frames[key]

    def framed(self, bones: Skeleton) -> Frame:
        """A skeleton of one conversation's own made ready."""
        return frame(self.control, bones)


def chat_format(
    tokenizer: ChatTokenizer, kind: Kind = "auto", supervise: Supervise = "assistant"
) -> ChatFormat:
    """The tokenizer's own chat template (`own`), the LIMA layout (`lima`), or own if any (`auto`).

    `lima` adds the end-of-turn token and the template to the tokenizer if they are not there yet;
    the embeddings are then to be resized. Raises FormatError: no template, no fast tokenizer,
    an answer that no token closes, BOS twice, or text tokenised otherwise than when served.
    """
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise FormatError(
            f"tokenizer {type(tokenizer).__name__}: it has no fast backend (tokenizer.json), which "
            "is needed to keep control tokens in data apart; convert it to a fast tokenizer"
        )
    resolved = _resolved(tokenizer, kind)
    if resolved == "lima":
        add_lima_format(tokenizer)
    try:
        render = render_with(_template(tokenizer), tokenizer.special_tokens_map)
        made = _made(tokenizer, resolved, supervise, render)
        _check_tokenisation(made)
    except TemplateFault as fault:
        line = f" (line {fault.line})" if fault.line else ""
        raise FormatError(f"chat template: it is no Jinja{line}: {fault}") from fault
    except Unencodable as fault:
        raise FormatError(_message(fault)) from fault
    return made


def _template(tokenizer: ChatTokenizer) -> str:
    try:
        template = tokenizer.get_chat_template()
    except ValueError:
        names = ", ".join(sorted(tokenizer.chat_template))
        raise FormatError(
            f"tokenizer: it has several chat templates ({names}) and none is called default; name "
            "one so, or set model.chat_format to lima"
        ) from None
    if not isinstance(template, str):
        raise FormatError(f"tokenizer: its chat template is {template!r}, not text")
    return template


def _resolved(tokenizer: ChatTokenizer, kind: Kind) -> Literal["own", "lima"]:
    if kind == "own" and not tokenizer.chat_template:
        raise FormatError(
            "tokenizer: model.chat_format is own, but it has no chat template; "
            "set model.chat_format to lima or auto"
        )
    if kind == "lima" or not tokenizer.chat_template or tokenizer.chat_template == LIMA_TEMPLATE:
        return "lima"
    return "own"


def _made(
    tokenizer: ChatTokenizer, kind: Literal["own", "lima"], supervise: Supervise, render: Render
) -> ChatFormat:
    bones = _dialogue(render)
    refusal = _system_refusal(render)
    probes = [bones] if refusal else [bones, skeleton(render, ("system", "user", "assistant"))]
    _check_bos(tokenizer, probes)
    control = control_tokens(tokenizer, [text for probe in probes for text in probe.literals])
    return ChatFormat(
        kind=kind,
        supervise=supervise,
        tokenizer=tokenizer,
        render=render,
        control=control,
        stop_ids=_stop_ids(tokenizer, control, bones),
        folds_system=bool(refusal),
        notes=tuple(_notes(bones, refusal)),
    )


def _dialogue(render: Render) -> Skeleton:
    """Of two exchanges; of one where the template cannot lay out more."""
    try:
        return skeleton(render, _DIALOGUE)
    except Unencodable:
        return skeleton(render, _DIALOGUE[:2])


def _system_refusal(render: Render) -> str:
    try:
        skeleton(render, ("system", "user", "assistant"))
    except Unencodable as refusal:
        return refusal.detail
    return ""


def _stop_ids(tokenizer: ChatTokenizer, control: ControlTokens, bones: Skeleton) -> tuple[int, ...]:
    answers = [place for place, slot in enumerate(bones.slots) if slot.role == "assistant"]
    tokens = [stop_token(control, bones, place) for place in reversed(answers)]
    tokens += [str(tokenizer.eos_token)] if tokenizer.eos_token else []
    return tuple(dict.fromkeys(int(tokenizer.convert_tokens_to_ids(token)) for token in tokens))


def _notes(bones: Skeleton, refusal: str) -> list[str]:
    notes = []
    if refusal:
        notes.append(
            "the chat template takes no system turn, so its text is put before the next user's "
            f"({refusal})"
        )
    leads = [slot.lead for slot in bones.slots if slot.role == "assistant"]
    if leads[0] != leads[-1]:
        notes.append(
            f"the chat template opens the last answer with {leads[-1]!r} and earlier ones with "
            f"{leads[0]!r}; each is learnt as it is rendered"
        )
    return notes


def _check_bos(tokenizer: ChatTokenizer, probes: Sequence[Skeleton]) -> None:
    bos = str(tokenizer.bos_token or "")
    if bos and any(probe.literals[0].lstrip().startswith(bos + bos) for probe in probes):
        raise FormatError(
            f"chat template: it writes the beginning-of-text token {bos!r} twice; "
            "take one out of the template"
        )


def _check_tokenisation(fmt: ChatFormat) -> None:
    """The private copy reads a plain dialogue's prompt as the tokenizer itself does."""
    roles = ("user",)
    texts = [" What is 2 + 2?\n"]
    layout = fmt.frame(roles, generation=True)
    values = [layout.bones.slots[0].value(text) for text in texts]
    [ours] = fmt.control.encode(layout.pieces(values, cut=False))
    if isinstance(ours, Unencodable):
        raise ours
    rendered = fmt.render(messages(roles, texts), True)  # in bounds, which transformers has not
    if rendered != layout.bones.filled(values):
        raise FormatError(
            f"chat template: it does more to a text than trim it, {texts[0]!r} becomes "
            f"{rendered!r}; mend the template or set model.chat_format to lima"
        )
    served = fmt.tokenizer.apply_chat_template(
        messages(roles, texts), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    if not np.array_equal(ours[0], served):
        raise FormatError(
            "tokenizer: text read with control tokens kept apart is tokenised otherwise than by "
            f"apply_chat_template ({ours[0].tolist()}, {list(served)}); "
            "this tokenizer is not supported"
        )


def _message(fault: Unencodable) -> str:
    if fault.reason == "answer_not_closed":
        return (
            "chat template: the answer is never closed by a token that can stop generation "
            f"({fault.detail}); add the end-of-turn token to the template's assistant turn"
        )
    return (
        f"chat template: a user's and an assistant's turn cannot be laid out by it "
        f"({fault.reason}: {fault.detail}); correct the template or set model.chat_format to lima"
    )
