"""The pocket world's data sets by name, as rows: what `pocket:NAME` opens in place of a file."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from mmtune.errors import DataError
from mmtune.pocket.corpus import documents
from mmtune.pocket.instructions import Instruction, clean_set, dev_set, test_set
from mmtune.pocket.pool import pool
from mmtune.pocket.quizzes import SIZES, TASKS, quiz_rows

_SETS: Mapping[str, Callable[..., Iterator[Instruction]]] = {
    "instructions/clean": clean_set,
    "instructions/dev": dev_set,
    "instructions/test": test_set,
    "instructions/pool": pool,
}
CORPUS = "corpus"
_QUIZZES = {f"tasks/{task}/{split}": (task, split) for task in TASKS for split in SIZES}
NAMES = (*_SETS, CORPUS, *_QUIZZES)


def rows(name: str, **options: int) -> Iterator[dict[str, Any]]:
    """The rows of a set. Options: `seed`, `count` (of the corpus: 0, without end, by default).

    Instruction rows are `{"id", "instruction", "output", "kind", "facts", "fault", "twin"}`,
    all text (`facts` is JSON); corpus rows are `{"id", "text"}`; rows of `tasks/NAME/SPLIT` are
    those of `quizzes`.
    Raises DataError for a name that does not exist.
    """
    if name == CORPUS:
        return _corpus_rows(**options)
    if name in _QUIZZES:
        task, split = _QUIZZES[name]
        return quiz_rows(task, split, **options)
    if name not in _SETS:
        raise DataError(f"pocket:{name} does not exist; give one of {', '.join(NAMES)}")
    return (instruction.to_row() for instruction in _SETS[name](**options))


def _corpus_rows(seed: int = 0, count: int = 0, start: int = 0) -> Iterator[dict[str, Any]]:
    texts = islice(documents(seed, start), count or None)
    for index, text in enumerate(texts, start):
        yield {"id": f"pocket-corpus-{seed}-{index:06d}", "text": text}
