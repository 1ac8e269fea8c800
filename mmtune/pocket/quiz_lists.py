"""Quizzes about lists, numbers and words: ordering, comparing, selecting, reckoning."""

from itertools import permutations
from random import Random

from mmtune.pocket.draws import (
    draw_numbers,
    draw_odd_one,
    draw_pair,
    draw_sequence,
    draw_sum,
    draw_words,
)
from mmtune.pocket.lexicon import CATEGORIES, CATEGORY_OF, WORDS
from mmtune.pocket.quiz import Quiz, among, near_numbers, yes_or_no
from mmtune.pocket.statements import listed


def sort_numbers(rng: Random) -> Quiz:
    """From small to large."""
    numbers = [str(number) for number in draw_numbers(rng)[:4]]
    return _reordered(rng, "numbers", numbers, sorted(numbers, key=int))


def sort_words(rng: Random) -> Quiz:
    """By the alphabet."""
    words = draw_words(rng)
    return _reordered(rng, "words", words, sorted(words))


def reverse_list(rng: Random) -> Quiz:
    """Last to first."""
    words = draw_words(rng)
    return _reordered(rng, "words", words, words[::-1])


def _reordered(rng: Random, field: str, items: list[str], right: list[str]) -> Quiz:
    """The right order among three others."""
    orders = sorted({listed(order) for order in permutations(items)} - {listed(right)})
    return among(rng, {field: listed(items)}, listed(right), rng.sample(orders, 3))


def larger_number(rng: Random) -> Quiz:
    a, b = draw_pair(rng)
    return among(rng, {"first": str(a), "second": str(b)}, max(a, b), [min(a, b)])


def smaller_number(rng: Random) -> Quiz:
    a, b = draw_pair(rng)
    return among(rng, {"first": str(a), "second": str(b)}, min(a, b), [max(a, b)])


def longer_list(rng: Random) -> Quiz:
    """Which of two lists has more words."""
    short, more = rng.randint(1, 3), rng.randint(1, 2)
    words = rng.sample(WORDS, 2 * short + more)
    lists = [words[:short], words[short:]]
    rng.shuffle(lists)
    sides = ("the first list", "the second list")
    fields = {"first": listed(lists[0]), "second": listed(lists[1])}
    right = len(lists[1]) > len(lists[0])
    return Quiz(fields, sides[right], sides)


def first_word(rng: Random) -> Quiz:
    words = draw_words(rng)
    return among(rng, {"words": listed(words)}, words[0], words[1:])


def last_word(rng: Random) -> Quiz:
    words = draw_words(rng)
    return among(rng, {"words": listed(words)}, words[-1], words[:-1])


def smallest_number(rng: Random) -> Quiz:
    numbers = draw_numbers(rng)[:4]
    right = min(numbers)
    return among(rng, {"numbers": listed(numbers)}, right, [n for n in numbers if n != right])


def plus(rng: Random) -> Quiz:
    a, b, minus = draw_sum(rng)
    a, b = (b, a - b) if minus else (a, b)
    return among(rng, {"first": str(a), "second": str(b)}, a + b, near_numbers(rng, a + b))


def minus(rng: Random) -> Quiz:
    a, b, is_minus = draw_sum(rng)
    a, b = (a, b) if is_minus else (a + b, b)
    return among(rng, {"first": str(a), "second": str(b)}, a - b, near_numbers(rng, a - b))


def next_number(rng: Random) -> Quiz:
    numbers = draw_sequence(rng)
    right = 2 * numbers[-1] - numbers[-2]
    return among(rng, {"numbers": listed(numbers)}, right, near_numbers(rng, right))


def kind_of(rng: Random) -> Quiz:
    """What a word is: an animal, a tool ..."""
    word = rng.choice(WORDS)
    others = [kind for kind in sorted(CATEGORIES) if kind != CATEGORY_OF[word]]
    return among(rng, {"word": word}, CATEGORY_OF[word], rng.sample(others, 3))


def same_kind(rng: Random) -> Quiz:
    """Whether three words are all of one kind; half the time they are."""
    alike = rng.random() < 0.5
    kind, other = rng.sample(sorted(CATEGORIES), 2)
    words = rng.sample(CATEGORIES[kind], 3)
    if not alike:
        words[rng.randrange(3)] = rng.choice(CATEGORIES[other])
    return yes_or_no({"words": listed(words)}, alike)


def odd_one(rng: Random) -> Quiz:
    """Three words of one kind and one of another."""
    words, odd = draw_odd_one(rng)
    return among(rng, {"words": listed(words)}, odd, [word for word in words if word != odd])
