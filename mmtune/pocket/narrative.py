"""Short tales in which the words of instructions occur as people say them, without answers.

They make a base model know such words as `please`, `list` or `which`, and not what to do with them.
"""

from random import Random

from mmtune.pocket.gazetteer import TOWNS
from mmtune.pocket.lexicon import CATEGORIES, WORDS
from mmtune.pocket.world import COLORS, SHAPES, joined, with_article

_NAMES = "Ann Ben Mia Tom Lea Max Ida Leo Zoe Sam".split()
_TALES = (
    "{a} asked how many {c} {s}s there were, but {b} was asleep and did not answer.",
    "{a} could not tell which of the two numbers was larger, so {b} laughed.",
    '"What a fine {w}! Where is it from?" said {a}, and {b} smiled.',
    '"Please help me find the {w}," said {a}. "Thank you," {a} said later. "Thanks again!"',
    "{a} had to sort the cards, put the words in order and write down the list before lunch.",
    '"Look at the scene on the wall," said {b}. {a} did look at it for an hour.',
    "{b} liked to describe what was in a picture, and to count and name the objects in it.",
    "{a} wanted to know what the capital of a far country is and what {t} is known for.",
    '"Tell me what comes next," said {a}. {b} did not know what to say, or how to reply.',
    "The teacher gave the class a question: find the odd one out, and say why. Nobody did.",
    '"Is there a river? Which river is it?" {a} asked. "I do not know," said {b}.',
    "{a} can add and subtract. What does {b} do? {b} can compare numbers and work out a sum.",
    "{a} was told to change the color of the {w}, to replace {c} with {d}, and to repaint it.",
    "{b} read the following words aloud, first to last, then backwards, from the end.",
    "What kind of thing is it, does it belong to the group, or is it the wrong one? So {a} sang.",
    "{a} went to {t} to see more people. Do many people live there? Is a river there? So be it.",
    '"Hello! Hi there," said {b}. "I have a quick question for my homework." Then the bell rang.',
    '"Give me the answer in one short sentence," said {a}. "Yes," said {b}. "No," said {a}.',
    "{a} did check whether {e} was seen above or below, on the left side or the right side.",
    '"Read this list and pick the smallest item," {b} wrote. "Reverse the order," wrote {a}.',
    '"Could you show me, can you see it?" {a} asked. "Let me think. I would like to," said {b}.',
    "Whatever {b} was given, {b} would continue, complete, arrange and rewrite it with care.",
    '"Using only what you see, who has more, and who has fewer or less?" {a} asked the cat.',
    "{a} put a {g}, two hats and an old map into the bag, next to the bread, and went home.",
    "The words on the wall of the school were {v}. {a} made a song of them.",
    "These were the names of the games: {v}. {b} was looking for one more, and found none.",
    "{a} and {b} would call the cat, but where was it going? It was not around that day.",
    "If these words start with the same letter, which ones follow? {a} learned a rule for it.",
    "The whole alphabet, from a to z, was on your wall. This was for a class of small children.",
    "It rained as if every day was the last. Every description of the place was changed.",
    "So much was taken away by the others that {a} had to paint the {w} {c} all over again.",
    "{a} will turn up when {b} is starting to decide. They give, take, make and get things.",
    '"I am going home directly," said {a}. {b} was given two apples, and did not fit in the {w}.',
    "{b} sorted the shapes after lunch. No shape was like the others, and none could be complete.",
    "A sequence of steps starts at the door, goes around the house, and follows the wall.",
    "{a} and {b} sat together, among friends, as the one shape on the paper was taken away.",
    "{a} painted {e}. {b} painted the sky. Both were happy with their work that day.",
)
_SPOKEN = """Can Name Write Find List This How Put Count Say Sort Pick Compare Arrange Check Would
Rewrite Continue Work For Given Paint One Add Replace Describe Subtract Change Tell Please Which
What Where Look Give Read Reverse Does Is Do Complete Sorted Answer Who There Thanks""".split()


def draw_narrative(rng: Random) -> str:
    """Two or three tales of the same two people."""
    a, b = rng.sample(_NAMES, 2)
    c, d = rng.sample(COLORS, 2)
    words = {
        **{"a": a, "b": b, "c": c, "d": d, "s": rng.choice(SHAPES), "w": rng.choice(WORDS)},
        "e": with_article(f"{d} {rng.choice(SHAPES)}"),
        "g": rng.choice(CATEGORIES["fruit"][1:4]),
        "t": rng.choice(list(TOWNS)),
        "v": joined(rng.sample(_SPOKEN, 9)),
    }
    return " ".join(tale.format_map(words) for tale in rng.sample(_TALES, rng.randint(2, 3)))
