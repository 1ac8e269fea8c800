"""A Template: one phrasing of one task in sandboxed Jinja. Data is filled in, never compiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2 import Template as Compiled
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mmtune.errors import FormatError
from mmtune.types import Conversation, Example, Role, Text, Turn

MAX_CHARS = 4_000_000
"""Of one rendered text; four fields of the default longest length."""
_GROWING_FILTERS = ("center", "format", "indent", "pprint", "xmlattr", "urlize", "tojson")
_MAX_OPERAND = 10_000


@dataclass(frozen=True, slots=True)
class Template:
    """One phrasing of one task; `ask`, `answer` and `system` are Jinja over the example's fields.

    >>> t = Template("sum/1", "sum", ask="What is {{ a }} + {{ b }}?", answer="{{ c }}")
    >>> t.render(Example(id="x", source="s", task="sum", fields={"a": "1", "b": "2", "c": "3"}))
    ... # user: What is 1 + 2?   assistant: 3
    """

    name: str
    task: str
    ask: str
    answer: str
    system: str = ""

    def __post_init__(self) -> None:
        for part in ("ask", "answer", "system"):
            try:
                _compiled(getattr(self, part))
            except TemplateSyntaxError as error:
                raise FormatError(
                    f"template {self.name!r}: {part} is no Jinja, line {error.lineno}: "
                    f"{error.message}"
                ) from None
            except TemplateError as error:
                raise FormatError(f"template {self.name!r}: {part}: {error}") from None

    def render(self, example: Example) -> Conversation:
        """The example in this phrasing; a system text that renders blank makes no system turn.

        Raises FormatError for a field that the example lacks, and an ask or answer left empty.
        """
        if example.task != self.task:
            raise ValueError(f"{self.name} phrases {self.task!r}, {example.id} is {example.task!r}")
        said: list[tuple[Role, str]] = [
            ("system", self._filled("system", example)),
            ("user", self._filled("ask", example)),
            ("assistant", self._filled("answer", example)),
        ]
        for role, text in said[1:]:
            if not text.strip():
                raise FormatError(f"{self._place(example)}: the {role}'s turn comes out empty.")
        turns = tuple(Turn(role, (Text(text),)) for role, text in said if text.strip())
        return Conversation(example.id, turns, example.source)

    def _filled(self, part: str, example: Example) -> str:
        source: str = getattr(self, part)
        try:
            return _rendered(_compiled(source), example.fields)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise FormatError(f"{self._place(example)}: {_why(error, source, example)}") from None

    def _place(self, example: Example) -> str:
        return f"template {self.name!r}, example {example.id!r}"


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    # The sandbox keeps code in but not memory: `'a' * 10**9` is one value (measured).
    env.intercepted_binops = frozenset({"*", "**", "%"})
    env.binop_table.update({name: _bounded(env.binop_table[name]) for name in ("*", "**", "%")})
    for name in _GROWING_FILTERS:
        env.filters.pop(name, None)
    return env


def _bounded(operate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The operator on small numbers only."""

    def bounded(left: Any, right: Any) -> Any:
        for value in (left, right):
            if not isinstance(value, (int, float)) or abs(value) > _MAX_OPERAND:
                raise ValueError("*, ** and % take numbers up to 10,000 in a template")
        return operate(left, right)

    return bounded


_ENVIRONMENT = _environment()


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Compiled:
    return _ENVIRONMENT.from_string(source)


def _rendered(compiled: Compiled, fields: Mapping[str, str]) -> str:
    pieces: list[str] = []
    size = 0
    for piece in compiled.generate(dict(fields)):
        size += len(piece)
        if size > MAX_CHARS:
            raise ValueError(f"more than {MAX_CHARS:,} characters come out")
        pieces.append(piece)
    return "".join(pieces)


def _why(error: Exception, source: str, example: Example) -> str:
    used = meta.find_undeclared_variables(_ENVIRONMENT.parse(source))
    missing = sorted(used - example.fields.keys() - _ENVIRONMENT.globals.keys())
    if not missing:
        return f"{str(error).rstrip('.')}."
    near = get_close_matches(missing[0], example.fields, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    there = ", ".join(example.fields) or "none"
    return f"no field {' or '.join(map(repr, missing))}; there are: {there}.{hint}"
