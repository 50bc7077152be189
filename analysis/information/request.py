"""The request for a correlation analysis, and how it is resolved against a schema."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Final

from fullrank.analysis.information.constraints import ANY, Constraint, parse_constraint
from fullrank.data.command.errors import UsageError
from fullrank.data.files.printable import closest
from fullrank.data.schema.features import Sequence, Sparse
from fullrank.data.schema.schema import Schema, SchemaError

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure, by names.

    Attributes:
      split: Split of the records.
      label: Binary label; `None` for the first one.
      where: Constraint on examples; empty for all.
      constraints: Constraints, each of which is an X in addition to the features.
      features: Features to rank; all if empty.
      buckets: Quantile buckets of a number.
      draws: Permutations drawn for each interval.
      pairs: Whether to also measure pairs of features.
      pair_values: Most frequent values of a feature in a pair.
      behaviour: Column of behaviours for the map; `None` for that of the smallest table with a target.
      behaviour_where: Constraint on single behaviours, by columns of their sequence; empty for all.
      target: Column of the target; `None` for the feature that owns the behaviours' table.
      categories: Most frequent categories of the target in the map.
      positions: Positions in the map.
      intervals: Inner edges of the interval buckets, such as `1h` or `7d`.
      least: Examples with and without a behaviour that a cell needs to be compared.
      batch_size: Examples read at once.
      seed: Seed of permutations.
    """

    split: str = "train"
    label: str | None = None
    where: str = ""
    constraints: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    buckets: int = 32
    draws: int = 100
    pairs: bool = False
    pair_values: int = 16
    behaviour: str | None = None
    behaviour_where: str = ""
    target: str | None = None
    categories: int = 10
    positions: int = 20
    intervals: tuple[str, ...] = ("10m", "1h", "3h", "6h", "12h", "1d", "2d", "4d", "8d", "16d", "32d")
    least: int = 100
    batch_size: int = 16384
    seed: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapColumns:
    """The columns of a map: behaviours, the target of the same table, times if there are any, and the constraint."""

    behaviours: str
    table: str
    target: str
    times: str | None
    kept: Constraint


def binary_label(schema: Schema, name: str | None) -> str:
    """The label that is measured.

    Raises:
      ValueError: If it is not binary, or there is no binary one.
    """
    binary = [label.name for label in schema.labels if label.type == "binary"]
    if name is None:
        if not binary:
            raise ValueError(f"Schema {schema.name!r} has no binary label to measure.")
        return binary[0]
    if schema.label(name).type != "binary":
        raise ValueError(f"--label={name} is a value; correlation needs a binary label: {', '.join(binary) or 'none'}.")
    return name


def constraints_of(request: Request, schema: Schema) -> tuple[Constraint, list[Constraint]]:
    """The constraint on examples, and those that each are an X.

    Raises:
      ValueError: If one cannot be read.
    """
    where = parse_constraint(request.where, schema=schema, flag="where")
    own = [parse_constraint(text, schema=schema, flag="constraint") for text in request.constraints]
    if any(not constraint.conditions for constraint in own):
        raise UsageError("--constraint is empty; write for example --constraint='history_category[1]=3'.")
    return where, own


def check_features(request: Request, schema: Schema) -> None:
    """Rejects a feature that the schema does not have.

    Raises:
      SchemaError: If there is one.
    """
    known = [feature.name for feature in schema.features]
    for name in request.features:
        if name not in known:
            meant = closest(name, known)
            hint = f"did you mean {meant!r}?" if meant else f"it has {', '.join(known)}."
            raise SchemaError(f"--features: schema {schema.name!r} has no feature {name!r}; {hint}")


def map_columns(request: Request, schema: Schema) -> MapColumns | None:
    """The columns of the map; `None` if none is requested and there are no behaviours with a target.

    Raises:
      SchemaError: If a requested column does not exist.
    """
    sparse = [feature.name for feature in schema.features if isinstance(feature, Sparse)]
    found = {
        column.name: (sequence, column.target, str(column.table))
        for sequence in schema.features
        if isinstance(sequence, Sequence)
        for column in sequence.behaviour
        if column.target in sparse
    }
    if request.behaviour is None:
        if not found:
            if request.behaviour_where:
                raise SchemaError(f"--behaviour_where: schema {schema.name!r} has no sequence of behaviours.")
            return None
        column = min(found, key=lambda name: schema.table(found[name][2]).ids.rows)
        ads = [name for name in found if schema.sparse(found[name][1]).side == "ad"]
        if ads:
            column = min(ads, key=lambda name: schema.table(found[name][2]).ids.rows)
    else:
        column = request.behaviour
        if column not in found:
            raise SchemaError(
                f"--behaviour={column} is not a column of a sequence that is compared with a sparse feature. Those "
                f"are: {', '.join(found) or 'none'}."
            )
    sequence, compared, shared = found[column]
    target = request.target if request.target is not None else compared
    feature = next((f for f in schema.features if isinstance(f, Sparse) and f.name == target), None)
    if feature is None or shared not in (feature.name, feature.table):
        same = [f.name for f in schema.features if isinstance(f, Sparse) and shared in (f.name, f.table)]
        raise SchemaError(
            f"--target={target}: behaviours of {column} share a table with {', '.join(same)}; take one of those."
        )
    times = sequence.times if schema.time is not None else None
    kept = _behaviours_kept(request, schema, sequence)
    return MapColumns(behaviours=column, table=shared, target=target, times=times, kept=kept)


def _behaviours_kept(request: Request, schema: Schema, sequence: Sequence) -> Constraint:
    flag = "behaviour_where"
    kept = parse_constraint(request.behaviour_where, schema=schema, flag=flag)
    own = [column.name for column in schema.feature_columns(sequence)]
    for condition in kept.conditions:
        if condition.column.name not in own or condition.position != ANY:
            raise ValueError(
                f"--{flag}: {condition.text} is not a condition on a single behaviour of {sequence.name}. Its columns, "
                f"without a position: {', '.join(own)}."
            )
    return kept


def edges_of(intervals: tuple[str, ...]) -> tuple[float, ...]:
    """Edges in seconds.

    Raises:
      ValueError: If one is not a duration, or they do not increase.
    """
    edges = []
    for text in intervals:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
        if match is None:
            raise ValueError(f"--intervals: {text!r} is not a duration such as 30s, 10m, 2h or 7d.")
        edges.append(float(match[1]) * _SECONDS[match[2]])
    if any(low >= high for low, high in itertools.pairwise(edges)):
        raise ValueError(f"--intervals must increase. Received: {','.join(intervals)}.")
    return tuple(edges)
