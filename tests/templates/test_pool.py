"""The pool: template files read with located faults, and the choice of a template per example."""

from collections import Counter
from pathlib import Path

import pytest

from mmtune.errors import ConfigError, FormatError
from mmtune.templates.pool import load_pool, load_templates
from mmtune.types import Example

GOOD = """task: sums
templates:
  - name: first
    ask: |-
      {{ a }} + {{ b }}?

      {{ options }}
  - {name: second, ask: "Add {{ a }} to {{ b }}", system: Be quick}
  - name: third
    ask: "Which sum gives {{ answer }}?"
    answer: "{{ a }} + {{ b }}"
    turned_around: true
  - {name: fourth, ask: "{{ a }}\\n{{ options }}", choices: ["no", "yes"]}
"""


def written(folder: Path, text: str, name: str = "sums") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def sums(count: int) -> list[Example]:
    return [Example(id=f"sums/{n}", source="sums", task="sums", fields={}) for n in range(count)]


def test_a_file_gives_its_templates_in_order(tmp_path: Path) -> None:
    first, second, third, fourth = load_templates(written(tmp_path, GOOD))
    assert first.name == "sums/first" and first.task == "sums" and first.answer == "{{ answer }}"
    assert first.ask == "{{ a }} + {{ b }}?\n\n{{ options }}"
    assert second.system == "Be quick" and third.turned_around and not first.turned_around
    assert fourth.choices == "no ||| yes"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('ask: "Add', 'aks: "Add'), r"sums.yaml:\d+: templates.1.aks: no such key"),
        (("name: second", "name: first"), "name given twice: first"),
        (("name: second", "name: Not a name"), r"templates.1.name"),
        (("{{ a }} to", "{{ a to"), "sums.yaml: template 'sums/second': ask is no Jinja"),
        (("task: sums", "tusk: sums"), "did you mean task"),
        (('["no", "yes"]', '["no"]'), "two or more"),
        (('ask: "Which sum gives {{ answer }}?"', "ask: ''"), r"templates.2.ask"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(ConfigError, match=told):
        load_templates(written(tmp_path, GOOD.replace(*change)))


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("{{ a }} to", "{{ a to"))
    written(tmp_path, GOOD, "other")
    with pytest.raises(ConfigError) as error:
        load_pool(tmp_path)
    assert len(error.value.faults) == 2
    assert "expected 'other'" in str(error.value)


def test_only_the_tasks_wanted_are_read(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, "broken", "other")
    assert list(load_pool(tmp_path, ["sums"]).by_task) == ["sums"]
    with pytest.raises(ConfigError, match="did you mean"):
        load_pool(tmp_path, ["sum"])


def test_a_random_choice_hangs_on_seed_epoch_and_example_alone(tmp_path: Path) -> None:
    pool = load_pool(written(tmp_path, GOOD).parent)
    rows = sums(400)

    def chosen(rows: list[Example], **key: int) -> dict[str, str]:
        return {row.id: pool.choose(row, "random", **key).name for row in rows}

    assert chosen(rows) == chosen(rows[::-1]) == chosen(rows[::2]) | chosen(rows[1::2])
    assert chosen(rows) != chosen(rows, epoch=1) != chosen(rows, seed=1)
    assert all(70 < count < 130 for count in Counter(chosen(rows).values()).values())


def test_round_robin_gives_each_of_consecutive_examples_the_next_template(tmp_path: Path) -> None:
    pool = load_pool(written(tmp_path, GOOD).parent)
    names = [pool.choose(r, "round_robin", position=i).name for i, r in enumerate(sums(8))]
    assert names == [template.name for template in pool.of("sums")] * 2
    with pytest.raises(ValueError, match="position"):
        pool.choose(sums(1)[0], "round_robin")


def test_a_template_is_chosen_by_either_name(tmp_path: Path) -> None:
    pool = load_pool(written(tmp_path, GOOD).parent)
    row = sums(1)[0]
    assert pool.choose(row, "third") is pool.choose(row, "sums/third")
    with pytest.raises(FormatError, match="Did you mean 'third'"):
        pool.choose(row, "thirdd")


def test_a_task_without_templates_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="Did you mean 'sums'"):
        load_pool(written(tmp_path, GOOD).parent).of("sumz")
