"""The house rules (who may import whom, fences, sizes, names) read from the source and enforced."""

import ast
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "mmtune").rglob("*.py"))
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in FILES}

FLOORS = [  # lowest first; a room imports from floors below its own, never from its own
    ["types", "errors", "pocket"],
    ["config", "sandbox"],
    ["data"],
    ["encoding", "templates"],
    ["objectives", "judging"],
    ["training", "families", "evaluation", "curation"],
    ["workflows"],
    ["cli"],
    ["train", "__main__"],
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
BASEMENT = {("pocket", "types"), ("pocket", "errors")}
"""The one stair inside a floor: the pocket world speaks in the house's words."""

MODELS = ["families"]
TENSORS = ["encoding", "objectives", "judging", "training", "evaluation", "workflows", *MODELS]
FENCES = {  # library -> where it may be imported: rooms, or single files
    "torch": TENSORS,
    "torchvision": MODELS,
    "transformers": MODELS,
    "peft": MODELS,
    "diffusers": MODELS,
    "open_clip": MODELS,
    "xformers": ["families/attention.py", "families/attention_probe.py"],
    "flash_attn": ["families/attention.py", "families/attention_probe.py"],
    "accelerate": ["training", "workflows"],
    "pydantic": ["config"],
    "pydantic_core": ["config"],
    "annotated_types": ["config"],
    "yaml": ["config"],
    "datasets": ["data", "curation"],
    "pyarrow": ["data", "curation"],
    "pandas": ["data", "curation"],
    "jinja2": ["sandbox", "templates"],
    **dict.fromkeys(
        ["requests", "httpx", "httpx2", "aiohttp", "urllib3", "urllib.request", "http.client"],
        ["judging/clients.py"],
    ),
    **dict.fromkeys(["pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"], []),
}
ONLY = {  # room -> all it may import beside the standard library and this package
    "types": [],
    "errors": [],
    "cli": [],
    "train": [],
    "__main__": [],
    "pocket": ["numpy", "PIL"],
}
DOORS = ("mmtune/cli.py", "mmtune/train.py")
NO_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "base"}


