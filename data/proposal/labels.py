"""Decides whether a label is binary, such as a click, or a value, such as an amount."""

from __future__ import annotations

from typing import Final

import numpy as np

from fullrank.data.proposal.column_profile import ColumnProfile
from fullrank.data.proposal.decisions import Decisions
from fullrank.data.proposal.written_flags import in_expression, written_flag
from fullrank.data.schema.features import Label
from fullrank.data.schema.schema import SchemaError

_STRAYS: Final = 0.01
"""Share of the rows up to which values other than 0 and 1 are treated as mistakes in a click."""


def decide_label(decisions: Decisions, profile: ColumnProfile) -> Label:
    """The label of a column: binary or a real value.

    Raises:
      SchemaError: If the column does not hold numbers, or holds numbers that records cannot hold.
    """
    binary = {value.lower() for value in profile.values} <= {"0", "1", "0.0", "1.0", "true", "false"}
    if profile.listed or not (binary or profile.kind in ("whole", "real")) or not profile.values:
        others = [value for value in profile.values if not _is_number(value)] or list(profile.values)
        shown = ", ".join(map(repr, others[:3])) or "no value"
        raise SchemaError(
            f"Column {profile.name!r} cannot be a label, which is a number. It holds "
            f"{'lists of ' if profile.listed else ''}{shown}. --missing names texts that mean a missing value."
        )
    if profile.infinite:
        raise SchemaError(f"Column {profile.name!r} cannot be a label: it {beyond_float32(profile)}.")
    note = None
    if profile.distinct == 1:
        note = f"is {profile.values[0]} wherever it is given: nothing can be learned from it"
    elif not binary:
        note = _strays(profile) or (
            f"has values from {profile.minimum:g} to {profile.maximum:g}: not a click, but an amount?"
        )
    decisions.use(profile.name, f"label, {'binary' if binary else 'value'}", note)
    return Label(name=profile.name, type="binary" if binary else "value")


def _strays(profile: ColumnProfile) -> str | None:
    """The note about a label that is 0 or 1 except in a few rows, which would otherwise be treated as an amount."""
    given = profile.numbers[profile.codes[profile.codes >= 0]]
    stray = ~np.isin(given, (0.0, 1.0))
    if not 0 < stray.sum() <= _STRAYS * len(given):
        return None
    shown = ", ".join(f"{value:g}" for value in np.unique(given[stray])[:3])
    return (
        f"is 0 or 1 in all but {stray.sum():,} of {len(given):,} rows ({shown}): if it is a click, correct those cells "
        f"or declare {written_flag('label', f'{profile.name}={in_expression(profile.name)}>=1')}; as an amount, its "
        "value is predicted, and columns that reveal it are not left out"
    )


def _is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def beyond_float32(profile: ColumnProfile) -> str:
    """The problem of a column with numbers that records cannot hold, and what to do about it."""
    beyond = [value for value, number in zip(profile.values, profile.numbers, strict=True) if not np.isfinite(number)]
    shown = ", ".join(beyond[:3]) + (", ..." if len(beyond) > 3 else "")
    remedy = f": --missing={','.join(beyond)} reads them as missing" if len(beyond) <= 3 else ""
    return f"holds numbers beyond float32, such as {shown}, which cannot be converted{remedy}"
