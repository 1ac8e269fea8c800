"""Zero-shot evaluation end to end: a tiny model, cards and templates of its own, a report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from mmtune.config.suite import zero_shot_suite
from mmtune.errors import ConfigError, DataError, InputError
from mmtune.workflows import evaluate, harness, zero_shot

ROOT = Path(__file__).resolve().parents[2]

TRUTHS = """\
name: truths
cluster: nli
path: {rows}/truths-{{split}}.jsonl
splits: {{train: train, dev: dev, test: test}}
fields: {{claim: "{{{{ claim }}}}"}}
choices: ["yes", "no"]
label: "{{{{ label }}}}"
keep: "label >= 0"
"""
TRUTH_TEMPLATES = """\
task: truths
templates:
  - name: so
    ask: "{{ claim }} Is it so?\\n\\n{{ options }}"
  - name: told
    ask: "Yes or no: {{ claim }}"
    answer: "It is {{ answer }}."
  - name: around
    turned_around: true
    ask: "Say something."
    answer: "{{ claim }}"
"""
PICKS = """\
name: picks
cluster: commonsense
path: {rows}/picks.jsonl
splits: {{test: train}}
fields: {{question: "{{{{ question }}}}"}}
choices: "{{{{ endings }}}}"
label: "{{{{ gold }}}}"
"""
PICK_TEMPLATES = """\
task: picks
templates:
  - name: bare
    ask: "{{ question }}"
"""
SAYINGS = """\
name: sayings
cluster: struct_to_text
path: {rows}/sayings.jsonl
splits: {{test: train}}
fields: {{facts: "{{{{ facts }}}}"}}
answer: "{{{{ text }}}}"
metric: bleu
"""
SAYING_TEMPLATES = """\
task: sayings
templates:
  - name: tell
    ask: "Tell: {{ facts }}"
    answer: "So: {{ answer }}"
"""


def rows(path, values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with `model`, `cards` and `templates`."""
    folder = tmp_path_factory.mktemp("zero_shot")
    for name in ("cards", "templates", "rows"):
        (folder / name).mkdir()
    texts = {
        "truths": (TRUTHS, TRUTH_TEMPLATES),
        "picks": (PICKS, PICK_TEMPLATES),
        "sayings": (SAYINGS, SAYING_TEMPLATES),
    }
    for name, (card, templates) in texts.items():
        (folder / "cards" / f"{name}.yaml").write_text(card.format(rows=folder / "rows"))
        (folder / "templates" / f"{name}.yaml").write_text(templates)
    for split, count in (("train", 9), ("dev", 6), ("test", 12)):
        claims = [{"claim": f"{n} is green {split}.", "label": n % 2} for n in range(count)]
        rows(folder / "rows" / f"truths-{split}.jsonl", [*claims, {"claim": "?", "label": -1}])
    endings = [["a", "b c"], ["a", "b", "c", "a b"], ["yes", "yes, no"], ["x " * 400, "y"]]
    picks = [{"question": f"Q{n}?", "endings": e, "gold": 1} for n, e in enumerate(endings)]
    rows(folder / "rows" / "picks.jsonl", picks)
    facts = [{"facts": f"star {n}", "text": f"There is star {n}."} for n in range(3)]
    rows(folder / "rows" / "sayings.jsonl", facts)
    tiny.tiny_model().save_pretrained(folder / "model")
    tiny.tiny_tokenizer("chatml").save_pretrained(folder / "model")
    return folder


def suite(world, out, **more):
    values = {
        "model": {"family": "text", "path": str(world / "model")},
        "cards": str(world / "cards"),
        "templates": str(world / "templates"),
        "out": str(out / "report.json"),
        "max_new_tokens": 4,
        "resamples": 100,
    }
    return zero_shot_suite(values | more)


def test_a_report_accounts_for_every_row_of_every_kind_of_task(world, tmp_path, capsys):
    report = zero_shot.run(suite(world, tmp_path))
    assert json.loads((tmp_path / "report.json").read_text()) == report
    truths, picks = report["tasks"]["truths"], report["tasks"]["picks"]
    assert list(truths["templates"]) == ["truths/so", "truths/told"]  # no turned-around one
    assert truths["dropped"] == {"not_kept": 1}
    assert (truths["examples"], truths["chance"], truths["majority"]) == (12, 0.5, 0.5)
    assert truths["best_dev_template"]["pmi"]["template"] in truths["templates"]
    assert picks["dropped"] == {"picks/bare: too_long": 1}
    assert (picks["examples"], picks["majority"]) == (3, None)
    assert picks["chance"] == pytest.approx((1 / 2 + 1 / 4 + 1 / 2) / 3)
    assert picks["best_dev_template"]["sum"] is None
    sayings = report["tasks"]["sayings"]
    assert (sayings["kind"], sayings["headline"], sayings["chance"]) == ("generate", "bleu", None)
    assert list(report["clusters"]) == ["commonsense", "struct_to_text", "nli"]
    assert report["settings"]["stop_token"] == "counted"
    printed = capsys.readouterr().out
    assert "truths" in printed and "left out: picks 1" in printed


def test_batch_size_changes_nothing_in_the_report(world, tmp_path):
    found = [
        zero_shot.run(suite(world, tmp_path, batch_tokens=size, tasks=["truths", "picks"]))
        for size in (1, 300, 100_000)
    ]
    for report in found:
        del report["settings"]
    assert found[0] == found[1] == found[2]


def scores(world, tmp_path, **more):
    wanted = suite(world, tmp_path, tasks=["truths"], **more)
    [task] = zero_shot.read_tasks(wanted)
    bench = zero_shot.open_bench(wanted)
    asked = list(zero_shot.questions(task, task.templates[0], task.test, wanted))
    return asked, zero_shot.rank(asked, bench.likelihoods)