def room_of(path: str) -> str:
    return Path(path).parts[1].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, at the top or lazily, by statement or by `import_module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value)
            elif isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
                yield str(name.values[0].value).rstrip(".")


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def climbing_imports(path: str, tree: ast.AST) -> Iterator[str]:
    room = room_of(path)
    for name in imports(tree):
        if name.startswith("."):
            yield f"{name} is relative"
        parts = name.split(".")
        if parts[0] != "mmtune" or len(parts) < 2 or parts[1] not in FLOOR:
            continue
        there = parts[1]
        if room == there or (room, there) in BASEMENT:
            continue
        if room == "__init__" or FLOOR[there] >= FLOOR[room]:
            yield f"{room} imports {name}"


def broken_fences(path: str, tree: ast.AST) -> Iterator[str]:
    room, file = room_of(path), path.removeprefix("mmtune/")
    for name in imports(tree):
        for library, allowed in FENCES.items():
            fenced = name == library or name.startswith(library + ".")
            if fenced and room not in allowed and file not in allowed:
                yield f"{name}, allowed in {allowed}"
        top = name.split(".")[0]
        if room in ONLY and top not in (*sys.stdlib_module_names, "mmtune", *ONLY[room]):
            yield f"{name}, {room} imports only {['the standard library', *ONLY[room]]}"


def hiding_handlers(path: str, tree: ast.AST) -> Iterator[str]:
    """Handlers of everything, unless they clean up and raise again."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler) or path in DOORS:
            continue
        caught = ast.unparse(node.type) if node.type else "everything"
        wide = not {"everything", "Exception", "BaseException"}.isdisjoint(
            caught.strip("()").split(", ")
        )
        if wide and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None):
            yield f"line {node.lineno} catches {caught}"


def unsafe_loading(path: str, tree: ast.AST) -> Iterator[str]:
    """Code that comes with data: pickled weights, evaluated text, unsandboxed templates."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            flags = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if call == "torch.load" and flags.get("weights_only") != "True":
                yield f"line {node.lineno}: torch.load without weights_only=True"
            if call in ("eval", "exec") or flags.get("allow_pickle") == "True":
                yield f"line {node.lineno}: {call}"
            if call in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
                yield f"line {node.lineno}: {call}"
            if call in ("jinja2.Environment", "jinja2.Template", "Environment", "Template"):
                if "jinja2" in ast.unparse(tree):
                    yield f"line {node.lineno}: {call} outside the sandbox"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring left out."""
    first = function.body[0]
    docstring = ast.get_docstring(function) is not None
    documented = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - documented


def oversize(path: str, tree: ast.AST) -> Iterator[str]:
    lines = max((getattr(node, "end_lineno", 0) or 0 for node in ast.walk(tree)), default=0)
    if lines > 400:
        yield f"{lines} lines"
    for function in functions(tree):
        if (size := length(function)) > 80:
            yield f"{function.name} has {size} lines"


def bad_names(path: str, tree: ast.AST) -> Iterator[str]:
    if Path(path).stem in NO_NAMES or NO_NAMES & set(Path(path).parts):
        yield "a name that says nothing"
    if isinstance(tree, ast.Module) and tree.body and not ast.get_docstring(tree):
        yield "no docstring that says what the file knows"


RULES: list[Callable[[str, ast.AST], Iterator[str]]] = [
    climbing_imports,
    broken_fences,
    hiding_handlers,
    unsafe_loading,
    oversize,
    bad_names,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rule(rule: Callable[[str, ast.AST], Iterator[str]]) -> None:
    found = [f"{path}: {fault}" for path, tree in TREES.items() for fault in rule(path, tree)]
    assert not found, "\n".join(found)


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in TREES} - {"__init__"} <= set(FLOOR)


def test_the_median_function_has_at_most_ten_lines() -> None:
    lengths = [length(function) for tree in TREES.values() for function in functions(tree)]
    assert statistics.median(lengths) <= 10


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (climbing_imports, "mmtune/data/x.py", "from mmtune.encoding import packing"),
        (climbing_imports, "mmtune/training/x.py", "def f():\n    import mmtune.families.text"),
        (climbing_imports, "mmtune/objectives/x.py", "from mmtune.judging.judge import Judge"),
        (climbing_imports, "mmtune/encoding/x.py", "from mmtune import families"),
        (climbing_imports, "mmtune/config/x.py", "import_module('mmtune.workflows.train')"),
        (climbing_imports, "mmtune/workflows/x.py", "import_module(f'mmtune.cli.{name}')"),
        (climbing_imports, "mmtune/data/x.py", "from . import media"),
        (climbing_imports, "mmtune/types.py", "from mmtune.errors import DataError"),
        (broken_fences, "mmtune/data/x.py", "def f():\n    import torch.nn"),
        (broken_fences, "mmtune/training/x.py", "from transformers import Trainer"),
        (broken_fences, "mmtune/workflows/x.py", "import_module('peft')"),
        (broken_fences, "mmtune/families/text.py", "import xformers.ops"),
        (broken_fences, "mmtune/families/text.py", "from accelerate import Accelerator"),
        (broken_fences, "mmtune/workflows/x.py", "import yaml"),
        (broken_fences, "mmtune/encoding/x.py", "import pyarrow.parquet"),
        (broken_fences, "mmtune/judging/judge.py", "from urllib import request"),
        (broken_fences, "mmtune/training/x.py", "import pickle"),
        (broken_fences, "mmtune/cli.py", "import rich"),
        (broken_fences, "mmtune/types.py", "import numpy"),
        (broken_fences, "mmtune/pocket/world.py", "import scipy"),
        (hiding_handlers, "mmtune/data/x.py", "try: f()\nexcept Exception: pass"),
        (hiding_handlers, "mmtune/data/x.py", "try: f()\nexcept (OSError, Exception): pass"),
        (hiding_handlers, "mmtune/data/x.py", "try: f()\nexcept: pass"),
        (unsafe_loading, "mmtune/training/x.py", "torch.load(path)"),
        (unsafe_loading, "mmtune/data/x.py", "numpy.load(path, allow_pickle=True)"),
        (unsafe_loading, "mmtune/data/x.py", "eval(text)"),
        (unsafe_loading, "mmtune/config/x.py", "yaml.load(text, Loader=yaml.Loader)"),
        (unsafe_loading, "mmtune/templates/x.py", "import jinja2\njinja2.Environment()"),
        (oversize, "mmtune/data/x.py", "x = 1\n" * 401),
        (oversize, "mmtune/data/x.py", "def f():\n" + "    x = 1\n" * 80),
        (bad_names, "mmtune/data/utils.py", '"""Doc."""'),
        (bad_names, "mmtune/data/x.py", "x = 1"),
    ],
)
def test_a_broken_rule_is_noticed(
    rule: Callable[[str, ast.AST], Iterator[str]], path: str, source: str
) -> None:
    assert list(rule(path, ast.parse(source)))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mmtune/training/x.py", "from mmtune.encoding.batches import TokenBatch\nimport torch"),
        ("mmtune/pocket/x.py", "import numpy\nfrom mmtune.types import Example"),
        ("mmtune/data/x.py", "try: f()\nexcept BaseException:\n    clean()\n    raise"),
        ("mmtune/training/x.py", "torch.load(path, weights_only=True)\nmodel.eval()"),
        ("mmtune/workflows/x.py", "from mmtune.families import text\nimport accelerate"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, source: str) -> None:
    tree = ast.parse(f'"""Doc."""\n{source}')
    assert not [fault for rule in RULES for fault in rule(path, tree)]
