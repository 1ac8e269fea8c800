"""Answers to a file of prompts, written in its order as they come, and taken up where they ended.

{"id": "row-1", "prompt": [{"role": "user", "content": "Hi"}], "answer": "Hello",
 "stopped": true, "model": "runs/x/final", "settings": {"temperature": 0.0, ...}}
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from mmtune.data.prompts import read_prompts
from mmtune.encoding.conversations import encode_prompt
from mmtune.encoding.samples import Unencodable
from mmtune.errors import DataError, InputError
from mmtune.families.family import Family, GenerationSettings, Loaded
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Conversation
from mmtune.workflows.dataset import prompt_of

_SHOWN = 10


def answer_file(
    prompts: Path,
    out: Path | None,
    kind: Family,
    loaded: Loaded,
    *,
    model: str,
    settings: GenerationSettings,
) -> None:
    """Answer every prompt that `out` has no answer to; None is standard output.

    Batches are those of the whole file, and drawn with a seed of their own, so that what is
    answered does not depend on where an earlier start was ended.
    """
    questions = [prompt for e in read_prompts(prompts) if (prompt := prompt_of(as_conversation(e)))]
    _check_answerable(questions, loaded, settings)
    common = {"model": model, "settings": asdict(settings)}
    done = _answered(out, common) if out is not None else {}
    _check_same(done, questions, prompts, out)
    size = settings.batch_size
    opened = out.open("a", encoding="utf-8") if out is not None else nullcontext(sys.stdout)
    with opened as file, tqdm(total=len(questions), unit="prompt", disable=None) as bar:
        for start in range(0, len(questions), size):
            batch = questions[start : start + size]
            if any(prompt.example_id not in done for prompt in batch):
                here = replace(settings, seed=settings.seed + start)
                outputs = kind.generate(loaded, batch, here)
                rows = [
                    {"id": asked.example_id, "prompt": messages(asked), "answer": output.text}
                    | {"stopped": output.stopped, **common}
                    for asked, output in zip(batch, outputs, strict=True)
                    if asked.example_id not in done
                ]
                _write(file, rows)
            bar.update(len(batch))


def messages(conversation: Conversation) -> list[dict[str, str]]:
    """As chat templates take them."""
    return [{"role": turn.role, "content": turn.text} for turn in conversation.turns]


def too_long(tokens: int, loaded: Loaded, settings: GenerationSettings) -> str:
    """Why a prompt of so many tokens cannot be answered, or nothing."""
    if tokens + settings.max_new_tokens <= (room := loaded.max_tokens):
        return ""
    return (
        f"{tokens} tokens and {settings.max_new_tokens} new ones are more than the {room} that the "
        "model was made for; lower --max-new-tokens or shorten it"
    )


def _check_answerable(
    asked: Sequence[Conversation], loaded: Loaded, settings: GenerationSettings
) -> None:
    faults = []
    for prompt in asked:
        try:
            fault = too_long(len(encode_prompt(prompt, loaded.chat_format)), loaded, settings)
        except Unencodable as error:
            fault = str(error)
        if fault:
            faults.append(f"prompt {prompt.example_id}: {fault}")
    if faults:
        more = [f"{len(faults) - _SHOWN} more prompts like these"] if len(faults) > _SHOWN else []
        raise DataError(*faults[:_SHOWN], *more)


def _answered(out: Path, common: dict[str, Any]) -> dict[str, Any]:
    """The prompt of each id that has an answer; a last line that a kill cut short is taken off."""
    if not out.exists():
        return {}
    whole = out.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    done = {}
    for number, line in enumerate(kept.splitlines(), 1):
        try:
            row = json.loads(line)
            done[row["id"]] = row["prompt"]
            how = {key: row[key] for key in common}
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{out}:{number}: no answer of mmtune; give another --out") from None
        if how != common:
            other = next(key for key in common if how[key] != common[key])
            raise InputError(
                f"{out}:{number}: was answered with another {other} ({how[other]}, now "
                f"{common[other]}); give another --out, or remove it"
            )
    if kept != whole:
        os.truncate(out, len(kept))
    return done


def _check_same(
    done: Mapping[str, Any], questions: Sequence[Conversation], prompts: Path, out: Path | None
) -> None:
    asked = {question.example_id: messages(question) for question in questions}
    others = [name for name, prompt in done.items() if asked.get(name) != prompt]
    if others:
        raise InputError(
            f"{out}: holds answers to prompts that are not in {prompts} ({others[0]!r}, "
            f"{len(others)} in all); give another --out"
        )


def _write(file: IO[str], rows: Sequence[dict[str, Any]]) -> None:
    file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    file.flush()
    if file is not sys.stdout:
        os.fsync(file.fileno())
