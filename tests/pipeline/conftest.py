"""Tokenizers of every kind."""

from layouts import layouts, sample  # noqa: F401  (fixtures)