def test_leaving_the_stop_token_out_leaves_one_factor_out(world, tmp_path):
    _, counted = scores(world, tmp_path)
    _, left_out = scores(world, tmp_path, stop_token="left_out")
    for whole, part in zip(counted, left_out, strict=True):
        for a, b in zip(whole.scores["sum"], part.scores["sum"], strict=True):
            assert a < b
        tokens = [
            s / t for s, t in zip(whole.scores["sum"], whole.scores["per_token"], strict=True)
        ]
        fewer = [s / t for s, t in zip(part.scores["sum"], part.scores["per_token"], strict=True)]
        assert [round(a - b) for a, b in zip(tokens, fewer, strict=True)] == [1, 1]


def test_variants_change_what_is_asked_and_what_is_ranked(world, tmp_path):
    shown, _ = scores(world, tmp_path)
    assert shown[0].options == ("yes", "no") and "OPTIONS:" in shown[0].prompt[-1].text
    lettered, _ = scores(world, tmp_path, options="lettered")
    assert lettered[0].options == ("(A)", "(B)")
    hidden, _ = scores(world, tmp_path, options="without")
    assert "OPTIONS:" not in hidden[0].prompt[-1].text


def test_solved_examples_of_train_come_first_and_nothing_of_test(world, tmp_path):
    asked, ranked = scores(world, tmp_path, few_shot=2)
    for one in asked:
        assert [turn.role for turn in one.prompt] == ["user", "assistant"] * 2 + ["user"]
        assert all("train" in turn.text for turn in one.prompt[:-1:2])
        assert "test" in one.prompt[-1].text
    again, _ = scores(world, tmp_path, few_shot=2)
    assert asked == again
    assert len(ranked) == 12


def test_a_limit_draws_by_seed_and_the_same_examples_for_every_order(world, tmp_path):
    def drawn(seed, limit=5):
        [task] = zero_shot.read_tasks(
            suite(world, tmp_path, tasks=["truths"], limit=limit, seed=seed)
        )
        return [example.id for example in task.test]

    assert len(drawn(0)) == 5 and drawn(0) == drawn(0)
    assert set(drawn(0)) < set(drawn(0, limit=8))
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_written_answers_may_be_bare_or_as_the_template_puts_them(world, tmp_path):
    wanted = suite(world, tmp_path, tasks=["sayings"])
    [task] = zero_shot.read_tasks(wanted)
    [first, *_] = zero_shot.prompts(task, task.templates[0], task.test, wanted)
    assert first.references == ("There is star 0.", "So: There is star 0.")
    assert first.conversation.turns[-1].role == "user"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tasks": ["truth"]}, "did you mean 'truths'"),
        ({"clusters": ["nil"]}, "did you mean 'nli'"),
        ({"templates": "nowhere"}, "no such folder of templates"),
        ({"card_overrides": ["picks.path=none.jsonl"]}, "none.jsonl"),
        ({"tasks": ["picks"], "split": "dev"}, "has no split dev"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_the_model_is_read(world, tmp_path, more, message):
    wanted = suite(world, tmp_path, **more).model_copy(update={"model": None})
    with pytest.raises(InputError, match=message):
        zero_shot.run(wanted)


def test_a_split_without_a_usable_row_is_an_error_that_says_why(world, tmp_path):
    wanted = suite(world, tmp_path, tasks=["truths"], card_overrides=["truths.keep=label > 7"])
    with pytest.raises(DataError, match="no usable row .not_kept 13"):
        zero_shot.run(wanted)


def test_a_suite_file_does_the_same(world, tmp_path, capsys):
    wanted = suite(world, tmp_path, tasks=["truths"])
    path = tmp_path / "suite.yaml"
    path.write_text(json.dumps(wanted.model_dump(mode="json", exclude_defaults=True)))
    evaluate.run(path, [f"out={tmp_path / 'other.json'}"])
    other = json.loads((tmp_path / "other.json").read_text())
    assert other["tasks"] == zero_shot.run(wanted)["tasks"]
    with pytest.raises(ConfigError, match="did you mean few_shot"):
        evaluate.run(path, ["few_shots=2"])


def test_a_value_of_the_wrong_kind_is_an_error_with_its_name():
    with pytest.raises(ConfigError, match="limit: found -1"):
        zero_shot_suite({"model": {"family": "text", "path": "x"}, "limit": -1})


def test_an_export_holds_every_question_once(world, tmp_path):
    wanted = suite(world, tmp_path)
    harness.run(wanted, str(tmp_path / "tasks"))
    made = {p.name: json.loads(p.read_text()) for p in (tmp_path / "tasks").glob("*.yaml")}
    assert made["mmtune_truths.yaml"]["task"] == ["mmtune_truths_so", "mmtune_truths_told"]
    assert made["mmtune_cluster_nli.yaml"]["task"] == ["mmtune_truths"]
    task = made["mmtune_truths_told.yaml"]
    lines = Path(task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 12
    assert found[1] == {
        "id": "truths/test/row-2",
        "query": "Yes or no: 1 is green test.",
        "choices": ["It is yes.", "It is no."],
        "gold": 1,
    }


def test_the_script_says_what_it_takes():
    run = [sys.executable, str(ROOT / "eval" / "zero_shot.py")]
    helped = subprocess.run([*run, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert helped.returncode == 0 and "--batch-tokens" in helped.stdout
    wrong = subprocess.run(
        [*run, "--model", "pocket:lm", "--cards", "nowhere"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: nowhere")
