"""The catalogue of bad inputs, each through the real door: outcome, message, time."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bad_inputs.case import Case, Row, matches
from bad_inputs.page import CASES, PAGE, ROWS, page
from bad_inputs.recipes import GOOD
from bad_inputs.rows import MAX_FIELD_CHARS, said, talk
from tiny import tiny_model, tiny_tokenizer
from tiny_runs import make_model, make_rows

from mmtune.cli import main
from mmtune.config.recipe import Source
from mmtune.data.sources import examples, open_source
from mmtune.encoding.chat_format import chat_format
from mmtune.encoding.conversations import encode
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Dropped, Example

MOST_SECONDS = 0.5
EVERY_CASE = [(kind, case) for kind, (_, cases) in CASES.items() for case in cases]
EVERY_ROW = [(kind, row) for kind, (_, rows) in ROWS.items() for row in rows]


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, one with a chat template, rows, and a recipe over them: all of it right."""
    folder = tmp_path_factory.mktemp("good")
    make_model(folder / "model")
    tiny_model().save_pretrained(folder / "chat")
    tiny_tokenizer("chatml").save_pretrained(folder / "chat")
    make_rows(folder / "rows.jsonl", 30)
    (folder / "bad.yaml").write_text(GOOD)
    before = Path.cwd()
    os.chdir(folder)
    assert main(["check", "bad.yaml"]) == 0  # imports what all cases need
    os.chdir(before)
    return folder


@contextmanager
def bounded(*, seconds: int, more_bytes: int) -> Iterator[None]:
    """An input that gets past its guard fails its test; it does not take the machine with it."""

    def late(*_: object) -> None:
        raise TimeoutError(f"still busy after {seconds} s")

    pages = Path("/proc/self/statm")
    used = int(pages.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0
    before, limits = signal.signal(signal.SIGALRM, late), resource.getrlimit(resource.RLIMIT_AS)
    signal.alarm(seconds)
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, limits[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture
def here(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: the good things, to be spoilt. Nothing may have run code in it."""
    for name in ("model", "chat"):
        (tmp_path / name).symlink_to(good / name)
    for name in ("rows.jsonl", "bad.yaml"):
        shutil.copy(good / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with bounded(seconds=20, more_bytes=3 << 30):
        yield tmp_path
    assert not (tmp_path / "canary").exists(), "code of the input was run"


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The faults, without `error: `; nothing else may look like a failure."""
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err
    lines = [line for line in output.err.splitlines() if line.startswith("error: ")]
    return [line.removeprefix("error: ") for line in lines]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{kind}-{case.name}") for kind, case in EVERY_CASE]
)
def test_a_bad_input_is_told_in_one_line_and_at_once(
    case: Case, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if case.not_as_root and not os.getuid():
        pytest.skip("root may read everything")
    overrides = case.make()
    started = time.process_time()
    code = main([case.verb, "bad.yaml", *overrides])
    spent = time.process_time() - started
    faults = told(capsys)
    if not case.says:
        assert (code, faults) == (0, [])
        return
    assert code == 2
    assert len(faults) == 1 and matches(case.says, faults[0]), faults
    assert spent < MOST_SECONDS


def rows_around(row: Row) -> list[Example | Dropped]:
    """What is read of a file with the row between two good ones."""
    good = talk(("user", "Hi"), ("assistant", "Hello")) if b'"messages"' in row.line else said()
    good = good[:-1] + b', "id": "good"}'
    Path("r.jsonl").write_bytes(good + b"\n" + row.line + b"\n" + good + b"\n")
    opened = open_source(Source(path="r.jsonl"), max_field_chars=MAX_FIELD_CHARS)
    return list(examples(opened))


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{kind}-{row.name}") for kind, row in EVERY_ROW]
)
def test_a_bad_row_costs_itself_and_is_named(row: Row, here: Path) -> None:
    before, found, after = rows_around(row)
    assert isinstance(before, Example) and isinstance(after, Example)
    assert found.where == "r.jsonl:2"
    if row.reason:
        assert isinstance(found, Dropped)
        assert found.reason == row.reason
        assert matches(row.says, found.detail), found.detail
    else:
        assert isinstance(found, Example), found
        assert row.becomes and row.holds(found)


def test_control_tokens_in_a_row_are_never_encoded_as_such(here: Path) -> None:
    [row] = [row for _, row in EVERY_ROW if row.name == "control tokens in the text"]
    plain, found, _ = rows_around(row)
    assert isinstance(found, Example) and isinstance(plain, Example)
    tokenizer = tiny_tokenizer("chatml")
    fmt = chat_format(tokenizer)
    marks = set(tokenizer.all_special_ids)
    counts = [
        sum(token in marks for token in encode(as_conversation(example), fmt).ids)
        for example in (plain, found)
    ]
    assert counts[0] == counts[1] > 0


def test_the_catalogue_has_sixty_cases_and_none_twice() -> None:
    names = [(kind, case.name) for kind, case in EVERY_CASE]
    names += [(kind, row.name) for kind, row in EVERY_ROW]
    assert len(set(names)) == len(names) >= 60


def test_the_page_says_what_the_catalogue_says() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "write it anew: PYTHONPATH=tests python -m bad_inputs.page"


def test_a_wrong_recipe_is_told_by_a_new_process_in_half_a_second(here: Path) -> None:
    (here / "bad.yaml").write_text(GOOD + "train: {lr: 1}\n")
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-X", "importtime", "-m", "mmtune", "check", "bad.yaml"]
    before = os.times()
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)}
    )
    after = os.times()
    spent = after.children_user + after.children_system
    assert done.returncode == 2 and "bad.yaml:4: train.lr: no such key" in done.stderr
    assert "| torch" not in done.stderr.replace("|   ", "| ")
    assert spent - before.children_user - before.children_system < MOST_SECONDS


def test_no_secret_of_the_environment_is_written_or_printed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = {"HF_TOKEN": "hf_plantedPLANTEDplanted", "OPENAI_API_KEY": "sk-plantedPLANTED"}
    for name, secret in secrets.items():
        monkeypatch.setenv(name, secret)
    assert main(["train", "bad.yaml", "train.max_steps=1"]) == 0
    assert main(["check", "bad.yaml", "model.path=org/name"]) == 2
    output = capfd.readouterr()
    files = [path.read_bytes() for path in (here / "run").rglob("*") if path.is_file()]
    assert len(files) > 5
    for secret in secrets.values():
        assert secret not in output.out + output.err
        assert not [data for data in files if secret.encode() in data]


def test_a_hub_out_of_reach_is_told_of_at_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    started = time.monotonic()
    assert main(["check", "bad.yaml", "model.path=org/name", "data.path=org/rows"]) == 2
    assert time.monotonic() - started < 4
    faults = told(capsys)
    assert len(faults) == 2
    assert "hub data set" in faults[0] and "the hub cannot be reached" in faults[1]
