"""Rows and, later, pictures: from files to Examples, every row accounted for. No torch."""
