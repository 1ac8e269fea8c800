"""The pocket world's task data sets: eight clusters of tasks, each with train, dev and test rows.

`pocket:tasks/NAME/SPLIT` serves them to cards. What is asked about belongs to one split by its own
hash, whatever the options; same task, split and seed, same rows on every machine.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from mmtune.pocket import quiz_atlas, quiz_lists, quiz_scenes
from mmtune.pocket.draws import keyed
from mmtune.pocket.quiz import Quiz

Draw = Callable[[Random], Quiz]

CLUSTERS: Mapping[str, Mapping[str, Draw]] = {
    "ordering": {
        "sort_numbers": quiz_lists.sort_numbers,
        "sort_words": quiz_lists.sort_words,
        "reverse_list": quiz_lists.reverse_list,
    },
    "comparison": {
        "larger_number": quiz_lists.larger_number,
        "smaller_number": quiz_lists.smaller_number,
        "longer_list": quiz_lists.longer_list,
    },
    "selection": {
        "first_word": quiz_lists.first_word,
        "last_word": quiz_lists.last_word,
        "smallest_number": quiz_lists.smallest_number,
    },
    "scenes": {
        "count_shape": quiz_scenes.count_shape,
        "color_at": quiz_scenes.color_at,
        "place_of": quiz_scenes.place_of,
        "presence": quiz_scenes.presence,
    },
    "inference": {
        "follows_color": quiz_scenes.follows_color,
        "follows_size": quiz_scenes.follows_size,
        "follows_place": quiz_scenes.follows_place,
    },
    "knowledge": {
        "capital": quiz_atlas.capital,
        "known_for": quiz_atlas.known_for,
        "river": quiz_atlas.river,
        "more_people": quiz_atlas.more_people,
    },
    "arithmetic": {
        "plus": quiz_lists.plus,
        "minus": quiz_lists.minus,
        "next_number": quiz_lists.next_number,
    },
    "classification": {
        "kind_of": quiz_lists.kind_of,
        "same_kind": quiz_lists.same_kind,
        "odd_one": quiz_lists.odd_one,
    },
}
TASKS: Mapping[str, Draw] = {name: draw for own in CLUSTERS.values() for name, draw in own.items()}
SIZES = {"train": 2000, "dev": 100, "test": 200}
_HUNDREDTHS = {"test": range(0, 30), "dev": range(30, 45), "train": range(45, 100)}
"""The parts of all that can be asked that each split draws from."""
_PATIENCE = 200


def quiz_rows(task: str, split: str, seed: int = 0) -> Iterator[dict[str, Any]]:
    """`{"id", the fields, "choices", "answer"}`: `SIZES[split]` rows, no two the same (fewer where
    there are not so many). Raises KeyError for a task or split that does not exist."""
    draw, hundredths = TASKS[task], _HUNDREDTHS[split]
    taken: set[tuple[str, ...]] = set()
    for number in range(SIZES[split]):
        rng = keyed("quiz", task, split, seed, number)
        for _ in range(_PATIENCE):
            quiz = draw(rng)
            key = (*quiz.fields.values(), "", *quiz.choices)
            if hundredth(task, quiz) in hundredths and key not in taken:
                taken.add(key)
                yield {
                    "id": f"{split}-{seed}-{number:04d}",
                    **quiz.fields,
                    "choices": list(quiz.choices),
                    "answer": quiz.answer,
                }
                break


def hundredth(task: str, quiz: Quiz) -> int:
    """0 to 99, by what is asked about."""
    text = "|".join((task, *quiz.fields.values()))
    return hashlib.sha256(text.encode()).digest()[0] * 100 // 256
