"""The shipped templates that are not bound to a hub data set: pictures, and three model files."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmtune.templates.linter import lint
from mmtune.templates.pool import TemplatePool, load_pool
from mmtune.types import Example, Image, Text

FOLDER = Path(__file__).resolve().parents[2] / "datasets_cfg" / "templates"
TEXT = {
    "rte": (["premise", "hypothesis"], ["yes", "no"]),
    "sst2": (["sentence"], ["negative", "positive"]),
    "gsm8k": (["question", "rationale"], []),
}
PICTURES = {
    "vqa": (["question"], ["picture"]),
    "captioning": ([], ["picture"]),
    "text_to_image": (["caption"], ["picture"]),
    "image_edit": (["instruction"], ["before", "after"]),
}
DRAWN = ("text_to_image", "image_edit")
ENCODER_TOKENS = 77
"""Of CLIP's text encoders, start and end token among them."""


@pytest.fixture(scope="module")
def pool() -> TemplatePool:
    return load_pool(FOLDER, [*TEXT, *PICTURES])


def seen(task: str, number: int = 0, **fields: str) -> Example:
    named = {name: f"{name.title()} {number}." for name in PICTURES[task][0]}
    pictures = {name: Image(f"{name}.png", name, 8, 8) for name in PICTURES[task][1]}
    answer = {} if task in DRAWN else {"answer": f"Reply {number}"}
    return Example(
        id=f"{task}/{number}",
        source=task,
        task=task,
        fields=named | answer | fields,
        images=pictures,
    )


def read(task: str, number: int = 0) -> Example:
    names, choices = TEXT[task]
    fields = {name: f"{name.title()} {number} goes here." for name in names}
    answer = choices[number % 2] if choices else str(number)
    return Example(
        id=f"{task}/{number}",
        source=task,
        task=task,
        fields=fields | {"answer": answer},
        choices=tuple(choices),
    )


@pytest.mark.parametrize("task", TEXT)
def test_the_linter_finds_nothing_in_the_model_files(pool: TemplatePool, task: str) -> None:
    rows = [read(task, number) for number in range(20)]
    assert list(map(str, lint(pool.of(task), TEXT[task][0], rows))) == []


@pytest.mark.parametrize("task", PICTURES)
def test_the_linter_finds_nothing_in_the_picture_templates(pool: TemplatePool, task: str) -> None:
    rows = [seen(task, number) for number in range(10)]
    assert list(map(str, lint(pool.of(task), PICTURES[task][0], rows))) == []


@pytest.mark.parametrize("task", PICTURES)
def test_every_picture_template_shows_its_picture_once_and_on_the_right_side(
    pool: TemplatePool, task: str
) -> None:
    for template in pool.of(task):
        asked, answered = template.render(seen(task)).turns
        given = [part.uri for part in asked.parts if isinstance(part, Image)]
        made = [part.uri for part in answered.parts if isinstance(part, Image)]
        expected = {
            "vqa": (["picture.png"], []),
            "captioning": (["picture.png"], []),
            "text_to_image": ([], ["picture.png"]),
            "image_edit": (["before.png"], ["after.png"]),
        }
        assert (given, made) == expected[task], template.name
        assert made == [] or answered.parts == tuple(p for p in answered.parts if p != Text(""))


@pytest.fixture(scope="module")
def clip_tokens(shared: Path) -> Callable[[str], int]:
    """Counts CLIP's tokens, start and end included, with its own merges."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    file = shared / "data" / "weights" / "tokenizers" / "clip" / "bpe_simple_vocab_16e6.txt.gz"
    if not file.is_file():
        pytest.skip("no CLIP vocabulary here")
    lines = gzip.decompress(file.read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49_152 - 256 - 2 + 1]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*letters, *(f"{a}</w>" for a in letters), *map("".join, merges)]
    vocabulary = {name: index for index, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return lambda text: len(tokenizer.encode(text).ids) + 2


@pytest.mark.parametrize("task", DRAWN)
def test_the_words_of_a_drawing_template_leave_60_tokens_for_the_callers_own(
    pool: TemplatePool, task: str, clip_tokens: Callable[[str], int]
) -> None:
    for template in pool.of(task):
        asked = template.render(seen(task, caption="x", instruction="x")).turns[0].text
        assert clip_tokens(asked) - 1 <= ENCODER_TOKENS - 60, template.name


def test_real_captions_fit_the_encoder_in_every_template(
    pool: TemplatePool, shared: Path, clip_tokens: Callable[[str], int]
) -> None:
    rows = shared / "data" / "images" / "flickr8k_400" / "captions.jsonl"
    if not rows.is_file():
        pytest.skip("no captions here")
    captions = [c for line in rows.open() for c in captions_of(json.loads(line))][:400]
    assert len(captions) == 400
    for template in pool.of("text_to_image"):
        for caption in captions:
            asked = template.render(seen("text_to_image", caption=caption)).turns[0].text
            assert clip_tokens(asked) <= ENCODER_TOKENS


def captions_of(row: dict[str, object]) -> list[str]:
    found = next(value for key, value in row.items() if "caption" in key)
    return list(map(str, found)) if isinstance(found, list) else [str(found)]
