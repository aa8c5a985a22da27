"""Exceptions meant for the user, and a "did you mean" helper."""

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """Input that the user can correct; the message says what is wrong, where, and what to do."""


class NotNumbers(ValueError):
    """A model gave scores that are NaN or infinite."""


LISTED = 60  # names that an error lists


def nearest(name: object, valid: Iterable[str]) -> str:
    """Suggest the nearest valid names for an unknown one, and list all if they are few."""
    valid = sorted(valid)
    lower: dict[str, str] = {}
    for each in valid:
        lower.setdefault(each.lower(), each)
    found = difflib.get_close_matches(str(name).lower(), lower, n=3, cutoff=0.5)
    close = [lower[each] for each in found]
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    listed = f": {', '.join(valid) or 'none'}" if len(valid) <= LISTED else f" {len(valid)} names"
    return f"{meant}There are{listed}."
