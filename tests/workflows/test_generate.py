"""What `mmtune generate` answers is what plain transformers answers from the same folder."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from mmtune import cli
from mmtune.config.recipe import TextModel
from mmtune.families import text
from mmtune.workflows import answers

DIALOGUES: list[list[tuple[str, str]]] = [
    [("user", "Hi")],
    [("system", "Be kind to the reader."), ("user", "How many green triangles are there?")],
    [("user", "Sort 9, 4"), ("assistant", "4, 9"), ("user", "And 7, 1, 3, 8, 2, 5?")],
    [
        ("system", "Short."),
        ("user", "Where is it?"),
        ("assistant", " Left of the circle "),
        ("user", "Sure?"),
        ("assistant", "Yes"),
        ("user", "Thanks, then write a letter to a friend who moved to another town."),
    ],
    [("user", "é ü 漢字 😀")],
]


def messages(dialogue: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in dialogue]


def make_final(folder: Path, kind: str, chat: Any) -> Path:
    """A run's `final/`, written as a run writes it."""
    base = folder / "base"
    # A sharper model than the usual tiny one, so that rounding does not choose between tokens.
    tiny_model(kind, initializer_range=0.4, seed=3).save_pretrained(base)
    tiny_tokenizer(chat, adds_bos=chat is not None).save_pretrained(base)
    section = TextModel(family="text", path=str(base))
    loaded = text.load(section, torch.device("cpu"), seed=0, supervise="assistant")
    text.save(loaded, folder / "run" / "final", None)
    return folder / "run" / "final"


def write_prompts(folder: Path) -> Path:
    path = folder / "prompts.jsonl"
    rows = [{"id": f"d{n}", "messages": messages(d)} for n, d in enumerate(DIALOGUES)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def plain_answer(final: Path, dialogue: list[tuple[str, str]], new_tokens: int) -> str:
    """By transformers alone, one at a time and so without padding."""
    tokenizer = AutoTokenizer.from_pretrained(final)
    model = AutoModelForCausalLM.from_pretrained(final)
    prompt = tokenizer.apply_chat_template(
        messages(dialogue), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = model.generate(**prompt, max_new_tokens=new_tokens, do_sample=False)
    return tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("chat", [None, "chatml"])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt_neox", "gemma"])
def test_answers_are_those_of_plain_transformers_from_the_saved_folder(
    kind: str, chat: str | None, tmp_path: Path
) -> None:
    final, out = make_final(tmp_path, kind, chat), tmp_path / "out.jsonl"
    command = ["generate", str(final), "--prompts", str(write_prompts(tmp_path))]
    assert cli.main([*command, "--out", str(out), "--max-new-tokens", "12"]) == 0
    rows = read(out)
    assert [row["id"] for row in rows] == ["d0", "d1", "d2", "d3", "d4"]
    for row, dialogue in zip(rows, DIALOGUES, strict=True):
        assert row["prompt"] == messages(dialogue)
        assert row["answer"] == plain_answer(final, dialogue, 12)
    assert len({row["answer"] for row in rows}) > 2  # the prompts matter


@pytest.fixture
def final(tmp_path: Path) -> Path:
    return make_final(tmp_path, "llama", "chatml")


def command(final: Path, folder: Path, *flags: str) -> list[str]:
    files = ["--prompts", str(folder / "prompts.jsonl"), "--out", str(folder / "out.jsonl")]
    return ["generate", str(final), *files, "--max-new-tokens", "8", *flags]


def test_a_killed_file_of_answers_is_taken_up_where_it_ended(final: Path, tmp_path: Path) -> None:
    write_prompts(tmp_path)
    flags = ("--batch-size", "2", "--temperature", "1.3", "--seed", "5")
    assert cli.main(command(final, tmp_path, *flags)) == 0
    out = tmp_path / "out.jsonl"
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (lines[:2], lines[:3], [*lines[:2], lines[2][:-9]], []):
        out.write_bytes(b"".join(cut))
        assert cli.main(command(final, tmp_path, *flags)) == 0
        assert out.read_bytes() == whole


def test_what_is_answered_already_is_not_answered_again(
    final: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prompts(tmp_path)
    assert cli.main(command(final, tmp_path)) == 0
    monkeypatch.setattr(text, "generate", None)
    assert cli.main(command(final, tmp_path)) == 0


def test_answers_are_on_disk_after_each_batch(
    final: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prompts(tmp_path)
    generate, seen = text.generate, []

    def counted(*args: Any) -> Any:
        seen.append(len(read(tmp_path / "out.jsonl")))
        return generate(*args)

    monkeypatch.setattr(text, "generate", counted)
    assert cli.main(command(final, tmp_path, "--batch-size", "2")) == 0
    assert seen == [0, 2, 4]


def test_answers_of_another_kind_are_never_mixed_in(
    final: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_prompts(tmp_path)
    assert cli.main(command(final, tmp_path)) == 0
    before = (tmp_path / "out.jsonl").read_bytes()
    assert cli.main(command(final, tmp_path, "--temperature", "1")) == 2
    assert "another settings" in capsys.readouterr().err
    path.write_text(path.read_text().replace("Sure?", "Really?"))
    assert cli.main(command(final, tmp_path)) == 2
    assert "prompts that are not in" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_a_prompt_that_leaves_no_room_is_told_of_before_any_is_answered(
    final: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": "Hi"}, {"prompt": "long " * 600}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main(command(final, tmp_path)) == 2
    assert "prompt row-2: " in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_a_run_folder_stands_for_its_final_and_an_empty_one_is_refused(
    final: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_prompts(tmp_path)
    assert cli.main(command(final.parent, tmp_path)) == 0
    assert read(tmp_path / "out.jsonl")[0]["model"] == str(final)
    (tmp_path / "empty").mkdir()
    assert cli.main(command(tmp_path / "empty", tmp_path)) == 2
    assert cli.main(command(Path("/no/where/at/all"), tmp_path)) == 2
    told = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in told) == 2


def test_a_dialogue_keeps_its_turns_until_new(
    final: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\nHow many?\n/new\nHi\n/quit\nnever\n"))
    asked: list[list[dict[str, str]]] = []
    generate = text.generate

    def listening(loaded: Any, conversations: Any, settings: Any) -> Any:
        asked.append(answers.messages(conversations[0]))
        return generate(loaded, conversations, settings)

    monkeypatch.setattr(text, "generate", listening)
    flags = ["--system", "Short.", "--max-new-tokens", "5"]
    assert cli.main(["generate", str(final), *flags]) == 0
    roles = [[turn["role"] for turn in dialogue] for dialogue in asked]
    first, more = ["system", "user"], ["system", "user", "assistant", "user"]
    assert roles == [first, more, first]
    assert asked[0] == asked[2] and asked[1][:2] == asked[0]
    assert asked[1][2]["content"] == plain_answer(final, [("system", "Short."), ("user", "Hi")], 5)
