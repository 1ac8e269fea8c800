"""The doors: what they print, what they return, what they must not import."""

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from mmtune import cli
from mmtune.config.recipe import Recipe
from mmtune.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    Interrupted,
    MmtuneError,
    TrainingDiverged,
)

GOOD = "model: {family: text, path: a}\ndata: {path: b}\nrun: {dir: c}\n"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[object]]:
    """Puts a stand-in for a workflow into the table of modules; returns what it is called with."""

    def install(verb: str) -> list[object]:
        calls: list[object] = []
        module = types.ModuleType(f"mmtune.workflows.{verb}")
        module.run = lambda *args, **flags: calls.extend((*args, flags))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return calls

    return install


def test_help_lists_every_verb_in_under_half_a_second_without_torch() -> None:
    code = (
        "import sys; from mmtune.cli import main; rc = main(['--help'])\n"
        "assert not {'torch', 'numpy', 'pydantic', 'yaml'} & set(sys.modules)\nsys.exit(rc)"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 0.5
    verbs = "check preview curate train generate judge evaluate report bench doctor pocket".split()
    assert [line.split()[0] for line in done.stdout.splitlines() if line[:2] == "  "] == verbs


def test_a_wrong_recipe_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(GOOD + "train: {lr: 1}\n")
    command = [sys.executable, "-X", "importtime", "-m", "mmtune.train", str(path), "run.dri=z"]
    done = subprocess.run(command, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("import time")]
    assert done.returncode == 2
    assert len(errors) == 2 and all(line.startswith("error: ") for line in errors)
    assert "| torch" not in done.stderr.replace("|   ", "| ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("a", "b"), 2),
        (TrainingDiverged("nan"), 3),
        (Interrupted("saved", 75), 75),
        (Interrupted("saved", 130), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    def fail() -> None:
        raise error

    assert cli.through_door(fail) == code


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        cli.through_door(lambda: print(1 / 0))


@pytest.mark.parametrize(
    ("error", "rank", "told"),
    [
        (ConfigError("a", "b"), "0", "error: a\nerror: b\n"),
        (ConfigError("a", "b"), "3", ""),
        (DataError("a"), "3", "[rank 3] error: a\n"),
        (TrainingDiverged("nan"), "0", "nan\n"),
    ],
)
def test_every_rank_ends_alike_but_what_all_know_is_told_once(
    error: MmtuneError,
    rank: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RANK", rank)

    def fail() -> None:
        raise error

    assert cli.through_door(fail) == error.exit_code
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DataError("a"), ""),
        (CheckpointError("a"), "[rank 5] error: a\n"),
        (TrainingDiverged("nan"), ""),
    ],
)
def test_what_all_ranks_of_a_machine_see_is_told_by_its_first(
    error: MmtuneError,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("LOCAL_RANK", "1")

    def fail() -> None:
        raise error

    assert cli.through_door(fail) == error.exit_code
    assert capsys.readouterr().err == told


def test_a_message_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise DataError("a\x1b[2Jb\0 \udcff é")

    cli.through_door(fail)
    assert capsys.readouterr().err == "error: a\\x1b[2Jb\\x00 \\udcff é\n"


@pytest.mark.parametrize(
    ("argv", "fragment"),
    [
        (["trian", "x"], "mmtune trian: no such verb; did you mean 'train'?"),
        (["curate", "x.yaml"], "mmtune curate: not in this version; it comes in a later one"),
        (["train"], "mmtune train: the following arguments are required: config; see"),
        (["train", "x.yaml", "--lr=3"], "unrecognized arguments: --lr=3"),
        (["preview", "x.yaml", "--rows", "0"], "found '0', expected a whole number >= 1"),
        (["generate", "folder", "a=1"], "key=value belongs to a recipe"),
        (["generate", "folder", "--top-p", "2"], "found '2', expected a number from 0 to 1"),
        (["generate", "folder", "--temperature", "nan"], "found 'nan', expected a number >= 0"),
        (["pocket", "build", "lmm"], "invalid choice: 'lmm'"),
        (["check", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    argv: list[str], fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    told = capsys.readouterr().err
    assert fragment in told and told.count("\n") == 1


def test_verbs_hand_the_recipe_and_their_flags_to_the_workflow(
    recipe_file: Path, workflow: Callable[[str], list[object]]
) -> None:
    calls = workflow("preview")
    assert cli.main(["preview", str(recipe_file), "--rows", "7", "train.seed=5"]) == 0
    recipe, flags = calls
    assert isinstance(recipe, Recipe) and recipe.train.seed == 5
    assert flags == {"rows": 7}


def test_generate_takes_a_folder_or_the_recipe_whose_run_wrote_it(
    recipe_file: Path, workflow: Callable[[str], list[object]]
) -> None:
    calls = workflow("generate")
    assert cli.main(["generate", "some/folder", "--max-new-tokens", "9"]) == 0
    assert cli.main(["generate", str(recipe_file), "run.dir=r", "--prompts", "p.jsonl"]) == 0
    assert calls[0] == "some/folder" and calls[2] == str(Path("r/final"))
    assert calls[1]["max_new_tokens"] == 9  # type: ignore[index]
    assert calls[3]["prompts"] == Path("p.jsonl")  # type: ignore[index]


def test_pocket_build_hands_on_the_name_and_the_overrides(
    workflow: Callable[[str], list[object]],
) -> None:
    calls = workflow("pocket")
    assert cli.main(["pocket", "build", "lm", "steps=3"]) == 0
    assert calls == ["lm", ["steps=3"], {}]
