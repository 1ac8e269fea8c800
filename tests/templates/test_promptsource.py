"""Prompts in the P3 format, all of our own: read safely, rendered by that format's rules."""

from pathlib import Path

import pytest

from mmtune.errors import ConfigError, FormatError
from mmtune.templates.promptsource import Prompt, load_prompts, phrase_row

PROMPTS = """dataset: glue
subset: rte
templates:
  00000000-0000-0000-0000-000000000001: !Template
    answer_choices: yes ||| no
    id: 00000000-0000-0000-0000-000000000001
    jinja: "{{ sentence1 }}\\n\\nCan one say that {{ sentence2 }}? {{ answer_choices[0] }} or
      {{ answer_choices[1] }}? |||
      {% if label != -1 %}{{ answer_choices[label] }}{% endif %}"
    metadata: !TemplateMetadata
      choices_in_prompt: true
      languages: [en]
      metrics: [Accuracy]
      original_task: true
    name: can one say
    reference: ''
  b: !Template
    answer_choices: null
    id: b
    jinja: 'Write something that supports "{{ sentence2 }}" ||| {{ sentence1 }}'
    metadata: !TemplateMetadata {choices_in_prompt: false, metrics: [], original_task: false}
    name: write support
    reference: ours
  c: !Template
    answer_choices: '{{ ["right", "wrong"] | join(" ||| ") }}'
    id: c
    jinja: '{{ ["Judge", "Weigh", "Rate"] | choice }}: {{ sentence2 }} |||
      {{ answer_choices[label] }}'
    metadata: !TemplateMetadata {choices_in_prompt: null, metrics: null, original_task: null}
    name: drawn verb
    reference: ''
  d: !Template
    answer_choices: null
    id: d
    jinja: '{% for a, b in zip(votes, names) %}{{ b }}={{ a }} {% endfor %} |||
      {{ votes | most_frequent | choice }}'
    metadata: !TemplateMetadata {choices_in_prompt: false, metrics: [], original_task: true}
    name: votes
    reference: ''
  e: !Template
    answer_choices: '{{ sentence1 }} ||| {{ sentence2 }}'
    id: e
    jinja: '{% if label == 0 %}Which is longer? ||| {{ answer_choices[0] }}{% endif %}'
    metadata: !TemplateMetadata {choices_in_prompt: false, metrics: [], original_task: true}
    name: some rows only
    reference: ''
  f: !Template
    id: f
    jinja: '{{ extra.title }} / {{ extra["tags"][1] }} ||| {{ sentence2 | upper }}'
    metadata: !TemplateMetadata {original_task: true}
    name: nested
"""
ROW = {
    "sentence1": "It rains in Lund.",
    "sentence2": "Lund is wet",
    "label": 0,
    "votes": [1, 2, 2],
    "names": ["x", "y", "z"],
    "extra": {"title": "T", "tags": ["a", "b"]},
}


@pytest.fixture
def prompts(tmp_path: Path) -> dict[str, Prompt]:
    (tmp_path / "templates.yaml").write_text(PROMPTS)
    found = load_prompts(tmp_path / "templates.yaml")
    return {prompt.name.removeprefix("glue/rte/"): prompt for prompt in found}


def said(prompt: Prompt, example_id: str = "1", **changes):
    return phrase_row(prompt, ROW | changes, example_id=example_id)


def test_metadata_is_read(prompts: dict[str, Prompt]) -> None:
    first = prompts["can one say"]
    assert (first.task, first.metrics, first.choices_in_prompt) == ("glue/rte", ("Accuracy",), True)
    assert [name for name, p in prompts.items() if not p.original_task] == ["write support"]
    assert first.columns == {"sentence1", "sentence2", "label"}


def test_ask_and_answer_are_parted_and_stripped(prompts: dict[str, Prompt]) -> None:
    found = said(prompts["can one say"], label=1)
    assert found.ask == "It rains in Lund.\n\nCan one say that Lund is wet? yes or no?"
    assert (found.answer, found.choices) == ("no", ("yes", "no"))
    turns = found.conversation("r/1", "rte").turns
    assert [(turn.role, turn.text) for turn in turns] == [("user", found.ask), ("assistant", "no")]


