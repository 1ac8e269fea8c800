"""A template's text made ready to be filled: by plain joining where it is literal text and fields,
by sandboxed Jinja where it is more, with the same outcome. Knows slots, not tasks.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from jinja2 import meta, nodes

from mmtune.sandbox import CHARS, Bounded, Sandbox
from mmtune.types import Image, Part, Text

Fields = Callable[[Mapping[str, Any]], tuple[Any, ...]]

_OPENING = re.compile(r"\{[{%#]")
_FIELD = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_IMAGE = re.compile(r"\{\{\s*image:\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_OPTIONS = re.compile(r"\n*\{\{\s*options\s*\}\}\n*")
_NEWLINE = re.compile(r"\r\n|\r")
_OWN_WORDS = frozenset(  # names that mean something in Jinja itself
    "true false none True False None and or not in is if else elif for self super loop caller "
    "varargs kwargs".split()
)
_NONCE = str(secrets.randbits(64))
"""New for each process, so that no data can hold the mark of a picture; gone once filled."""
_MARK = re.compile(f"\ue000{_NONCE}:(\\d+)\ue001")
_LISTS = {"choices", "answer_choices"}


def new_sandbox() -> Sandbox:
    """For dataset templates: without Jinja's `random`, which would draw anew at every rendering."""
    sandbox = Sandbox()
    sandbox.environment.filters.pop("random")
    return sandbox


@dataclass(frozen=True, slots=True)
class Plan:
    """A text to be filled. `needed` are names that must be there, `optional` those that may."""

    needed: frozenset[str]
    optional: frozenset[str]
    pictures: tuple[str, ...]
    jinja: Bounded
    form: str = ""
    fields: Fields | None = None

    @property
    def names(self) -> frozenset[str]:
        return self.needed | self.optional

    def fill(self, values: Mapping[str, Any], images: Mapping[str, Image]) -> tuple[Part, ...]:
        """The parts, those of empty text left out.

        Raises TemplateFault for what Jinja refuses, KeyError for a picture that is not there.
        """
        text = self.text(values)
        if not self.pictures:
            return (Text(text),) if text else ()
        pieces = _MARK.split(text)
        parts: list[Part] = [Text(pieces[0])] if pieces[0] else []
        for index, after in zip(pieces[1::2], pieces[2::2], strict=True):
            parts.append(images[self.pictures[int(index)]])
            if after:
                parts.append(Text(after))
        return tuple(parts)

    def text(self, values: Mapping[str, Any]) -> str:
        """The text with marks where pictures go. Raises TemplateFault."""
        if self.fields is not None:
            try:
                text = self.form % self.fields(values)
            except KeyError:
                pass  # Jinja says what is wrong
            else:
                if len(text) <= CHARS:
                    return text
        return self.by_jinja(values)

    def by_jinja(self, values: Mapping[str, Any]) -> str:
        """As `text`, always the long way."""
        return self.jinja.render(values, _chars(values.values()))


def plan(source: str, sandbox: Sandbox) -> Plan:
    """Raises TemplateFault where the text is no Jinja."""
    pictures: list[str] = []

    def mark(found: re.Match[str]) -> str:
        pictures.append(found[1])
        return f"\ue000{_NONCE}:{len(pictures) - 1}\ue001"

    marked = _IMAGE.sub(mark, source)
    jinja = sandbox.compile(marked)
    needed, optional = _names(marked, sandbox)
    pieces = _pieces(marked)
    if pieces is None:
        return Plan(needed, optional, tuple(pictures), jinja)
    literals, names = pieces
    form = "%s".join(literal.replace("%", "%%") for literal in literals)
    return Plan(needed, optional, tuple(pictures), jinja, form, _getter(names))


def without_options(source: str) -> str:
    """The text with its options block left out and the blank lines around it made one.

    >>> without_options("Is it so?\\n\\n{{ options }}\\n\\nSay which.")
    'Is it so?\\n\\nSay which.'
    """

    def gap(found: re.Match[str]) -> str:
        if found.start() == 0 or found.end() == len(source):
            return ""
        run = re.split(r"\{\{.*\}\}", found[0])
        return max(run, key=len)

    return _OPTIONS.sub(gap, source)


def literal_skeleton(source: str) -> str:
    """The wording with every placeholder and statement as one short word, for comparing."""
    return re.sub(r"\{\{\s*(\S+?)\s*\}\}", r"<\1>", re.sub(r"\{[%#].*?[%#]\}", " ", source))


def _pieces(source: str) -> tuple[list[str], list[str]] | None:
    """`a {{ x }} b` as (["a ", " b"], ["x"]); None where there is more than plain fields."""
    literals, names, at = [], [], 0
    while opening := _OPENING.search(source, at):
        field = _FIELD.match(source, opening.start())
        if field is None or field[1] in _OWN_WORDS | _LISTS:
            return None
        literals.append(source[at : opening.start()])
        names.append(field[1])
        at = field.end()
    return [_NEWLINE.sub("\n", text) for text in (*literals, source[at:])], names


def _getter(names: Sequence[str]) -> Fields:
    if not names:
        return lambda values: ()
    if len(names) == 1:
        name = names[0]
        return lambda values: (values[name],)
    return itemgetter(*names)


def _names(source: str, sandbox: Sandbox) -> tuple[frozenset[str], frozenset[str]]:
    """Names that the text needs, and those it asks about first (`is defined`, `| default`)."""
    tree = sandbox.environment.parse(source)
    guarded: set[str] = set()
    node: Any
    for node in tree.find_all((nodes.Test, nodes.Filter)):
        if node.name in ("defined", "undefined", "default", "d") and isinstance(
            node.node, nodes.Name
        ):
            guarded.add(node.node.name)
    used = meta.find_undeclared_variables(tree) - sandbox.environment.globals.keys()
    return frozenset(used - guarded), frozenset(used & guarded)


def _chars(values: Any) -> int:
    """Of all texts, those in lists and mappings too."""
    total, waiting = 0, list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return total
