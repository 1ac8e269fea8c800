"""Small random problems that the corpus and the tasks share: lists, sums, sequences, odd ones."""

from random import Random

from mmtune.pocket.lexicon import CATEGORIES, WORDS


def draw_numbers(rng: Random) -> list[int]:
    """Three to five different numbers below 100."""
    return rng.sample(range(1, 100), rng.randint(3, 5))


def draw_words(rng: Random) -> list[str]:
    """Three or four words that differ in their first letter."""
    by_letter = {word[0]: word for word in rng.sample(WORDS, 16)}
    words = sorted(by_letter.values())
    return rng.sample(words, rng.randint(3, 4))


def draw_sum(rng: Random) -> tuple[int, int, bool]:
    """`(a, b, minus)` with a + b below 50, or a - b not negative."""
    larger = rng.randint(2, 49)
    part = rng.randint(1, larger - 1)
    if rng.random() < 0.4:
        return larger, part, True
    return part, larger - part, False


def draw_sequence(rng: Random) -> list[int]:
    """Four numbers with the same step between."""
    step, start = rng.choice((1, 2, 3, 5, 10)), rng.randint(1, 40)
    return [start + i * step for i in range(4)]


def draw_odd_one(rng: Random) -> tuple[list[str], str]:
    """Three words of one category and one of another, in any order; and that one."""
    usual, other = rng.sample(sorted(CATEGORIES), 2)
    odd = rng.choice(CATEGORIES[other])
    words = [*rng.sample(CATEGORIES[usual], 3), odd]
    rng.shuffle(words)
    return words, odd


def draw_pair(rng: Random) -> tuple[int, int]:
    """Two different numbers below 100."""
    a, b = rng.sample(range(1, 100), 2)
    return a, b


def keyed(*parts: str | int) -> Random:
    """A stream of its own for a name: the same on every machine, whatever was drawn before."""
    return Random("|".join(map(str, parts)))
