"""Jinja from others, run so that it can neither leave its box nor fill the memory nor go on for
ever: dataset templates and models' chat templates alike.

Jinja's own sandbox keeps code in, but `'a' * 10**9` is one value to it, and two nested loops over
100,000 are as good as endless. Here every step of a rendering is paid for out of a budget.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import wraps
from string import Formatter
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2 import Template as Compiled
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

STEPS = 400_000
"""A rendering's budget: calls, filters, turns of loops, and the text that they handle."""
CHARS = 4_000_000
"""Of one text in a template; four fields of the default longest length."""
_CHARS_A_STEP = 256
_STEPS_A_CALL = 8
_MAX_NUMBER = 1_000_000
_MAX_OPERAND = 10_000
_UNBOUNDED_FILTERS = ("center", "pprint", "urlize", "wordwrap", "xmlattr")
_WIDTH = re.compile(r"\d+")
_SPEC = re.compile(r"%(?:\(.*?\))?[-#0 +]*(\*|\d+)?(?:\.(\*|\d+))?")
_FAULTS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)


class TemplateFault(Exception):
    """The template cannot be compiled or rendered; the message says why. `line` is 0 if unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        self.line = line
        super().__init__(message)


class Sandbox:
    """An environment for templates of one kind, and the budget of the rendering that goes on.

    `chat`: laid out as `apply_chat_template` of transformers does it; else as dataset templates
    are: white space kept, a missing field an error.
    """

    def __init__(self, *, chat: bool = False) -> None:
        self._steps, self._chars = STEPS, CHARS
        self.environment = _environment(chat)
        self._guard()

    def compile(self, source: str) -> "Bounded":
        """Raises TemplateFault where the text is no Jinja."""
        self._steps, self._chars = STEPS, CHARS
        try:
            tree = self.environment.parse(source)
            _meter(tree)
            return Bounded(self, self.environment.from_string(tree))
        except TemplateSyntaxError as error:
            raise TemplateFault(str(error.message), error.lineno) from None
        except (*_FAULTS, SyntaxError) as error:
            raise TemplateFault(_described(error)) from None

    def render(self, compiled: Compiled, values: Mapping[str, Any], given_chars: int) -> str:
        """Raises TemplateFault where the template refuses, fails or costs too much.

        `given_chars`: of all that `values` hold; more text may cost more steps.
        """
        self._steps = STEPS + given_chars // 2
        self._chars = CHARS + 4 * given_chars
        try:
            return compiled.render(values)
        except _FAULTS as error:
            raise TemplateFault(_described(error)) from None

    def spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise TemplateError("it takes too many steps; a template is to lay out, not to compute")

    def fits(self, chars: int) -> None:
        if chars > self._chars:
            raise TemplateError(f"more than {self._chars:,} characters come out")

    def weigh(self, value: Any) -> Any:
        """The value itself, paid for by its size: all that it would print, shared parts again."""
        if type(value) is str:
            self.spend(1 + len(value) // _CHARS_A_STEP)
            return value
        waiting = [value]
        while waiting:
            item = waiting.pop()
            self.spend(1)
            if isinstance(item, str | bytes):
                self.spend(len(item) // _CHARS_A_STEP)
            elif isinstance(item, list | tuple | set | frozenset):
                waiting += item
            elif isinstance(item, dict):
                waiting += (*item, *item.values())
            elif isinstance(item, Namespace):
                waiting.append(object.__getattribute__(item, "_Namespace__attrs"))
        return value

    def _guard(self) -> None:
        """Put the meter in wherever the generated code asks its environment."""
        env: Any = self.environment
        plain_call, plain_binop, wrap_format = env.call, env.call_binop, env.wrap_str_format

        def call(context: Any, called: Any, /, *args: Any, **named: Any) -> Any:
            if called in meters:
                return called(*args)
            self._check_call(called, args, named)
            return self.weigh(plain_call(context, called, *args, **named))

        def call_binop(context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "+" and type(left) is str and type(right) is str:
                return self._concat((left, right))  # what chat templates do most
            self._check_operands(operator, left, right)
            return self.weigh(plain_binop(context, operator, left, right))

        def wrap_str_format(value: Any) -> Any:
            return self._format_checked(value, wrap_format(value))

        meters = (self._joined, self._items, self.weigh)
        env.call, env.call_binop, env.wrap_str_format = call, call_binop, wrap_str_format
        env.concat, env.finalize = self._concat, self._printed
        env.metered_concat, env.metered_items, env.metered = meters
        for name, plain in list(env.filters.items()):
            env.filters[name] = self._filter(name, plain)

    def _filter(self, name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(plain)  # which takes over what marks it as wanting the context, too
        def metered(*args: Any, **named: Any) -> Any:
            self._check_numbers((*args, *named.values()))
            given = [a for a in (*args, *named.values()) if isinstance(a, str | list | tuple)]
            if name in ("replace", "indent", "join", "format") and given:
                self._check_growth(name, given[0], [*args[1:], *named.values()])
            for value in given:
                self.weigh(value)
            return self.weigh(plain(*args, **named))

        return metered

    def _check_call(self, called: Any, args: Sequence[Any], named: Mapping[str, Any]) -> None:
        given = (*args, *named.values())
        self.spend(_STEPS_A_CALL)
        self._check_numbers(given)
        owner = getattr(called, "__self__", None)
        if isinstance(owner, str | bytes):
            self.weigh(owner)
            self._check_growth(getattr(called, "__name__", ""), owner, given)
        for value in given:
            self.weigh(value)

    def _check_numbers(self, given: Iterable[Any]) -> None:
        for value in given:
            if isinstance(value, int) and abs(value) > _MAX_NUMBER:
                raise TemplateError(f"a number over {_MAX_NUMBER:,} is given to a function")

    def _check_growth(self, name: str, owner: Any, given: Sequence[Any]) -> None:
        """Stops text from growing before it does; `name` is a method or a filter of text."""
        texts = [value for value in given if isinstance(value, str | bytes)]
        if name == "replace" and len(texts) > 1:
            self.fits(len(owner) + owner.count(texts[0]) * len(texts[1]))
        elif name == "join" and isinstance(owner, str | bytes):
            parts = max((len(v) for v in given if hasattr(v, "__len__")), default=0)
            self.fits(len(owner) * parts)
        elif name == "join":
            self.fits(len(owner) * max(map(len, texts), default=0))
        elif name == "indent":
            width = max((int(v) for v in given if isinstance(v, int)), default=4)
            lines = owner.count("\n") + 1
            self.fits(lines * max([width, *map(len, texts)]))
        elif name == "expandtabs":
            tabs = owner.count("\t") if isinstance(owner, str) else owner.count(b"\t")
            self.fits(tabs * max((v for v in given if isinstance(v, int)), default=8))
        elif name == "format":
            self._check_percent(owner, given)
        elif name == "translate":
            raise TemplateError("translate is not to be had in a template")

    def _check_operands(self, operator: str, left: Any, right: Any) -> None:
        self.spend(1)
        sized = [v for v in (left, right) if hasattr(v, "__len__")]
        if operator == "+":
            self.fits(sum(map(len, sized)))
        elif operator == "%" and isinstance(left, str | bytes):
            values = right if isinstance(right, tuple) else (right,)
            self._check_percent(str(left), list(values))
        elif sized:
            times = [v for v in (left, right) if isinstance(v, int)]
            self.fits(len(sized[0]) * max(0, *times, 0))
        elif any(isinstance(v, int | float) and abs(v) > _MAX_OPERAND for v in (left, right)):
            if operator != "%":
                raise TemplateError(f"{operator} takes numbers up to {_MAX_OPERAND:,}")

    def _check_percent(self, form: str, values: Sequence[Any]) -> None:
        """Of `'%5d' % 3`: no width is huge, and no text is put in too often."""
        specs = [spec for pair in _SPEC.findall(form) for spec in pair if spec]
        if "*" in specs:
            raise TemplateError("a width of * is not to be had in a template")
        self._check_fields(form.count("%"), specs, values)

    def _check_fields(self, count: int, numbers: Sequence[str], values: Sequence[Any]) -> None:
        if any(len(number) > 7 for number in numbers):
            raise TemplateError(f"more than {self._chars:,} characters come out")
        widest = max(map(int, numbers), default=0)
        longest = max((len(v) for v in map(self.weigh, values) if hasattr(v, "__len__")), default=0)
        self.fits(count * (widest + longest))

    def _format_checked(self, value: Any, wrapped: Any) -> Any:
        """`str.format` that looks at the widths first."""
        if wrapped is None:
            return None
        form: str = value.__self__

        @wraps(wrapped)
        def bounded(*args: Any, **named: Any) -> Any:
            specs = [spec for _, _, spec, _ in Formatter().parse(form) if spec]
            if any("{" in spec for spec in specs):
                raise TemplateError("a width from a value is not to be had in a template")
            numbers = [number for spec in specs for number in _WIDTH.findall(spec)]
            self._check_fields(form.count("{"), numbers, (*args, *named.values()))
            return wrapped(*args, **named)

        return bounded

    def _concat(self, pieces: Iterable[str]) -> str:
        held = list(pieces)
        chars = sum(map(len, held))
        self.fits(chars)
        self.spend(1 + chars // _CHARS_A_STEP)
        return "".join(held)

    def _printed(self, value: Any) -> Any:
        """Text is paid for where it is put together; all else by what it would print."""
        return value if type(value) is str else self.weigh(value)

    def _joined(self, *values: Any) -> str:
        return self._concat([str(self.weigh(value)) for value in values])

    def _items(self, items: Iterable[Any]) -> Iterator[Any]:
        """What a loop goes over, each turn paid for."""
        for item in items:
            self.spend(1)
            yield item


class Bounded:
    """A compiled template with the sandbox it runs in."""

    def __init__(self, sandbox: Sandbox, compiled: Compiled) -> None:
        self._sandbox, self._compiled = sandbox, compiled

    def render(self, values: Mapping[str, Any], given_chars: int) -> str:
        """See `Sandbox.render`."""
        return self._sandbox.render(self._compiled, values, given_chars)


def _environment(chat: bool) -> ImmutableSandboxedEnvironment:
    if chat:
        env = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        env.filters["tojson"] = _tojson
        env.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
    else:
        env = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    env.globals.pop("lipsum")
    for name in _UNBOUNDED_FILTERS:
        env.filters.pop(name)
    env.intercepted_binops = frozenset(("+", "*", "**", "%"))
    return env


class _Generation(Extension):
    """`{% generation %}`, which marks answers for trainers that need it: rendered as it stands."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _meter(tree: nodes.Template) -> None:
    """Loops, `~` and literal containers pass through the meter; the rest asks the environment."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _through("metered_items", [loop.iter], loop.lineno)
    for concat in list(tree.find_all(nodes.Concat)):
        concat.nodes = [_through("metered_concat", concat.nodes, concat.lineno)]
    literal: Any
    for literal in list(tree.find_all((nodes.List, nodes.Tuple))):
        if getattr(literal, "ctx", "load") == "load":
            literal.items = [_through("metered", [i], literal.lineno) for i in literal.items]
    for pair in list(tree.find_all(nodes.Pair)):
        pair.value = _through("metered", [pair.value], pair.lineno)


def _through(name: str, values: list[Any], line: int) -> nodes.Call:
    meter = nodes.EnvironmentAttribute(name, lineno=line)
    return nodes.Call(meter, values, [], None, None, lineno=line)


def _described(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    return (str(error) or type(error).__name__).splitlines()[0]


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    if len(form) > 100:
        raise TemplateError("strftime_now takes a format of up to 100 characters")
    return datetime.now().strftime(form)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it: no HTML escapes."""
    if (indent if isinstance(indent, int) else len(indent or "")) > 100:
        raise TemplateError("tojson indents by up to 100")
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
