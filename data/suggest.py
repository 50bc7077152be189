"""Suggests the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of the `known` words that is most like `word`, or `None` if none is."""
    candidates = list(known)
    exact = [name for name in candidates if name.lower() == word.lower()]
    close = exact or difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return close[0] if close else None
