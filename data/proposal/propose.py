"""Proposes a schema from profiles of columns.

The rules, in the order in which they are tried; the first that fits decides:

1. A column without values or without a name, or with one value on every row, is left out. Flags take precedence.
2. A timestamp, or a number under a name with time, timestamp, ts or date that is a time from 1990 to 2099 in seconds or
   a finer unit, is the event time.
3. A column named weight, sample_weight or example_weight of numbers >= 0 is the sample weight.
4. user_id, uid, member_id and similar names are a key and a sparse feature; request_id, session_id and similar, a key.
5. Text of 8 or more 0s and 1s, equally long on all rows, and lists of such numbers, are bits.
6. Real numbers are numeric, versions sparse.
7. A column that is different on every row (of 1,000 or more), and a number that counts the rows, is left out.
8. Text is sparse.
9. Whole numbers are sparse or numeric as `fullrank.data.proposal.id_or_amount` decides. For dates in digits, such as
   14102100, the expressions that turn them into an event time and an hour are named.
10. Lists of real numbers of one length are a vector; those of different length are left out.
11. Lists that are as long on every row as a list of times are a sequence with it, if a single-valued feature has the
    same ids; without times, the name must contain history, past, last or recent.
12. Other lists of ids are a multi-valued sparse feature; equally long numbers named weight are its weights.
13. A feature that alone predicts a label, or from which one is computed, is left out. A note points out one that is
    named like a label, whose values rise with the event time, or whose texts are times in another form or lists.

Ids get a vocabulary or, with more than 100,000 different ones in the sample, a hash map of four times as many rows,
rounded up to a power of two, unless --ids says otherwise.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

import numpy as np

from fullrank.data.proposal import id_or_amount, name_hints
from fullrank.data.proposal.column_profile import ColumnProfile
from fullrank.data.proposal.decisions import (
    FEW_GAPS,
    Decisions,
    Wishes,
    group_by,
    is_time,
    mixed_units,
    time_unit,
    written_out,
)
from fullrank.data.proposal.labels import beyond_float32, decide_label
from fullrank.data.proposal.leak_hint import leak_hint, rises_with
from fullrank.data.proposal.lists import decide_lists
from fullrank.data.proposal.text_hints import advice_on_list, advice_on_time
from fullrank.data.proposal.written_flags import in_expression, written_flag
from fullrank.data.schema.features import Bits, Numeric, Sequence, Sparse
from fullrank.data.schema.schema import Schema, SchemaError

_IN_ORDER: Final = 0.999
_ENOUGH_ROWS: Final = 1_000
_ENOUGH_FOR_AN_INDEX: Final = 100
_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]+(\.0*)?\s*")
_BEYOND: Final = 2**53


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proposal:
    """A schema, and the decision about each column.

    Attributes:
      schema: The proposal.
      decisions: The uses of columns, those left out, and what to check.
    """

    schema: Schema
    decisions: Decisions


def propose(profiles: dict[str, ColumnProfile], *, name: str, wishes: Wishes) -> Proposal:
    """Proposes a schema.

    Args:
      profiles: Column name -> profile, in the order of the columns.
      name: Name of the data set.
      wishes: The user's decisions.

    Raises:
      SchemaError: If a label cannot be one, or no column is left for a feature.
    """
    profiles = {name: _as_ids(profile, wishes) for name, profile in profiles.items()}
    decisions = Decisions(profiles, wishes)
    labels = tuple(decide_label(decisions, profiles[label]) for label in wishes.labels)
    segments = tuple(group_by(profiles[column]) for column in wishes.segments)
    keys = [group_by(profiles[column]).name for column in wishes.keys]
    for column in wishes.ignore:
        decisions.left_out[column] = "ignored"
    _find_time(decisions)
    _find_weight(decisions)
    for column, label in wishes.computed_from.items():
        if column not in (*decisions.uses, *decisions.left_out, *wishes.forced, *keys, *wishes.segments):
            decisions.left_out[column] = f"{label!r} is computed from it: an input only by --numeric or --sparse"
    for profile in decisions.open():
        if not profile.listed:
            _decide_single(decisions, profile)
    _leave_leaks_out(decisions)
    _point_out_outcomes(decisions)
    _point_out_dates(decisions)
    _point_out_texts(decisions)
    decide_lists(decisions)
    for column in keys:
        decisions.add_key(profiles[column])
    for column in wishes.segments:
        decisions.use(column, "segment")
    if not decisions.features:
        raise SchemaError("No column is left for a feature: every one is a label, constant, ignored or unusable.")
    schema = Schema(
        name=name,
        features=tuple(sorted(decisions.features.values(), key=lambda feature: _position(feature, list(profiles)))),
        labels=labels,
        weight=decisions.weight,
        keys=tuple(decisions.keys.values()),
        segments=segments,
        time=decisions.time,
        time_unit=decisions.time_unit,
    )
    return Proposal(schema=schema, decisions=decisions)


def _as_ids(profile: ColumnProfile, wishes: Wishes) -> ColumnProfile:
    """The profile with numbers such as 1.0 and 2.0 as whole numbers, if the name or a flag says that they are ids."""
    asked = profile.name in (*wishes.sparse, *wishes.keys, *wishes.segments)
    if (
        profile.kind != "real"
        or profile.listed
        or profile.name in wishes.numeric
        or name_hints.is_version(profile.name)
    ):
        return profile
    named = name_hints.is_id(profile.name) or name_hints.is_user(profile.name) or name_hints.is_request(profile.name)
    if not (asked or named) or not all(map(_WHOLE.fullmatch, profile.values)) or profile.infinite:
        return profile
    whole = [int(value.strip().partition(".")[0]) for value in profile.values]
    if max(map(abs, whole), default=0) >= _BEYOND:
        return profile
    return dataclasses.replace(profile, kind="whole", values=tuple(map(str, whole)))


def _leave_leaks_out(decisions: Decisions) -> None:
    """Removes features that alone predict a label, unless a flag says what they are."""
    for column in list(decisions.features):
        profile = decisions.profiles.get(column)
        if profile is None or column in (*decisions.wishes.forced, *decisions.wishes.keys, *decisions.wishes.segments):
            continue
        hints = (leak_hint(profile, decisions.profiles[label]) for label in decisions.wishes.labels)
        found = [hint for hint in hints if hint is not None]
        if found:
            keep = "--numeric" if isinstance(decisions.features[column], Numeric) else "--sparse"
            del decisions.features[column], decisions.uses[column]
            decisions.notes.pop(column, None)
            decisions.keys.pop(column, None)
            decisions.left_out[column] = f"{'; '.join(found)} Keep it by {keep}={column}."


def _point_out_outcomes(decisions: Decisions) -> None:
    """Notes that features that are named like labels may not be known before the event."""
    for column in decisions.features:
        profile = decisions.profiles[column]
        flag = profile.kind == "whole" and set(profile.values) <= {"0", "1", "true", "false"}
        measured = isinstance(decisions.features[column], Numeric)
        if column not in decisions.wishes.forced and (flag or measured) and name_hints.is_outcome(column):
            decisions.notes[column] = (
                "named like something that happens after the event: --ignore it unless it is known before, or make it "
                "another --label"
            )


def _point_out_dates(decisions: Decisions) -> None:
    """Notes that training does not see the later values of features that rise with the time."""
    if decisions.time is None:
        return
    for column in decisions.features:
        if column not in decisions.wishes.forced and rises_with(
            decisions.profiles[column], decisions.profiles[decisions.time]
        ):
            decisions.notes[column] = (
                "rises with the event time, so the values of later rows are new to a model: --ignore it unless "
                "they recur"
            )


def _point_out_texts(decisions: Decisions) -> None:
    """Notes texts that are taken for ids but look like times or lists."""
    for column, feature in decisions.features.items():
        if isinstance(feature, Sparse) and column not in decisions.wishes.forced:
            profile = decisions.profiles[column]
            advice = advice_on_time(profile) or advice_on_list(profile)
            if advice is not None:
                decisions.notes[column] = advice


def _position(feature: object, columns: list[str]) -> int:
    return columns.index(feature.names[0] if isinstance(feature, Sequence) else getattr(feature, "name", ""))


def _find_time(decisions: Decisions) -> None:
    wanted = decisions.wishes.time
    candidates = [p for p in decisions.open() if not p.listed and is_time(p)]
    complete = (profile for profile in candidates if profile.missing <= FEW_GAPS)
    chosen = decisions.profiles[wanted] if wanted is not None else next(complete, None)
    for other in candidates:
        if other is not chosen and other.name not in decisions.wishes.forced:
            gaps = f"a time that {other.missing:.2%} of the rows lack" if other.missing > FEW_GAPS else "another time"
            decisions.left_out[other.name] = f"{gaps}: choose it by --time, or keep it by --numeric"
    if chosen is None:
        return
    if chosen.kind not in ("time", "whole", "real"):
        advice = advice_on_time(chosen)
        raise SchemaError(
            f"--time={chosen.name}: cells such as {chosen.examples[0]!r} are neither numbers nor ISO 8601 times. "
            f"{'Compute one by --column and strptime.' if advice is None else f'They are {advice}.'}"
            if chosen.values
            else f"--time={chosen.name}: the column has no values."
        )
    unit = time_unit(chosen)
    if unit is None:
        decisions.left_out[chosen.name] = _date_in_digits(chosen) or (
            "a time neither in seconds nor in milliseconds since 1970: convert it first"
        )
    else:
        decisions.time, decisions.time_unit = chosen.name, unit
        missing = f"; {chosen.missing:.2%} of the rows have none" if chosen.missing else ""
        note = f"the event time, in {unit}{missing}"
        if mixed_units(chosen):
            note += (
                f"; but values from {chosen.minimum:.0f} to {chosen.maximum:.0f} are of two units, seconds and "
                "milliseconds: convert them to one unit before rows are split by time"
            )
        decisions.use(chosen.name, "time", note)


def _date_in_digits(profile: ColumnProfile) -> str | None:
    """Advice on a date that is written like 14102100."""
    format, name = written_out(profile), profile.name
    if format is None:
        return None
    time = f"{name}_time"
    column = written_flag("column", f"{time}=strptime({in_expression(name)}::VARCHAR, '{format}')")
    part = "hour_of_day=hour" if "%H" in format else "weekday=isodow"
    feature = written_flag("column", f"{part}({in_expression(time)})")
    return (
        f"a date in digits: {column} {written_flag('time', time)} makes it the event time, {feature} a feature; "
        f"{written_flag('ignore', name)} leaves the date itself out"
    )


def _find_weight(decisions: Decisions) -> None:
    decisions.weight = decisions.wishes.weight or next(filter(None, map(_weight_name, decisions.open())), None)
    if decisions.weight in decisions.wishes.forced:
        decisions.weight = None
    if decisions.weight is not None:
        decisions.use(decisions.weight, "weight", "weighs the examples")


def _weight_name(profile: ColumnProfile) -> str | None:
    number = not profile.listed and profile.kind in ("whole", "real") and not (profile.missing or profile.infinite)
    return (
        profile.name if number and name_hints.is_sample_weight(profile.name) and (profile.minimum or 0) >= 0 else None
    )


def _decide_single(decisions: Decisions, profile: ColumnProfile) -> None:
    column, wishes = profile.name, decisions.wishes
    if profile.kind == "none":
        decisions.left_out[column] = "no value on any row of the sample"
    elif profile.kind == "other":
        decisions.left_out[column] = "its type cannot be a feature"
    elif profile.infinite and column not in wishes.sparse:
        if column in wishes.numeric:
            raise SchemaError(f"Column {column!r} cannot be a number: it {beyond_float32(profile)}.")
        decisions.left_out[column] = beyond_float32(profile)
    elif column in wishes.numeric:
        _add_numeric(decisions, profile)
    elif column in wishes.sparse:
        decisions.add_sparse(profile)
    elif column in (*wishes.keys, *wishes.segments):
        # A column that groups examples is an id; it also gets a table if its values recur.
        if profile.distinct < profile.rows and not name_hints.is_request(column):
            decisions.add_sparse(profile)
    elif not column.strip():
        decisions.left_out[column] = "has no name, like the row numbers that pandas saves: rename it to keep it"
    elif profile.distinct == 1 and not profile.missing:
        decisions.left_out[column] = f"the same value on every row of the sample: {profile.values[0]}"
    elif name_hints.is_user(column) and profile.kind != "real":
        decisions.add_sparse(profile)
        decisions.add_key(profile)
    elif name_hints.is_request(column) and profile.kind != "real":
        decisions.add_key(profile)
    elif _numbers_the_rows(profile) and profile.rows >= _ENOUGH_FOR_AN_INDEX:
        decisions.left_out[column] = "numbers the rows: keep it by --sparse or --numeric"
    elif profile.kind == "bits":
        length = len(profile.values[0])
        decisions.add(profile, Bits(name=column, length=length, side=name_hints.side_of(column)), "bits")
    elif profile.kind == "time":
        decisions.left_out[column] = "a time: make it the event time by --time, or a number"
    elif profile.kind == "real" and name_hints.is_version(column):
        decisions.add_sparse(profile, "versions, where 1.10 differs from 1.1: --numeric if they are amounts")
    elif profile.kind == "real":
        _add_numeric(decisions, profile)
    elif profile.distinct == profile.rows >= _ENOUGH_ROWS:
        decisions.left_out[column] = "different on every row: keep it by --sparse or --key"
    elif profile.kind == "text":
        decisions.add_sparse(profile)
    else:
        _decide_whole(decisions, profile)


def _decide_whole(decisions: Decisions, profile: ColumnProfile) -> None:
    verdict = id_or_amount.judge(profile, [decisions.profiles[label] for label in decisions.wishes.labels])
    note = _date_in_digits(profile) or verdict.note
    if verdict.is_id:
        decisions.add_sparse(profile, note)
    else:
        _add_numeric(decisions, profile, note)


def _numbers_the_rows(profile: ColumnProfile) -> bool:
    """Whether a column counts the rows, like an index that was saved with them."""
    if profile.kind != "whole" or profile.distinct != profile.rows or profile.rows < 2:
        return False
    return bool((np.diff(profile.numbers[profile.codes]) == 1).mean() >= _IN_ORDER)


def _add_numeric(decisions: Decisions, profile: ColumnProfile, note: str | None = None) -> None:
    feature = Numeric(name=profile.name, side=name_hints.side_of(profile.name))
    decisions.add(profile, feature, "numeric", note)
