"""The one family of errors that bistil raises for its users, and of warnings."""


class BistilError(Exception):
    """Says in one sentence what was wrong, where, what was received, and the cure.

    The command line prints the message without a traceback and exits with status 2.

    Example: ``BistilError("corpora/tr.txt is empty. Give a text file with at least one line.")``
    """


class BistilWarning(FutureWarning):
    """Says in one sentence what still works but has changed: ``distil is called distill now.``"""
