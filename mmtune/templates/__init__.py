"""Phrasing: from Examples to Conversations. Knows tasks, knows no model."""
