"""The catalogue as a page of the documentation.

Run `PYTHONPATH=tests python -m bad_inputs.page` to write it again.
"""

from collections.abc import Iterable
from pathlib import Path

from bad_inputs.case import Case, Row
from bad_inputs.chats import CHATS
from bad_inputs.files import FILES
from bad_inputs.models import CODE, FOLDERS, TOKENIZERS
from bad_inputs.recipes import OVERRIDES, RECIPES
from bad_inputs.rows import DIALOGUES, KEPT, UNREADABLE, UNUSABLE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bad_input.md"

CASES: dict[str, tuple[str, list[Case]]] = {
    "Recipes": ("All faults of a recipe are told at once, in under half a second.", RECIPES),
    "Overrides": ("Keys on the command line are checked like the recipe's own.", OVERRIDES),
    "Files of rows": ("A file is known by what it holds, not by its name alone.", FILES),
    "Models": (
        "Weights are compared with `config.json` before they are read: nothing is filled in at "
        "random, and no layer is left out.",
        FOLDERS,
    ),
    "Tokenizers": ("Every id must have a row of the embeddings.", TOKENIZERS),
    "Chat templates": (
        "Templates are rendered in a box that bounds memory and effort, before transformers "
        "renders them.",
        CHATS,
    ),
    "Code and secrets": (
        "Nothing that comes with data or weights is run unless you say so. No environment variable "
        "is written to a run's folder or printed.",
        CODE,
    ),
}
ROWS: dict[str, tuple[str, list[Row]]] = {
    "Rows that cannot be read": ("", UNREADABLE),
    "Rows that say nothing to learn": ("", UNUSABLE),
    "Dialogues": ("", DIALOGUES),
    "Odd, and kept": ("What can be learnt as it stands is not touched.", KEPT),
}
HEAD = """\
# Bad input

What mmtune does with input that is wrong, class by class. Each line of these tables is a test
(`tests/test_bad_inputs.py`), and each message is the real one; `…` stands for what differs from
case to case.

A fault in the recipe, the files or the model ends the command with **exit code 2** and one line a
fault, `error: ...`: where it is, what was found, what to do. A fault in **one row** costs that row:
it is left out, counted, and named with file and line in the run's `ledger.jsonl`, until more than
`data.max_bad_rows_fraction` of a source is lost, which ends the command. Kept and dropped rows
always add up to the rows that were seen. A row that is longer than `data.max_tokens` follows
`data.overlong`.

`mmtune check RECIPE` finds all of this without training.
"""
ROWS_HEAD = """\
## Rows

The bad row stands between good ones, which are kept.
"""


def page() -> str:
    order = ["Recipes", "Overrides", "Files of rows"]
    first = [_case_table(name) for name in order]
    rest = [_case_table(name) for name in CASES if name not in order]
    return "\n".join([HEAD, *first, ROWS_HEAD, *map(_row_table, ROWS), *rest])


def _case_table(name: str) -> str:
    about, cases = CASES[name]
    rows = ([case.name, _code(case.says) or f"no error: {case.does}"] for case in cases)
    return _section(f"## {name}", about, ["given", "mmtune says"], rows)


def _row_table(name: str) -> str:
    about, rows = ROWS[name]
    lines = ([r.name, r.reason and f"dropped: `{r.reason}`" or r.becomes, _code(r.says)]
             for r in rows)  # fmt: skip
    return _section(f"### {name}", about, ["row", "mmtune", "the ledger says"], lines)


def _section(title: str, about: str, head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([title, "", *([about, ""] if about else []), *lines, ""])


def _code(text: str) -> str:
    if not text:
        return ""
    short = text if len(text) <= 240 else text[:240] + "…"
    marks = "``" if "`" in short else "`"
    space = " " if "`" in short else ""
    return f"{marks}{space}{short}{space}{marks}"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
