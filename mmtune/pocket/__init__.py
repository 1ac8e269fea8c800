"""The embedded default: a small world in which right and wrong can be computed."""
