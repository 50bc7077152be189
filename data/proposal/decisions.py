"""The decisions about the columns of a table that lead to a schema."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Final, Literal

from fullrank.data.proposal import name_hints
from fullrank.data.proposal.column_profile import ColumnProfile
from fullrank.data.proposal.written_flags import written_flag
from fullrank.data.schema.features import Feature, IdMap, Key, Sparse
from fullrank.data.schema.schema import SchemaError

MANY: Final = 100_000
FEW_GAPS: Final = 0.01
"""Largest share of rows without an event time that may be left out."""
LONGEST: Final = 200
_EARLIEST: Final = 1e8
_WRITTEN_OUT: Final = {
    **{14: ("%Y%m%d%H%M%S",), 12: ("%Y%m%d%H%M",), 10: ("%Y%m%d%H",)},
    **{8: ("%Y%m%d", "%y%m%d%H"), 6: ("%y%m%d",)},
}
"""How dates are written in whole numbers, by their number of digits."""
_YEAR_1990: Final = 631_152_000
_YEAR_2100: Final = 4_102_444_800


IdChoice = Literal["vocabulary", "hash", "compositional"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wishes:
    """The user's decisions, as names of columns."""

    labels: tuple[str, ...]
    sparse: frozenset[str] = frozenset()
    numeric: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    time: str | None = None
    weight: str | None = None
    gaps: frozenset[str] = frozenset()
    ids: Mapping[str, IdChoice] = dataclasses.field(default_factory=dict)
    """Column -> how its ids become rows."""
    computed_from: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Column -> the label that is computed from it."""

    @property
    def forced(self) -> frozenset[str]:
        """Columns whose kind is given."""
        return self.sparse | self.numeric


@dataclasses.dataclass
class Decisions:
    """The decisions about each column so far.

    Attributes:
      profiles: Column name -> profile, in the order of the columns.
      wishes: Decisions by flags.
      features: Feature name -> feature.
      keys: Column name -> key.
      uses: Column name -> what it is used as, e.g. `sparse, key`.
      left_out: Column name -> why.
      notes: Column name -> what a person should check.
      time: Column of the event time.
      time_unit: Its unit.
      weight: Column of the sample weight.
    """

    profiles: dict[str, ColumnProfile]
    wishes: Wishes
    features: dict[str, Feature] = dataclasses.field(default_factory=dict)
    keys: dict[str, Key] = dataclasses.field(default_factory=dict)
    uses: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    time: str | None = None
    time_unit: Literal["s", "ms"] = "s"
    weight: str | None = None

    @property
    def doubts(self) -> list[str]:
        """Columns with a note that a person should check."""
        return [
            column
            for column, note in self.notes.items()
            if not note.startswith("the event time, in ") or "two units" in note
        ]

    def open(self) -> list[ColumnProfile]:
        """The columns that are still undecided."""
        return [p for column, p in self.profiles.items() if column not in self.uses and column not in self.left_out]

    def use(self, column: str, what: str, note: str | None = None) -> None:
        """Records one more use of a column."""
        self.uses[column] = f"{self.uses[column]}, {what}" if column in self.uses else what
        if note is not None:
            self.notes[column] = note

    def add(self, profile: ColumnProfile, feature: Feature, what: str, note: str | None = None) -> None:
        """Records a feature that has the name of its column."""
        self.features[feature.name] = feature
        infinite = "holds infinite values, which fullrank convert rejects"
        self.use(profile.name, what, infinite if profile.infinite else note)

    def add_sparse(self, profile: ColumnProfile, note: str | None = None, *, weights: str | None = None) -> None:
        """Records a sparse feature, of several values if rows hold lists."""
        ids = id_map(profile.distinct, self.wishes.ids.get(profile.name))
        if profile.distinct > MANY and profile.name not in self.wishes.ids:
            chosen = written_flag("ids", f"{profile.name}:vocabulary")
            note = f"very many ids: hashed into {ids.size:,} rows; {chosen} or :compositional"
        longest = int(profile.lengths.max())
        if longest > LONGEST:
            note = f"the longest has {longest} values; the last {LONGEST} are kept"
        feature = Sparse(
            name=profile.name,
            dtype=dtype_of(profile),
            ids=ids,
            max_values=max(2, min(longest, LONGEST)) if profile.listed else 1,
            weights=weights,
            side=name_hints.side_of(profile.name),
        )
        self.add(profile, feature, "sparse, several" if profile.listed else "sparse", note)

    def add_key(self, profile: ColumnProfile) -> None:
        """Records a key."""
        if profile.name not in self.keys:
            self.keys[profile.name] = group_by(profile)
            self.use(profile.name, "key")


def id_map(distinct: int, choice: IdChoice | None) -> IdMap:
    """The map of a column's ids; a choice, or a vocabulary unless there are very many of them.

    `hash` has four rows per id, `compositional` one, with two hash functions; both are rounded up to a power of two.
    """
    if choice == "vocabulary" or (choice is None and distinct <= MANY):
        return IdMap()
    hashes, share = (2, 1) if choice == "compositional" else (1, 4)
    return IdMap(kind="hash", size=1 << (share * distinct - 1).bit_length(), hashes=hashes)


def group_by(profile: ColumnProfile) -> Key:
    """The column as a key or segment.

    Raises:
      SchemaError: If its values cannot group examples.
    """
    if profile.listed or profile.kind in ("real", "other"):
        what = "lists" if profile.listed else "real numbers" if profile.kind == "real" else "something other than ids"
        raise SchemaError(f"Column {profile.name!r} holds {what}, so it cannot be a key or segment.")
    return Key(name=profile.name, dtype=dtype_of(profile))


def dtype_of(profile: ColumnProfile) -> Literal["int64", "bytes"]:
    """The dtype of a column's ids."""
    return "int64" if profile.kind == "whole" else "bytes"


