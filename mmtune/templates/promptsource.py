"""Prompts of the P3 kind, which phrase the raw rows of a data set. Knows that dialect of Jinja.

Sanh et al. 2021, appendix G, and promptsource's own rules: ask and answer parted by `|||`, choices
as a Jinja expression, printed values cut at 2,048 characters. Here `choice` is keyed by seed and
example instead of random, and a column that a row lacks is an error instead of empty text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Undefined, meta, pass_context
from jinja2.filters import do_truncate
from jinja2.runtime import Context

from mmtune.config.promptsource import PromptEntry, load_prompt_file
from mmtune.errors import ConfigError, FormatError
from mmtune.sandbox import Bounded, Sandbox, TemplateFault
from mmtune.templates.draws import keyed_index
from mmtune.templates.filling import new_sandbox
from mmtune.types import Conversation, Text, Turn

VALUE_CHARS = 2_048
"""Of one printed value."""
_BAR = "|||"
_ESCAPED = "3ed2dface8203c4c9dfb1a5dc58e41e0"
"""Stands for `|||` in data while a prompt is filled."""
_KEY = "_draw_key"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: `jinja` is ask `|||` answer over a raw row's columns."""

    name: str
    task: str
    jinja: str
    answer_choices: str = ""
    original_task: bool = True
    choices_in_prompt: bool = False
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in ("jinja", "answer_choices"):
            try:
                _compiled(getattr(self, part))
            except TemplateFault as fault:
                line = f", line {fault.line}" if fault.line else ""
                told = f"prompt {self.name!r}: {part} is no Jinja{line}: {fault}"
                raise FormatError(told) from None
        if _BAR not in self.jinja:
            raise FormatError(f"prompt {self.name!r}: no {_BAR!r} between the ask and the answer")

    @property
    def columns(self) -> frozenset[str]:
        """What it reads of a row."""
        env = _SANDBOX.environment
        parsed = (env.parse(text) for text in (self.jinja, self.answer_choices))
        names = set().union(*map(meta.find_undeclared_variables, parsed))
        return frozenset(names - env.globals.keys() - {"answer_choices"})


@dataclass(frozen=True, slots=True)
class Prompted:
    """A row in a prompt's words; `choices` is empty for an open-ended one."""

    ask: str
    answer: str
    choices: tuple[str, ...]

    def conversation(self, example_id: str, source: str = "") -> Conversation:
        turns = (Turn("user", (Text(self.ask),)), Turn("assistant", (Text(self.answer),)))
        return Conversation(example_id, turns, source)


def load_prompts(path: Path) -> tuple[Prompt, ...]:
    """Every prompt of a promptsource `templates.yaml`, by name. Raises ConfigError."""
    read = load_prompt_file(path)
    faults: list[str] = []
    prompts = []
    for entry in read.templates.values():
        try:
            prompts.append(_prompt(read.task, entry))
        except FormatError as error:
            faults += [f"{path}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(*faults)
    return tuple(sorted(prompts, key=lambda prompt: prompt.name))


def phrase_row(
    prompt: Prompt, row: Mapping[str, Any], *, example_id: str, seed: int = 0
) -> Prompted | None:
    """The row in this prompt's words; None where the prompt leaves the row out (an empty ask).

    Values keep their types, so that `answer_choices[label]` works. Both sides are stripped, and a
    missing answer is empty text, as promptsource has it. Raises FormatError.

    >>> prompt = Prompt("p", "t", "{{ text }} |||{{ answer_choices[label] }}", "no ||| yes")
    >>> phrase_row(prompt, {"text": "It rains.", "label": 1}, example_id="t/1")
    Prompted(ask='It rains.', answer='yes', choices=('no', 'yes'))
    """
    values = {name: _protected(value) for name, value in row.items()}
    values[_KEY] = f"{seed}\x1f{prompt.name}\x1f{example_id}"
    place = f"prompt {prompt.name!r}, example {example_id!r}"
    choices: tuple[str, ...] = ()
    try:
        if prompt.answer_choices:
            listed = _render(prompt.answer_choices, values)
            choices = tuple(_restored(text) for text in listed.split(_BAR))
            values["answer_choices"] = [_protected(text) for text in choices]
        sides = [_restored(side) for side in _render(prompt.jinja, values).split(_BAR)]
    except TemplateFault as fault:
        raise FormatError(f"{place}: {str(fault).rstrip('.')}.") from None
    if len(sides) > 2:
        raise FormatError(f"{place}: {len(sides)} parts with {_BAR!r} between, expected two.")
    if not sides[0]:
        return None
    return Prompted(sides[0], sides[1] if len(sides) == 2 else "", choices)


def _prompt(task: str, entry: PromptEntry) -> Prompt:
    data = entry.metadata
    return Prompt(
        name=f"{task}/{entry.name}",
        task=task,
        jinja=entry.jinja,
        answer_choices=entry.answer_choices or "",
        original_task=data.original_task is not False,
        choices_in_prompt=bool(data.choices_in_prompt),
        metrics=tuple(data.metrics or ()),
    )


def _render(source: str, values: Mapping[str, Any]) -> str:
    return _compiled(source).render(values, len(repr(values)))


@lru_cache(maxsize=8_192)
def _compiled(source: str) -> Bounded:
    return _SANDBOX.compile(source)


def _protected(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(_BAR, _ESCAPED)
    if isinstance(value, Mapping):
        return {key: _protected(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_protected(item) for item in value]
    return value


def _restored(text: str) -> str:
    return text.replace(_ESCAPED, _BAR).strip()


def _dialect() -> Sandbox:
    """The sandbox with the format's own filters, `zip`, and its cut of what is printed."""
    sandbox = new_sandbox()
    env: Any = sandbox.environment

    @pass_context
    def choice(context: Context, values: Sequence[Any]) -> Any:
        """One of them, by example and list: the same list gives the same in ask and answer."""
        listed = list(sandbox.weigh(list(values)))
        if not listed:
            raise TemplateFault("choice of nothing")
        return listed[keyed_index(len(listed), str(context.get(_KEY)), repr(listed))]

    def most_frequent(values: Sequence[Any]) -> list[Any]:
        """Those that occur most, in the order of their first coming."""
        counted = Counter(sandbox.weigh(list(values))).most_common()
        return [value for value, count in counted if count == counted[0][1]]

    def cut(value: Any) -> Any:
        if isinstance(value, Undefined):
            return value  # which says itself what is missing
        text = str(sandbox.weigh(value))
        return do_truncate(env, text, VALUE_CHARS) if len(text) > VALUE_CHARS else text

    env.filters.update(choice=choice, random=choice, most_frequent=most_frequent)
    env.globals["zip"] = zip
    env.finalize = cut
    return sandbox


_SANDBOX = _dialect()
