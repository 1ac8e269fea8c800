"""What is wrong with the templates of a task, told before anybody trains on them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import combinations

from mmtune.errors import FormatError
from mmtune.templates.filling import literal_skeleton
from mmtune.templates.template import SHOWN, Template, check_fields
from mmtune.types import Conversation, Example

TEMPLATES_A_TASK = 10
MAX_TURNED_AROUND = 3
ALIKE = 0.8
"""Share of the words, in order, that two templates of a set may have in common."""
_DERIVED = SHOWN | {"reasoned"}
_SAME_SHARE = 0.9
_OPTIONS_SLOT = re.compile(r"\{\{\s*options\s*\}\}")
_OPTIONS_LAST = re.compile(r"\{\{\s*options\s*\}\}\s*(\{%-?\s*endif\s*-?%\}\s*)?$")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: the template (or the task, for faults of the set), the rule, what to do."""

    template: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.template}: {self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class Card:
    """What the linter knows of a task beside its templates."""

    fields: frozenset[str]
    images: frozenset[str]
    choices: bool
    examples: tuple[Example, ...]


def lint(
    task_templates: Sequence[Template],
    card_fields: Iterable[str],
    examples: Sequence[Example] = (),
    *,
    choices: bool | None = None,
    images: Iterable[str] = (),
) -> list[Finding]:
    """Every fault in one task's templates; the more examples, the more leaks can be seen.

    `card_fields` are the card's names for its text, `images` those for its pictures; `choices`
    says whether it has answer options (None: as the examples have).

    >>> [str(f) for f in lint(nine_templates, ["question"])]
    ['sums: count: 9 templates, a task has exactly 10; write 1 more.']
    """
    if not task_templates:
        return []
    has_choices = any(e.choices for e in examples) if choices is None else choices
    pictures = frozenset(images).union(*(e.images for e in examples))
    card = Card(frozenset(card_fields) | {"answer"}, pictures, has_choices, tuple(examples))
    found = list(_set_faults(task_templates, card))
    for template in task_templates:
        for rule in (_unknown, _spaces, _options, _target, _answerable, _leaks, _renderings):
            found += [Finding(template.name, *fault) for fault in rule(template, card)]
    return list(dict.fromkeys(found))


Fault = tuple[str, str]


def _set_faults(templates: Sequence[Template], card: Card) -> Iterator[Finding]:
    task = templates[0].task
    if (count := len(templates)) != TEMPLATES_A_TASK:
        more = TEMPLATES_A_TASK - count
        todo = f"write {more} more" if more > 0 else f"take {-more} out"
        told = f"{count} templates, a task has exactly {TEMPLATES_A_TASK}; {todo}."
        yield Finding(task, "count", told)
    if (turned := sum(t.turned_around for t in templates)) > MAX_TURNED_AROUND:
        told = f"{turned} of them, at most {MAX_TURNED_AROUND}."
        yield Finding(task, "turned around", told)
    names = [template.name for template in templates]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Finding(name, "name", "given to more than one template; each needs its own.")
    used = {"answer"}.union(*(t.names for t in templates))
    if "reasoned" in used:
        used |= {"rationale"}
    for name in sorted(card.fields - used):
        yield Finding(task, "unused field", f"no template speaks of {name!r}.")
    yield from near_identical(templates)


def near_identical(templates: Sequence[Template], threshold: float = ALIKE) -> Iterator[Finding]:
    """Pairs whose wording, placeholders included, is the same in most of its words."""
    for one, other in combinations(templates, 2):
        if (score := similarity(one, other)) >= threshold:
            told = f"{score:.0%} of its words are those of {other.name!r}; reword one of them."
            yield Finding(one.name, "near-identical", told)


def similarity(one: Template, other: Template) -> float:
    """0 to 1: twice the words in common, in order, by the words of both; case and marks aside.

    Placeholders count as words; answers are compared only where they differ.
    """
    with_answers = one.answer != other.answer
    first, second = _words(one, with_answers), _words(other, with_answers)
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def _words(template: Template, with_answers: bool) -> list[str]:
    said = f"{template.system} {template.ask}" + f" {template.answer}" * with_answers
    return re.findall(r"<[^>]+>|\w+", literal_skeleton(said).casefold())


def _unknown(template: Template, card: Card) -> Iterator[Fault]:
    for told in check_fields(template, card.fields, card.images, choices=card.choices):
        yield "unknown name", told.partition(": ")[2]


def _spaces(template: Template, card: Card) -> Iterator[Fault]:
    for part in ("system", "ask", "answer"):
        text: str = getattr(template, part)
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield "trailing space", f"{part}, line {number} ends in white space."
        if text != text.strip("\n"):
            yield "blank line", f"{part} begins or ends with an empty line; write `|-`."
        if "\n\n\n" in text:
            yield "blank line", f"{part} has two blank lines in a row."


def _options(template: Template, card: Card) -> Iterator[Fault]:
    slots = list(_OPTIONS_SLOT.finditer(template.ask))
    if template.turned_around and template.shows_options:
        yield "options", "it is turned around, so the options are not what it asks for."
    elif len(slots) > 1:
        yield "options", "the options are shown twice."
    elif template.shows_options and not _OPTIONS_LAST.search(template.ask):
        yield "options", "the options block is not the last thing in the ask, as FLAN has it."
    for slot in slots:
        before = template.ask[: slot.start()].rpartition("\n")[2]
        if before.strip() and "%}" not in before:
            yield "options", "the options block has to begin a line of its own."


def _target(template: Template, card: Card) -> Iterator[Fault]:
    """Whether what is asked for is there, and is what `turned_around` says it is."""
    wanted = _plain_names(template.answer, template)
    if not wanted and "image:" not in template.answer:
        yield "no target", "the answer has no field in it: every example would get the same."
    if template.turned_around and template.answer.strip() == "{{ answer }}":
        yield "turned around", "it asks for the task's own answer; take `turned_around` out."
    elif not template.turned_around and wanted and not wanted & {"answer", "reasoned"}:
        yield "turned around", "it asks for another field than the answer; say `turned_around`."


def _answerable(template: Template, card: Card) -> Iterator[Fault]:
    """With choices, a model has to be able to know them from the ask."""
    if not card.choices or template.turned_around or template.shows_options:
        return
    if template.names & SHOWN - {"options"}:
        return
    asks = [(e, c.turns[-2].text) for e, c in _rendered(template, card)]
    if not asks or not all(_says(c, ask) for e, ask in asks for c in e.choices):
        yield "not recoverable", "the ask neither shows the options nor names them all."


def _leaks(template: Template, card: Card) -> Iterator[Fault]:
    """The target, in whole, in what is asked; told apart by marking each target field in turn."""
    wanted = _plain_names(template.answer, template)
    targets = {"answer", "rationale"} if "reasoned" in wanted else wanted
    bare = replace(template, ask=_OPTIONS_SLOT.sub("", template.ask) or " ")
    asked = _plain_names(bare.ask, bare)
    for name in sorted(targets & asked - _DERIVED):
        yield "leaked answer", f"{name!r} is both asked for and shown."
    shown = [(e, c) for e, c in _rendered(template, card)]
    if "answer" not in targets or len({e.fields.get("answer") for e, _ in shown}) < 2:
        return
    for name in sorted(asked & card.fields - targets):
        same = sum(_same(e.fields.get(name), e.fields["answer"]) for e, _ in shown)
        if same >= _SAME_SHARE * len(shown):
            yield "leaked answer", f"{name!r}, which is shown, holds the answer itself."
    if card.choices and not asked & SHOWN:
        given = sum(_given_away(e, _ask(bare, e)) for e, _ in shown)
        if given >= _SAME_SHARE * len(shown):
            yield "leaked answer", "the ask has the right choice in it and not the others."


def _renderings(template: Template, card: Card) -> Iterator[Fault]:
    for example in card.examples:
        try:
            template.render(example)
        except FormatError as error:
            yield "does not render", str(error).partition(": ")[2]
            return


def _rendered(template: Template, card: Card) -> Iterator[tuple[Example, Conversation]]:
    for example in card.examples:
        try:
            yield example, template.render(example)
        except FormatError:
            continue  # told by `_renderings`


def _ask(template: Template, example: Example) -> str:
    try:
        return template.render(example, "without").turns[-2].text
    except FormatError:
        return ""


def _plain_names(source: str, template: Template) -> frozenset[str]:
    return replace(template, ask=source or " ", answer="x", system="", choices="").names


def _given_away(example: Example, ask: str) -> bool:
    right = example.fields.get("answer", "")
    others = [text for text in example.choices if text != right]
    return _says(right, ask) and not any(_says(text, ask) for text in others)


def _says(text: str, ask: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(text.casefold())}(?!\w)", ask.casefold()))


def _same(text: str | None, answer: str) -> bool:
    return text is not None and text.strip() == answer.strip()
