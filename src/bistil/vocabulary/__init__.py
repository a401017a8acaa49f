"""Vocabulary trimming: count, select, trim, verify."""

from bistil.vocabulary.artefact import check_new, save_trimmed
from bistil.vocabulary.trimming import TrimmedVocabulary, trim_vocabulary

__all__ = ["TrimmedVocabulary", "check_new", "save_trimmed", "trim_vocabulary"]
