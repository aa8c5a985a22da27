"""What goes wrong that a person has to be told, and how names are told that do not exist."""

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """Input that its owner can put right; the message says what is wrong, where, what to do."""


class NotNumbers(ValueError):
    """A model gave scores that are NaN or infinite."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """A sentence that points from a name that does not exist to those that do."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}There are: {', '.join(valid) or 'none'}."
