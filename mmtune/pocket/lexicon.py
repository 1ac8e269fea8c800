"""Everyday words of the pocket world, by what they are: for sorting, picking and odd ones out."""

CATEGORIES = {
    "animal": "cat dog horse cow sheep duck lion bear".split(),
    "fruit": "apple pear plum lemon grape cherry melon fig".split(),
    "tool": "hammer saw drill wrench ladder shovel rake knife".split(),
    "vehicle": "car bus train boat truck bike jeep van".split(),
    "garment": "coat hat sock shirt scarf glove belt jacket".split(),
    "instrument": "piano drum flute violin trumpet harp guitar organ".split(),
}
CATEGORY_OF = {word: category for category, words in CATEGORIES.items() for word in words}
WORDS = tuple(CATEGORY_OF)
