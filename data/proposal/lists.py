"""Decides whether columns of lists are bits, vectors, sequences or multi-valued features."""

from __future__ import annotations

import numpy as np

from fullrank.data.proposal import name_hints
from fullrank.data.proposal.column_profile import ColumnProfile
from fullrank.data.proposal.decisions import LONGEST, Decisions, dtype_of, is_time, time_unit
from fullrank.data.proposal.written_flags import in_expression, written_flag
from fullrank.data.schema.features import BehaviourColumn, Bits, Sequence, Sparse, Vector

_FEWEST_BITS = 8
_OVERLAP = 0.1
"""Share of their ids that a list and a feature must have in common to share a table, unless their names agree."""


def decide_lists(decisions: Decisions) -> None:
    """Decides about every list that is still open; single-valued features have to be decided first."""
    for profile in decisions.open():
        if profile.listed:
            _decide_numbers(decisions, profile)
    _find_sequences(decisions)
    _leave_ages_out(decisions)
    _find_multi_valued(decisions)


def _decide_numbers(decisions: Decisions, profile: ColumnProfile) -> None:
    """Decides about lists that are bits or vectors, or unusable."""
    length, column = profile.fixed_length, profile.name
    side = name_hints.side_of(column)
    if profile.kind == "none":
        decisions.left_out[column] = "no value on any row of the sample"
    elif profile.kind == "other":
        decisions.left_out[column] = "lists of something that cannot be a feature"
    elif column in decisions.wishes.sparse | decisions.wishes.gaps:
        return
    elif profile.infinite:
        decisions.left_out[column] = "lists with numbers beyond float32, which cannot be converted"
    elif profile.gaps and length is not None and profile.kind == "real":
        decisions.left_out[column] = "lists of real numbers in which some are missing"
    elif _are_bits(profile) and length is not None:
        decisions.add(profile, Bits(name=column, length=length, side=side), "bits")
    elif profile.kind == "real" and not name_hints.is_weights_of_ids(column):
        if length is None or length < 2:
            decisions.left_out[column] = "lists of real numbers of different lengths"
        else:
            decisions.add(profile, Vector(name=column, length=length, side=side), "vector")


def _are_bits(profile: ColumnProfile) -> bool:
    digits = profile.kind == "whole" and set(profile.values) <= {"0", "1"} and not profile.gaps
    return digits and (profile.fixed_length or 0) >= _FEWEST_BITS


def _find_sequences(decisions: Decisions) -> None:
    for times in decisions.open():
        gaps = times.name in decisions.wishes.gaps
        if times.listed and (is_time(times) or gaps):
            if not gaps and not _agree_on_unit(decisions, times):
                decisions.left_out[times.name] = (
                    f"times in another unit than {decisions.time!r} ({decisions.time_unit})"
                )
            elif not _add_sequence(decisions, _aligned(decisions, times), times):
                decisions.left_out[times.name] = "times that belong to no list with the ids of a feature"
    for profile in decisions.open():
        if profile.listed and name_hints.is_past(profile.name):
            _add_sequence(decisions, [profile], None)


def _agree_on_unit(decisions: Decisions, times: ColumnProfile) -> bool:
    """Whether the times of a list can be in the unit of the schema, which is still free if only timestamps use it."""
    if times.kind == "time":
        return True
    unit = time_unit(times)
    if unit is not None and (decisions.time is None or decisions.profiles[decisions.time].kind == "time"):
        decisions.time_unit = unit
    return unit == decisions.time_unit


def _aligned(decisions: Decisions, times: ColumnProfile) -> list[ColumnProfile]:
    """The lists of ids as long as the times on every row; only those with the most similar name, if names decide."""
    lists = [p for p in decisions.open() if p.listed and p.kind in ("whole", "text") and not is_time(p)]
    lists = [p for p in lists if p.name not in decisions.wishes.gaps]
    aligned = [p for p in lists if (p.lengths == times.lengths).all()]
    prefix = max((name_hints.common_prefix((p.name, times.name)) for p in aligned), key=len, default="")
    return [p for p in aligned if p.name.startswith(prefix)]


