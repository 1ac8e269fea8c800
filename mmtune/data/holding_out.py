"""Which cards may be trained on when clusters are held out: FLAN's rules against leaks.

Wei et al. 2021, section 2.2 and its released `task_splits.py`: a data set counts as unseen only if
no data set of its cluster was trained on, nor of a cluster that would give it away.
"""

from collections.abc import Collection, Iterable, Mapping

from mmtune.config.cards import Card

_TELLS_OF: Mapping[str, tuple[str, ...]] = {
    "nli": ("paraphrase",),
    "paraphrase": ("nli",),
    "reading_comprehension": ("reading_comprehension_commonsense",),
    "commonsense": ("reading_comprehension_commonsense",),
    "reading_comprehension_commonsense": ("reading_comprehension", "commonsense"),
    # T0's clusters ask the same of other data sets (Sanh et al. 2021, section 3)
    "sentence_completion": ("commonsense",),
}


def left_out_clusters(held_out: Iterable[str]) -> set[str]:
    """The clusters held out, and those that would tell of them."""
    found = set(held_out)
    for cluster in tuple(found):
        found |= {*_TELLS_OF.get(cluster, ())}
        found |= {other for other, told in _TELLS_OF.items() if cluster in told}
    return found


def may_train(card: Card, held_out: Collection[str], cards: Iterable[Card]) -> str | None:
    """None where the card may be trained on, else why not.

    Left out are the clusters held out, those that tell of them, and siblings of any held-out card:
    data sets of one origin share their texts, whatever they ask.
    """
    if card.cluster in held_out:
        return f"its cluster {card.cluster} is held out"
    if card.cluster in left_out_clusters(held_out):
        return f"its cluster {card.cluster} tells of one that is held out"
    kin = {c.siblings for c in cards if c.siblings and c.cluster in held_out}
    if card.siblings in kin:
        return f"its sibling in {card.siblings} is held out"
    return None
