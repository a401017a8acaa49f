"""Vocabulary trimming: count, select, trim, verify."""

from bistil.vocabulary.trimming import TrimmedVocabulary, trim_vocabulary

__all__ = ["TrimmedVocabulary", "trim_vocabulary"]
