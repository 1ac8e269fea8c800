"""`mmtune check datasets_cfg/cards`: what it shows, and what it refuses."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmtune.config.cards import load_cards
from mmtune.errors import ConfigError, InputError
from mmtune.workflows.check_cards import flan_count, is_cards, run

ROOT = Path(__file__).resolve().parents[2]
CARDS = ROOT / "datasets_cfg" / "cards"

CARD = """\
name: {name}
cluster: nli
siblings: {siblings}
hub: {{path: a/b}}
splits: {{train: train}}
fields: {{premise: "{{{{ a }}}}"}}
choices: ["yes", "no"]
label: "{{{{ label }}}}"
"""
TEMPLATE = """\
task: {task}
templates:
  - name: one
    ask: "{ask}"
"""


def library(folder: Path, *names: str, ask: str = "{{ premise }} {{ options }}") -> Path:
    (folder / "cards").mkdir()
    (folder / "templates").mkdir()
    for name in names:
        (folder / "cards" / f"{name}.yaml").write_text(CARD.format(name=name, siblings='""'))
        (folder / "templates" / f"{name}.yaml").write_text(TEMPLATE.format(task=name, ask=ask))
    return folder / "cards"


def faults(cards: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        run(cards, overrides)
    return "\n".join(caught.value.faults)


def test_a_good_folder_is_shown_by_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(library(tmp_path, "one", "two"), ["one.path=rows.jsonl"])
    shown = capsys.readouterr().out
    assert "nli: 2" in shown and "no faults" in shown
    assert "rows.jsonl" in shown and "a/b" in shown
    assert "1 templates (0 turned)" in shown


def test_one_card_is_checked_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(library(tmp_path, "one", "two") / "one.yaml", ["path=rows.jsonl"])
    shown = capsys.readouterr().out
    assert "rows.jsonl" in shown and "two" not in shown


def test_jinja_splits_and_preparations_that_are_wrong_are_told_together(tmp_path: Path) -> None:
    cards = library(tmp_path, "one", "two")
    told = faults(cards, 'one.fields.premise="{{ a"', "one.splits.dev=train[", "two.prepare=recrod")
    assert "card one: fields.premise: is no Jinja" in told
    assert "card one: splits.dev: found 'train['" in told
    assert "card two: prepare: there is no preparation 'recrod'; did you mean 'record'?" in told


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        ("{{ premis }}", "no field 'premis' (it has premise); did you mean 'premise'?"),
        ("{{ premise", "no Jinja"),
    ],
)
def test_a_template_may_use_the_cards_fields_only(tmp_path: Path, ask: str, told: str) -> None:
    assert told in faults(library(tmp_path, "one", ask=ask))


def test_options_need_choices(tmp_path: Path) -> None:
    cards = library(tmp_path, "one")
    told = faults(cards, "one.choices=[]", 'one.label=""', "one.answer=x")
    assert "one/one: shows options, but the card has no choices" in told


def test_a_card_without_templates_and_one_with_anothers_are_told(tmp_path: Path) -> None:
    cards = library(tmp_path, "one", "two", "three")
    (tmp_path / "templates" / "one.yaml").unlink()
    other = (tmp_path / "templates" / "two.yaml").read_text()
    (tmp_path / "templates" / "three.yaml").write_text(other)
    told = faults(cards)
    assert "1 cards have no templates: one;" in told
    assert "task: found 'two', expected 'three'" in told


def test_siblings_that_are_nearly_those_of_others_are_told(tmp_path: Path) -> None:
    cards = library(tmp_path, "one", "two", "three")
    for name, siblings in (("one", "squad"), ("two", "squad"), ("three", "sqaud")):
        (cards / f"{name}.yaml").write_text(CARD.format(name=name, siblings=siblings))
    told = faults(cards)
    assert (
        "card three: siblings: found 'sqaud', which no other card has; did you mean 'squad'?"
        in (told)
    )


def test_faults_of_the_files_themselves_come_out(tmp_path: Path) -> None:
    cards = library(tmp_path, "one")
    (cards / "x.yaml").write_text("name: x\ncluster: nope\n")
    with pytest.raises(ConfigError, match="x.yaml:2: cluster"):
        run(cards)


def test_cards_are_told_from_recipes(tmp_path: Path) -> None:
    cards = library(tmp_path, "one")
    assert is_cards(cards) and is_cards(cards / "one.yaml")
    assert not is_cards(ROOT / "configs" / "lima_text.yaml")
    assert not is_cards(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    assert not is_cards(tmp_path / "broken.yaml")


def test_the_shipped_cards_compile_and_count_62() -> None:
    cards = load_cards(CARDS)
    assert flan_count(list(cards.values())) == 62
    try:
        run(CARDS)
    except InputError as error:  # templates may be wanting; cards may not
        assert not [fault for fault in error.faults if fault.startswith("card ")]


def test_it_takes_less_than_three_seconds_and_no_torch() -> None:
    """In a process of its own: the import of torch alone would take most of it."""
    code = (
        "import sys; from pathlib import Path\n"
        "from mmtune.errors import InputError\n"
        "from mmtune.workflows.check_cards import run\n"
        "try: run(Path(sys.argv[1]))\n"
        "except InputError: pass\n"
        "assert 'torch' not in sys.modules"
    )
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, CARDS], check=True, cwd=ROOT, capture_output=True)
    assert time.perf_counter() - start < 6  # 3 on a machine with nothing else to do