def test_a_label_that_is_missing_gives_an_empty_answer(prompts: dict[str, Prompt]) -> None:
    assert said(prompts["can one say"], label=-1).answer == ""


def test_a_row_that_the_prompt_passes_over_gives_none(prompts: dict[str, Prompt]) -> None:
    assert said(prompts["some rows only"], label=1) is None
    assert said(prompts["some rows only"]).answer == "It rains in Lund."


def test_bars_in_data_part_nothing_and_come_out_again(prompts: dict[str, Prompt]) -> None:
    found = said(prompts["some rows only"], sentence1="a ||| b")
    assert (found.answer, found.choices) == ("a ||| b", ("a ||| b", "Lund is wet"))
    nested = said(prompts["nested"], extra={"title": "x|||y", "tags": ["1", "2|||3"]})
    assert nested.ask == "x|||y / 2|||3"


def test_choice_is_keyed_by_seed_and_example(prompts: dict[str, Prompt]) -> None:
    drawn = [said(prompts["drawn verb"], str(n)).ask for n in range(60)]
    assert [said(prompts["drawn verb"], str(n)).ask for n in reversed(range(60))] == drawn[::-1]
    assert len(set(drawn)) == 3
    other = [phrase_row(prompts["drawn verb"], ROW, example_id=str(n), seed=1) for n in range(60)]
    assert [found.ask for found in other] != drawn


def test_zip_and_most_frequent_are_there(prompts: dict[str, Prompt]) -> None:
    found = said(prompts["votes"])
    assert (found.ask, found.answer) == ("x=1 y=2 z=2", "2")
    counted = Prompt("mine", "t", "{{ votes | most_frequent }} ||| x")
    assert said(counted, votes=[3, 1, 2, 1, 3]).ask == "[3, 1]"


def test_each_printed_value_is_cut_at_2048_characters(prompts: dict[str, Prompt]) -> None:
    long = "word " * 2_000
    found = said(prompts["can one say"], sentence1=long, sentence2=long)
    assert found.ask.count("...") == 2 and 4_000 < len(found.ask) < 2 * 2_048 + 60


def test_data_is_never_compiled(prompts: dict[str, Prompt]) -> None:
    assert said(prompts["nested"], extra={"title": "{{ 1 }}", "tags": "ab"}).ask == "{{ 1 }} / b"


@pytest.mark.parametrize(
    "jinja",
    [
        "{{ nosuch }} ||| x",
        "{{ sentence1.__class__.__mro__ }} ||| x",
        "{{ 'a' * 99999999 }} ||| x",
        "{{ [] | choice }} ||| x",
        "a ||| b ||| c",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %} ||| x",
    ],
)
def test_what_a_prompt_may_not_do_is_an_error_that_names_it(jinja: str) -> None:
    with pytest.raises(FormatError, match="prompt 'mine', example '1'"):
        said(Prompt("mine", "t", jinja))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("!TemplateMetadata\n", "!!python/object/apply:os.system\n"), "templates.yaml:10: not a"),
        (("b: !Template\n", "b: !Other\n"), "templates.yaml:17: not a promptsource"),
        (("    name: write support\n", ""), "templates.b.name: missing"),
        (('"{{ sentence2 }}" |||', '"{{ sentence2 }}" ||'), "'glue/rte/write support': no"),
        (("{{ sentence2 | upper }}", "{{ sentence2 | "), "'glue/rte/nested': jinja is no Jinja"),
        (("templates:", "templates: 3\nold:"), "templates: found 3"),
    ],
)
def test_a_faulty_file_is_told_of_with_its_place(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    assert change[0] in PROMPTS
    path = tmp_path / "templates.yaml"
    path.write_text(PROMPTS.replace(*change))
    with pytest.raises(ConfigError, match=told):
        load_prompts(path)


def test_an_unreadable_file_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_prompts(tmp_path / "no.yaml")
    (tmp_path / "odd.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_prompts(tmp_path / "odd.yaml")
