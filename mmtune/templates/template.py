"""A Template: one phrasing of one task in sandboxed Jinja. Data is filled in, never compiled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from mmtune.errors import FormatError
from mmtune.sandbox import TemplateFault
from mmtune.templates.filling import Plan, new_sandbox, plan, without_options
from mmtune.templates.options import Options, Variant, lay_out
from mmtune.templates.reasoning import join_reasoning
from mmtune.types import Conversation, Example, Part, Role, Text, Turn

_SANDBOX = new_sandbox()
_PIPES = "\ue010\ue011\ue012"
"""Stands for `|||` inside data, while `|||` parts the choices of a template."""
SHOWN = frozenset(("options", "choices", "answer_choices"))
"""Names that a template has for a card with choices, beside the card's fields."""


@dataclass(frozen=True, slots=True)
class Template:
    """One phrasing of one task; `ask`, `answer` and `system` are Jinja over the example's fields.

    Beside the fields there are `options` (the block), `choices` (a list) and `reasoned` (the
    rationale, then the answer); `{{ image:picture }}` puts a picture in. `choices` here are words
    of the template's own for the example's choices, in their order, `|||` between them.

    >>> t = Template("sum/1", "sum", ask="What is {{ a }} + {{ b }}?", answer="{{ c }}")
    >>> t.render(Example(id="x", source="s", task="sum", fields={"a": "1", "b": "2", "c": "3"}))
    ... # user: What is 1 + 2?   assistant: 3
    """

    name: str
    task: str
    ask: str
    answer: str = "{{ answer }}"
    system: str = ""
    choices: str = ""
    turned_around: bool = False

    def __post_init__(self) -> None:
        for part in ("ask", "answer", "system", "choices"):
            try:
                _plan(getattr(self, part))
            except TemplateFault as fault:
                line = f", line {fault.line}" if fault.line else ""
                raise FormatError(
                    f"template {self.name!r}: {part} is no Jinja{line}: {fault}"
                ) from None

    @property
    def names(self) -> frozenset[str]:
        """Every field, and derived text such as `options`, that the template speaks of."""
        return _plans(self, False).names

    @property
    def shows_options(self) -> bool:
        return "options" in _plan(self.ask).names

    def render(self, example: Example, variant: Variant = "with", *, seed: int = 0) -> Conversation:
        """The example in this phrasing; a system text that renders blank makes no system turn.

        `variant` is how options are shown; what it draws is keyed by seed and example. Raises
        FormatError for a field or picture that is not there, and a turn left empty.
        """
        if example.task != self.task:
            raise ValueError(f"{self.name} phrases {self.task!r}, {example.id} is {example.task!r}")
        plans = _plans(self, variant == "without")
        values, options = self._values(plans, example, variant, seed)
        if options is not None:
            values["answer"] = options.targets[self._right(example)]
        _reason(plans, values, example.id, seed)
        turns: list[Turn] = []
        for role, part, filled in plans.parts:
            said = self._filled(filled, part, values, example)
            if any(not isinstance(piece, Text) or piece.text.strip() for piece in said):
                turns.append(Turn(role, said))
            elif role != "system":
                raise FormatError(f"{self._place(example)}: the {role}'s turn comes out empty.")
        return Conversation(example.id, tuple(turns), example.source)

    def targets(
        self, example: Example, variant: Variant = "with", *, seed: int = 0
    ) -> tuple[str, ...]:
        """What the assistant would say for each of the example's choices, in their order.

        >>> rte_template.targets(example, "lettered")
        ('(A)', '(B)')
        """
        plans = _plans(self, variant == "without")
        values, options = self._values(plans, example, variant, seed)
        texts = options.targets if options else example.choices
        said = []
        for text in texts:
            values["answer"] = text
            _reason(plans, values, example.id, seed)
            parts = self._filled(plans.answer, "answer", values, example)
            said.append("".join(part.text for part in parts if isinstance(part, Text)))
        return tuple(said)

    def _values(
        self, plans: "_Plans", example: Example, variant: Variant, seed: int
    ) -> tuple[dict[str, Any], Options | None]:
        """What the slots are filled with, and the options where this template has to do with any.

        Labels take the place of the answer only where the template shows what they stand for.
        """
        values: dict[str, Any] = dict(example.fields)
        options = None
        if plans.choosing and (example.choices or self.choices):
            choices = self._own_choices(example) if self.choices else example.choices
            shown = variant if plans.shows_options else "without"
            options = lay_out(choices, shown, seed=seed, example_id=example.id)
            listed = list(choices)
            values |= {"options": options.block, "choices": listed, "answer_choices": listed}
        return values, options if example.choices else None

    def _own_choices(self, example: Example) -> tuple[str, ...]:
        fields = {k: v.replace("|||", _PIPES) for k, v in example.fields.items()}
        listed = list(example.choices)
        values: dict[str, Any] = fields | {"choices": listed}
        found = self._filled(_plan(self.choices), "choices", values, example)
        text = "".join(part.text for part in found if isinstance(part, Text))
        texts = tuple(t.strip().replace(_PIPES, "|||") for t in text.split("|||"))
        if example.choices and len(texts) != len(example.choices):
            raise FormatError(
                f"{self._place(example)}: the template has {len(texts)} choices, the example "
                f"{len(example.choices)}; give one word for each."
            )
        return texts

    def _right(self, example: Example) -> int:
        answer = example.fields.get("answer", "")
        try:
            return example.choices.index(answer)
        except ValueError:
            raise FormatError(
                f"{self._place(example)} ({example.where}): the answer {answer!r} is none of the "
                f"choices: {', '.join(map(repr, example.choices))}. Check the card's label."
            ) from None

    def _filled(
        self, filled: Plan, part: str, values: dict[str, Any], example: Example
    ) -> tuple[Part, ...]:
        try:
            return filled.fill(values, example.images)
        except TemplateFault as fault:
            why = _missing(filled.names - values.keys(), values) or f"{str(fault).rstrip('.')}."
        except KeyError:
            absent = set(filled.pictures) - example.images.keys()
            why = _missing(absent, example.images, "picture")
        raise FormatError(f"{self._place(example)}: {part}: {why}")

    def _place(self, example: Example) -> str:
        return f"template {self.name!r}, example {example.id!r}"