def _add_sequence(decisions: Decisions, group: list[ColumnProfile], times: ColumnProfile | None) -> bool:
    """Makes a sequence of those lists whose ids a feature shares; returns whether there are any.

    Lists that describe the ad or the context are compared with it. Lists that describe the user, and lists that no
    feature shares, have no target: they describe only the behaviour. The latter need times with a similar name.
    """
    shared = {p.name: feature for p in group if (feature := _shared_feature(decisions, p)) is not None}
    if not shared:
        return False
    first = next(iter(shared))
    name = name_hints.common_prefix((*shared, times.name)) if times is not None else first
    columns = _compared(decisions, shared)
    if times is not None and name:
        columns += [BehaviourColumn(name=p.name, dtype=dtype_of(p)) for p in group if p.name not in shared]
    if not name or name in decisions.profiles:
        name = f"{name or first}_sequence"
    longest = int(decisions.profiles[first].lengths.max())
    decisions.features[name] = Sequence(
        name=name,
        behaviour=tuple(columns),
        times=times.name if times is not None else None,
        max_length=max(1, min(longest, LONGEST)),
    )
    cut = f"; the longest has {longest}, the last {LONGEST} are kept" if longest > LONGEST else ""
    for column in columns:
        ids = "has ids of its own" if column.table is None else f"shares the ids of {column.table!r}"
        alone = "" if column.target is not None else ", describes only the behaviour"
        decisions.use(column.name, f"sequence {name}", f"{ids}{alone}; the oldest must come first{cut}")
    if times is not None:
        decisions.use(times.name, f"times of {name}", f"in {decisions.time_unit}")
    return True


def _leave_ages_out(decisions: Decisions) -> None:
    """Leaves out lists beside a sequence that tell how long ago each behaviour was, as far as their numbers show.

    Their unit is not known, and as ids they would be as good as unique, so that a model learns rows by heart.
    """
    if decisions.time is None:
        return
    sequences = [feature for feature in decisions.features.values() if isinstance(feature, Sequence)]
    times = {column.name: feature.times for feature in sequences for column in feature.behaviour}
    lengths = {name: decisions.profiles[name].lengths for name in times}
    for ages in decisions.open():
        if not ages.falling or (ages.minimum or 0) < 0 or ages.name in decisions.wishes.sparse:
            continue
        beside = next((name for name, other in lengths.items() if np.array_equal(other, ages.lengths)), None)
        if beside is not None:
            decisions.left_out[ages.name] = _advice(decisions, ages.name, beside, times=times[beside])


def _advice(decisions: Decisions, ages: str, beside: str, *, times: str | None) -> str:
    as_ids = f"{written_flag('sparse', ages)} if these are ids"
    if times is not None:
        return f"falls along each list beside {beside!r}, whose times are {times!r}; {as_ids}"
    now = in_expression(str(decisions.time))
    by_seconds = f"list_transform({in_expression(ages)}, lambda age: {now} - to_seconds(age))"
    return (
        f"falls along each list beside {beside!r}, as the time that has passed since a behaviour does: "
        f"{written_flag('gaps', ages)} if it is in {decisions.time_unit}, or, in seconds, "
        f"{written_flag('column', f'{beside}_times={by_seconds}')}; {as_ids}"
    )


def _compared(decisions: Decisions, shared: dict[str, str]) -> list[BehaviourColumn]:
    """The columns that share a feature's table, compared with it unless it describes the user."""
    users = {name for name in shared.values() if decisions.features[name].side == "user"}
    users = users if users != set(shared.values()) else set()
    return [
        BehaviourColumn(name=column, table=feature, target=None if feature in users else feature)
        for column, feature in shared.items()
    ]


def _shared_feature(decisions: Decisions, profile: ColumnProfile) -> str | None:
    """The single-valued feature of the same ids: by name if one agrees, else by the ids in common."""
    scores = {
        feature.name: (
            len(name_hints.subject(feature.name) & name_hints.subject(profile.name)),
            _in_common(profile.values, decisions.profiles[feature.name].values),
        )
        for feature in decisions.features.values()
        if isinstance(feature, Sparse) and feature.max_values == 1 and feature.dtype == dtype_of(profile)
    }
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and (scores[best][0] or scores[best][1] >= _OVERLAP) else None


def _in_common(some: tuple[str, ...], others: tuple[str, ...]) -> float:
    """The share of their ids that both have, of the one with more ids: five ratings are not users 1 to 5 of many."""
    return len(set(some).intersection(others)) / max(len(some), len(others), 1)


def _find_multi_valued(decisions: Decisions) -> None:
    lists = [p for p in decisions.open() if p.listed]
    weights = [p for p in lists if p.kind in ("real", "whole") and name_hints.is_weights_of_ids(p.name)]
    for profile in lists:
        ids = profile.kind in ("whole", "text") or profile.name in decisions.wishes.sparse
        if ids and profile not in weights:
            own = next((w for w in weights if w.name not in decisions.uses and _are_weights_of(w, profile)), None)
            decisions.add_sparse(profile, weights=own.name if own else None)
            if own is not None:
                decisions.use(own.name, f"weights of {profile.name}")
    for profile in decisions.open():
        decisions.left_out[profile.name] = "lists of numbers that do not belong to a list of ids"


def _are_weights_of(weights: ColumnProfile, ids: ColumnProfile) -> bool:
    alike = name_hints.subject(ids.name) & name_hints.subject(weights.name)
    return bool(alike) and bool((ids.lengths == weights.lengths).all())
