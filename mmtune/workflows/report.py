"""`mmtune report`: one page (HTML, nothing outside it is needed) and its figure (PNG), made of the
JSON that an evaluation or a study wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtune.errors import DataError
from mmtune.evaluation.study_summary import summarise
from mmtune.workflows.report_page import Page, write_page
from mmtune.workflows.report_study import study_page
from mmtune.workflows.report_zero_shot import zero_shot_page
from mmtune.workflows.terminal import console

_NAMES = ("study.json", "zero_shot.json")


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a report."""

    page: Path
    figure: Path


def run(path: Path) -> Written:
    """Write `<name>.html` and `<name>.png` beside the JSON, and print the table.

    `path`: the JSON, or a folder with a study.json or zero_shot.json.
    Raises DataError where that is not there, or is nothing that a report is made of.
    """
    file = _found(path)
    page = _page(_read(file), file)
    written = Written(file.with_suffix(".html"), file.with_suffix(".png"))
    write_page(page, written.page, written.figure)
    console().print(
        page.as_text(), f"report: {written.page}", f"figure: {written.figure}", sep="\n"
    )
    return written


def _found(path: Path) -> Path:
    if path.is_file():
        return path
    for name in _NAMES:
        if (path / name).is_file():
            return path / name
    wanted = f"a folder with {' or '.join(_NAMES)}, or such a file"
    raise DataError(f"{path}: nothing to report on; give {wanted}")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as JSON ({error})") from None
    return found if isinstance(found, dict) else {}


def _page(found: dict[str, Any], file: Path) -> Page:
    try:
        if found.get("kind") == "flan_study":
            return study_page(summarise(found), found["settings"])
        if {"settings", "tasks", "clusters"} <= found.keys():
            return zero_shot_page(found)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise DataError(f"{file}: the results in it are not whole ({error!r})") from None
    raise DataError(
        f"{file}: neither the results of a study nor a zero-shot report; "
        "eval/flan_study.py and eval/zero_shot.py write those"
    )