def check_fields(
    template: Template,
    field_names: Iterable[str],
    images: Iterable[str] = (),
    *,
    choices: bool = True,
) -> list[str]:
    """What the template speaks of and a card has not, one message each, before any row is read.

    `choices`: whether the card has answer options.
    """
    fields = {*field_names, "answer"}
    known = fields | (SHOWN if choices or template.choices else set())
    known |= {"reasoned"} if "rationale" in fields else set()
    plans = _plans(template, False)
    faults = []
    for missing, there, what in (
        (plans.needed - known, known, "field"),
        (plans.pictures - set(images), set(images), "picture"),
    ):
        for name in sorted(missing):
            faults.append(f"template {template.name!r}: {_missing([name], sorted(there), what)}")
    return faults


@dataclass(frozen=True, slots=True)
class _Plans:
    """A template's texts ready to be filled, and what they need together."""

    parts: tuple[tuple[Role, str, Plan], ...]
    answer: Plan
    names: frozenset[str]
    needed: frozenset[str]
    pictures: frozenset[str]
    shows_options: bool
    choosing: bool


def _reason(plans: _Plans, values: dict[str, Any], example_id: str, seed: int) -> None:
    """Put in the reasoned answer, where the template wants it and there is a rationale."""
    if "reasoned" in plans.names and "rationale" in values and "answer" in values:
        values["reasoned"] = join_reasoning(
            values["rationale"], values["answer"], seed=seed, example_id=example_id
        )


@lru_cache(maxsize=16_384)  # a few thousand templates, each with and without options
def _plans(template: Template, bare: bool) -> _Plans:
    ask = _plan(without_options(template.ask) if bare else template.ask)
    system, answer, choices = map(_plan, (template.system, template.answer, template.choices))
    parts: list[tuple[Role, str, Plan]] = [("user", "ask", ask), ("assistant", "answer", answer)]
    if template.system:
        parts.insert(0, ("system", "system", system))
    every = (ask, system, answer, choices)
    names = frozenset().union(*(p.names for p in every))
    return _Plans(
        parts=tuple(parts),
        answer=answer,
        names=names,
        needed=frozenset().union(*(p.needed for p in every)),
        pictures=frozenset(name for p in every for name in p.pictures),
        shows_options="options" in ask.names,
        choosing=bool(names & SHOWN or template.choices),
    )


@lru_cache(maxsize=16_384)
def _plan(source: str) -> Plan:
    return plan(source, _SANDBOX)


def _missing(names: Iterable[str], there: Iterable[str], what: str = "field") -> str:
    missing = sorted(names)
    if not missing:
        return ""
    known: Sequence[str] = list(there)
    near = get_close_matches(missing[0], known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"no {what} {' or '.join(map(repr, missing))}; there are: {', '.join(known)}.{hint}"
