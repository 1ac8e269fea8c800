"""What the files and overrides say, and where each value was said. Knows YAML, not the schema."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mmtune.errors import ConfigError

MAX_DEPTH = 40
MAX_NODES = 50_000
MAX_BASES = 8

Scalar = str | int | float | bool | None
Value = Scalar | dict[str, "Node"] | list["Node"]

_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq")}
_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9](_?[0-9])*")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?([0-9](_?[0-9])*\.?([0-9](_?[0-9])*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|nan)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its origin (`recipe.yaml:12` or `override 'a.b=c'`).

    `raw` is how it was written, for places where text is expected: a commit hash `12e4567` is
    no number, `run.dir=2024` is a name.
    """

    value: Value
    origin: str
    raw: str | None = None


def scalar(text: str) -> Scalar:
    """A plain YAML 1.2 scalar: `1e-4` is a number, and `no`, `on`, `2024-01-01` are text.

    >>> scalar("1e-4"), scalar("no"), scalar("1_000"), scalar("~")
    (0.0001, 'no', 1000, None)
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float(special[1] + special[2])
    return text


def parse(text: str, origin: str, *, lines: bool, faults: list[str]) -> Node:
    """The tree of one YAML document.

    With `lines`, each node's origin is `origin:line` of its key. Duplicate keys and foreign tags
    are added to `faults`. Raises ConfigError where the text is no YAML at all.
    """
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_fault(error, text, origin, lines)) from None
    if root is None:
        return Node(None, origin, "")
    return _Walk(origin, lines, faults).node(root, root, 0)


def _syntax_fault(error: yaml.YAMLError, text: str, origin: str, lines: bool) -> str:
    mark = getattr(error, "problem_mark", None)
    position = getattr(error, "position", None)
    line = mark.line + 1 if mark else text.count("\n", 0, position or 0) + 1
    found = getattr(error, "problem", None) or getattr(error, "reason", None)
    problem = str(found or "cannot be read")
    hint = " (indent with spaces)" if "\\t" in problem else ""
    if "alias" in problem or "alias" in str(getattr(error, "context", "")):
        hint = " (quote a value that begins with '*')"
    return f"{origin}{f':{line}' if lines else ''}: not valid YAML: {problem}{hint}"


class _Walk:
    """Holds the count of nodes while one document is turned into Nodes."""

    def __init__(self, origin: str, lines: bool, faults: list[str]) -> None:
        self.origin, self.lines, self.faults, self.count = origin, lines, faults, 0

    def where(self, node: yaml.Node) -> str:
        return f"{self.origin}:{node.start_mark.line + 1}" if self.lines else self.origin

    def node(self, node: yaml.Node, key: yaml.Node, depth: int) -> Node:
        self.count += 1
        where = self.where(key)
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise ConfigError(f"{where}: nested too deep or too large for a recipe")
        if node.tag not in _PLAIN_TAGS:
            self.faults.append(f"{where}: YAML tag {node.tag!r} is not supported; write the value")
        if isinstance(node, yaml.MappingNode):
            return Node(dict(self.items(node, depth)), where)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.node(item, item, depth + 1) for item in node.value], where)
        assert isinstance(node, yaml.ScalarNode)
        text: str = node.value
        return Node(scalar(text) if node.style is None else text, where, text)

    def items(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, Node]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(f"{self.where(key)}: a key must be a plain word")
            elif key.value in seen:
                also = f" (also on line {seen[key.value]})" if self.lines else ""
                self.faults.append(f"{self.where(key)}: {key.value}: key given twice{also}")
            else:
                seen[key.value] = line
                yield key.value, self.node(value, key, depth + 1)


def read_layers(path: Path, faults: list[str], above: Sequence[Path] = ()) -> list[Node]:
    """The file and the files it is `based_on`, lowest first. Each is a mapping."""
    if os.path.realpath(path) in map(os.path.realpath, above):
        chain = " -> ".join(p.name for p in (*above, path))
        raise ConfigError(f"{above[-1]}: based_on: the files are based on each other: {chain}")
    root = parse(_read_text(path), str(path), lines=True, faults=faults)
    if root.value is None:
        raise ConfigError(f"{path}: the file is empty; expected `key: value` lines")
    if not isinstance(root.value, dict):
        raise ConfigError(f"{path}: found {shown(root.value)}, expected `key: value` lines")
    base = root.value.pop("based_on", None)
    if base is None:
        return [root]
    if not isinstance(base.value, str):
        raise ConfigError(f"{base.origin}: based_on: found {shown(base.value)}, expected a file")
    if len(above) + 1 >= MAX_BASES:
        raise ConfigError(f"{base.origin}: based_on: more than {MAX_BASES} files in a chain")
    below = path.parent / base.value
    if not below.is_file():
        raise ConfigError(f"{base.origin}: based_on: {_no_such_file(below)}")
    return [*read_layers(below, faults, (*above, path)), root]


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(_no_such_file(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None


def _no_such_file(path: Path) -> str:
    if path.is_dir():
        return f"{path}: is a folder, expected a YAML file"
    if path.is_symlink():
        return f"{path}: is a link that leads nowhere ({os.readlink(path)})"
    siblings = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, 1)
    return f"{path}: no such file" + (f"; did you mean {path.parent / near[0]}?" if near else "")


def shown(value: object) -> str:
    """A found value for a message, short: `'abc'`, `true`, `a list of 3`, `keys a, b`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "keys " + ", ".join(list(value)[:4]) if value else "an empty section"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}..." + text[0] * isinstance(value, str)
