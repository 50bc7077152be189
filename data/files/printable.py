"""Escapes text for a terminal: names from other people's files must not control it.

An escape sequence in a column's name, a file's name or a segment's value could clear the screen, change its title or
hide a line. Text written to a file or a pipe is left as it is. `text_of` decodes ids, and `closest` finds the
name that was probably meant.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

# C0 and C1 controls, line and paragraph separators, and what turns the direction of writing.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MEANT: Final = frozenset("\n\t")
_PROGRESS: Final = re.compile("[\r\b]*")


def printable(text: str) -> str:
    r"""One line of text with every control character escaped, as `\x1b`."""
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


@contextlib.contextmanager
def printable_terminal() -> Iterator[None]:
    """Escapes control characters on their way to standard output and error, for each of them that is a terminal."""
    output, error = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_guarded(stream) for stream in (output, error))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = output, error


def _guarded(stream: Any) -> Any:
    return _Guarded(stream) if stream is not None and stream.isatty() else stream


class _Guarded:
    """A stream that leaves line breaks, tabs, and what a progress bar starts with to go back in its line."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        start = _PROGRESS.match(text)
        back = start.end() if start is not None else 0
        rest = _UNSAFE.sub(lambda match: match[0] if match[0] in _MEANT else _escaped(match[0]), text[back:])
        self._stream.write(text[:back] + rest)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def text_of(value: object) -> str:
    r"""Bytes as text, with `\xff` for those that are not UTF-8; anything else as `str` gives it."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of the `known` words that is most like `word`, or `None` if none is."""
    candidates = list(known)
    exact = [name for name in candidates if name.lower() == word.lower()]
    close = exact or difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return close[0] if close else None
