"""A run that goes on is told what changed beneath it, thing by thing."""

import json
from pathlib import Path

from tiny import tiny_tokenizer
from tiny_runs import make_rows

from mmtune.config.recipe import Recipe
from mmtune.encoding.chat_format import ChatFormat, chat_format
from mmtune.encoding.store import TokenStore
from mmtune.workflows.dataset import Opened, hashes_by_source, open_data, training_store
from mmtune.workflows.fingerprints import differences, fingerprints


def recipe(folder: Path, **data: object) -> Recipe:
    sources = [{"path": str(folder / name)} for name in ("a.jsonl", "b.jsonl")]
    return Recipe.model_validate(
        {
            "model": {"family": "text", "path": "unused"},
            "data": {"sources": sources, "max_tokens": 64} | data,
            "train": {"max_steps": 1},
            "run": {"dir": str(folder / "run")},
        }
    )


def make_sources(folder: Path, first: int = 6, second: int = 4) -> None:
    make_rows(folder / "a.jsonl", first)
    make_rows(folder / "b.jsonl", second, start=50)


def a_format(chat: str | None = "chatml") -> ChatFormat:
    return chat_format(tiny_tokenizer(chat), "auto", "assistant")  # type: ignore[arg-type]


def encoded(folder: Path, fmt: ChatFormat) -> tuple[Opened, TokenStore]:
    wanted = recipe(folder)
    opened = open_data(wanted, folder)
    return opened, training_store(wanted, opened, fmt, folder / "e" / "train", lambda x: x)[0]


def facts(folder: Path, fmt: ChatFormat) -> dict[str, str]:
    opened, store = encoded(folder, fmt)
    return fingerprints(opened, fmt, store, folder / "files.json")


def streamed_facts(folder: Path, fmt: ChatFormat) -> dict[str, str]:
    opened = open_data(recipe(folder, streaming=True), folder)
    return fingerprints(opened, fmt, None, folder / "files.json")


def test_the_same_things_have_the_same_facts_and_no_difference(tmp_path: Path) -> None:
    make_sources(tmp_path)
    fmt = a_format()
    before = facts(tmp_path, fmt)
    assert list(before) == ["source a.jsonl", "source b.jsonl", "tokenizer", "chat template"]
    assert (
        before["source a.jsonl"].startswith("6 samples, ")
        and " tokens, sha256 " in before["source a.jsonl"]
    )
    fmt.tokenizer("a", padding="max_length", max_length=9, truncation=True)  # leaves traces
    assert differences(before, facts(tmp_path, a_format())) == []
    assert differences(before, facts(tmp_path, fmt)) == []


def test_a_difference_says_which_source_changed_from_what_to_what(tmp_path: Path) -> None:
    make_sources(tmp_path)
    before = facts(tmp_path, a_format())
    make_sources(tmp_path, second=3)
    (line,) = differences(before, facts(tmp_path, a_format()))
    assert line.startswith("source b.jsonl: 4 samples, ") and "; now 3 samples, " in line


def test_a_token_that_is_learnt_or_not_is_a_difference(tmp_path: Path) -> None:
    make_sources(tmp_path)
    opened, store = encoded(tmp_path, a_format())
    before = hashes_by_source(store)
    supervised = store.supervised.copy()
    supervised[int(store.offsets[7]) + 1] ^= True  # of the second source's second sample
    changed = TokenStore(
        **{n: getattr(store, n) for n in store.__slots__} | {"supervised": supervised}
    )
    after = hashes_by_source(changed)
    assert after["a.jsonl"] == before["a.jsonl"] and after["b.jsonl"] != before["b.jsonl"]


def test_another_template_and_another_tokenizer_are_told_apart(tmp_path: Path) -> None:
    make_sources(tmp_path)
    before = streamed_facts(tmp_path, a_format())
    other = tiny_tokenizer("chatml")
    assert isinstance(other.chat_template, str)
    other.chat_template = other.chat_template.replace("'\n'", "'\n\n'")
    (line,) = differences(before, streamed_facts(tmp_path, chat_format(other)))
    assert line.startswith("chat template: own, sha256 ")
    more = tiny_tokenizer("chatml")
    more.add_tokens(["<|new|>"])
    (line,) = differences(before, streamed_facts(tmp_path, chat_format(more)))
    assert line.startswith("tokenizer: ") and "when the run began; now " in line


def test_streamed_files_are_known_by_their_content_and_read_once(tmp_path: Path) -> None:
    make_sources(tmp_path)
    before = streamed_facts(tmp_path, a_format())
    assert before["source a.jsonl"].startswith("a.jsonl, ")
    kept = json.loads((tmp_path / "files.json").read_text())
    (key,) = [name for name in kept if name.endswith("a.jsonl")]
    kept[key][2] = "as remembered"  # so it is seen that the file is not read again
    (tmp_path / "files.json").write_text(json.dumps(kept))
    assert differences(before, streamed_facts(tmp_path, a_format())) != []
    (tmp_path / "a.jsonl").touch()
    assert differences(before, streamed_facts(tmp_path, a_format())) == []
    (tmp_path / "files.json").write_text("{half")
    assert differences(before, streamed_facts(tmp_path, a_format())) == []
    text = (tmp_path / "a.jsonl").read_text()
    (tmp_path / "a.jsonl").write_text(text.replace("Count to 1", "Count to 2"))  # as many bytes
    (line,) = differences(before, streamed_facts(tmp_path, a_format()))
    assert line.startswith("source a.jsonl: ")


def test_things_that_came_or_went_are_named() -> None:
    assert differences(
        {"source a": "x", "tokenizer": "t"}, {"tokenizer": "t", "source b": "y"}
    ) == [
        "source a: x when the run began; is not there now",
        "source b: was not there when the run began; now y",
    ]
