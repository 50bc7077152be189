"""What texts look like when they are something else: times in a form that is not read, and lists in one cell."""

from __future__ import annotations

import datetime
from typing import Final

from fullrank.data.proposal.column_profile import ColumnProfile
from fullrank.data.proposal.written_flags import in_expression, written_flag

_SAMPLE: Final = 1_000
_DATES: Final = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d %Y")
_CLOCKS: Final = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_SEPARATORS: Final = (",", "|", ";")
_SEVERAL: Final = 0.1
"""Share of the distinct texts with a separator above which they may be lists."""
_REPEATED: Final = 2
"""How many times as many texts as different parts of them make it likely that parts are ids."""


def time_format(profile: ColumnProfile) -> str | None:
    """The format, as of `strptime`, of texts that are all times in one form that tables are not read in; else `None`.

    Where day and month cannot be told apart, the month comes first.
    """
    texts = [value.strip() for value in profile.values[:_SAMPLE]]
    if profile.kind != "text" or profile.listed or not texts or not any(map(str.isdigit, texts[0])):
        return None
    formats = (date + clock for date in _DATES for clock in _CLOCKS)
    return next((format for format in formats if all(_is_in(text, format) for text in texts)), None)


def advice_on_time(profile: ColumnProfile) -> str | None:
    """The flags that make texts of such a form the event time."""
    format = time_format(profile)
    if format is None:
        return None
    name = profile.name
    column = written_flag("column", f"{name}=strptime({in_expression(name)}, '{format}')")
    return f"times in the form {format}: {column} {written_flag('time', name)} makes them the event time"


def advice_on_list(profile: ColumnProfile) -> str | None:
    """The flag that reads texts such as `cars, pets` as lists; `None` if they do not look like lists."""
    if profile.kind != "text" or profile.listed:
        return None
    texts = profile.values[:_SAMPLE]
    for separator in _SEPARATORS:
        joined = [text for text in texts if separator in text]
        parts = {part.strip() for text in texts for part in text.split(separator)}
        if len(joined) > _SEVERAL * len(texts) and len(texts) >= _REPEATED * len(parts):
            most = max(text.count(separator) for text in joined) + 1
            return (
                f"cells hold up to {most} values of {len(parts)} different ones, separated by {separator!r}: "
                f"--list_delimiter='{separator}' reads lists"
            )
    return None


def _is_in(text: str, format: str) -> bool:
    try:
        return 1990 <= datetime.datetime.strptime(text, format).year < 2100
    except ValueError:
        return False
