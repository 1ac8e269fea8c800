"""Random draws that belong to an example: the same whatever was drawn before, and by whom."""

from hashlib import blake2b
from random import Random

Key = str | int


def keyed_index(count: int, *key: Key) -> int:
    """A number from 0 to count - 1 that depends on the key alone.

    >>> keyed_index(10, 0, "template", "rte/17") == keyed_index(10, 0, "template", "rte/17")
    True
    """
    return int.from_bytes(blake2b(_text(key), digest_size=8).digest(), "big") % count


def keyed_random(*key: Key) -> Random:
    """A stream of its own for a key, where one number is not enough."""
    return Random(_text(key))


def _text(key: tuple[Key, ...]) -> bytes:
    return "\x1f".join(map(str, key)).encode("utf-8", "surrogatepass")
