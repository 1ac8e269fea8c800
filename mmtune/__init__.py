"""mmtune: curate, train, judge. Multimodal instruction tuning with one vocabulary.

Start at `mmtune/workflows`: one file a verb, each reading top to bottom.
"""

__version__ = "0.1.0"