def is_time(profile: ColumnProfile) -> bool:
    """Whether values are times: by their type, or as numbers whose name and size suggest it."""
    if profile.kind == "time":
        return True
    number = profile.kind in ("whole", "real") and profile.minimum is not None and profile.minimum >= _EARLIEST
    return number and name_hints.is_time(profile.name) and _unit_of(profile.maximum or 0.0) is not None


def written_out(profile: ColumnProfile) -> str | None:
    """The format of dates in the digits of whole numbers, e.g. `%y%m%d%H` for 14102100; `None` if they are not dates.

    The name has to suggest it, and every value has to be a date from 1990 to 2099.
    """
    if profile.kind != "whole" or not (name_hints.is_time(profile.name) or name_hints.is_part_of_time(profile.name)):
        return None
    lengths = set(map(len, profile.values))
    formats = _WRITTEN_OUT.get(lengths.pop(), ()) if len(lengths) == 1 else ()
    return next((format for format in formats if all(_is_date(value, format) for value in profile.values)), None)


def _is_date(value: str, format: str) -> bool:
    try:
        return 1990 <= datetime.datetime.strptime(value, format).year < 2100
    except ValueError:
        return False


def time_unit(profile: ColumnProfile) -> Literal["s", "ms"] | None:
    """The unit of a time; `None` for one that records cannot have."""
    latest = profile.maximum or 0.0
    unit = 1 if profile.kind == "time" or latest < _YEAR_1990 else _unit_of(latest)
    return "s" if unit == 1 else "ms" if unit == 1_000 else None


def mixed_units(profile: ColumnProfile) -> bool:
    """Whether some times of a column are in seconds and others in a finer unit."""
    return profile.kind in ("whole", "real") and _unit_of(profile.minimum or 0.0) != _unit_of(profile.maximum or 0.0)


def _unit_of(time: float) -> int | None:
    """How many units a second has, if the number is a time from 1990 to 2099: 1 to 10^9."""
    units = (1, 10**3, 10**6, 10**9)
    return next((unit for unit in units if _YEAR_1990 * unit <= time < _YEAR_2100 * unit), None)
