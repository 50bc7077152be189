"""A schema and its statistics as tables for a person."""

from __future__ import annotations

from fullrank.data.command.help import text_table
from fullrank.data.schema.features import BehaviourColumn, Bits, Feature, Numeric, Sequence, Sparse, Vector
from fullrank.data.schema.schema import Schema


def describe_header(schema: Schema) -> str:
    """Name, layout and the columns with a role."""
    lines = [
        f"Data set {schema.name!r}, {schema.layout} layout" + (f", {schema.compression}" if schema.compression else ""),
        "labels: " + ", ".join(f"{label.name} ({label.type})" for label in schema.labels),
    ]
    if schema.weight is not None:
        lines.append(f"weight: {schema.weight}")
    for title, keys in (("keys", schema.keys), ("segments", schema.segments)):
        if keys:
            lines.append(f"{title}: " + ", ".join(f"{key.name} ({key.dtype})" for key in keys))
    if schema.time is not None:
        lines.append(f"time: {schema.time} ({schema.time_unit})")
    if schema.extras:
        lines.append(f"extras: {', '.join(schema.extras)}")
    return "\n".join(lines)


def describe_splits(schema: Schema) -> str:
    """Examples, files and bytes of each split; base rates of the training split."""
    rows = []
    for split in schema.splits:
        sizes = [shard.size for shard in split.shards]
        known = sum(size for size in sizes if size is not None)
        size = f"{known / 1e6:,.1f} MB" if None not in sizes else "unknown"
        rows.append((split.name, f"{split.examples:,}", str(len(split.shards)), size))
    lines = [text_table(("split", "examples", "files", "size"), rows, right=(1, 2, 3)), ""]
    for label in schema.labels:
        if label.observed is not None:
            mean = "never observed" if label.mean is None else f"mean {label.mean:.6g}"
            seen = "" if label.observed == 1 else f", observed on {label.observed:.1%} of the examples"
            lines.append(f"label {label.name}: {mean}{seen} (train)")
    return "\n".join(lines).rstrip()


def describe_features(schema: Schema) -> str:
    """One row per feature: kind, ids and statistics."""
    rows = [(f.name, f.kind, f.side, _dtype(f), _ids(f), *_statistics(f)) for f in schema.features]
    header = ("feature", "kind", "side", "dtype", "ids or length", "distinct", "missing", "values")
    return text_table(header, rows, right=(5, 6))


def _dtype(feature: Feature) -> str:
    if isinstance(feature, Sparse):
        return feature.dtype
    return "float32" if isinstance(feature, (Numeric, Vector)) else "int64" if isinstance(feature, Bits) else ""


def _ids(feature: Feature) -> str:
    if isinstance(feature, Sparse):
        if feature.table is not None:
            return f"table of {feature.table}"
        return f"{feature.ids.kind} {feature.ids.size:,}"
    if isinstance(feature, Sequence):
        columns = ", ".join(map(_behaviour, feature.behaviour))
        return f"last {feature.max_length}: {columns}" + (f", at {feature.times}" if feature.times else "")
    if isinstance(feature, Numeric):
        return _numeral_systems(feature)
    paired = f", with {feature.pair}" if isinstance(feature, Vector) and feature.pair is not None else ""
    return f"x {feature.length}{paired}"


def _behaviour(column: BehaviourColumn) -> str:
    """A column of behaviours: the table that it shares, and the feature that it is compared with."""
    if column.table is None:
        return f"{column.name} ({column.ids.kind} {column.ids.size:,}) alone"
    if column.target is None:
        return f"{column.name} as {column.table}, alone"
    other = "" if column.target == column.table else f" with {column.target}"
    return f"{column.name} as {column.table}{other}"


def _numeral_systems(feature: Numeric) -> str:
    """How a number becomes digits, if the schema says so."""
    words = [f"{feature.map} map"] if feature.map != "quantile" else []
    words += [f"base {'+'.join(map(str, feature.bases))}"] if feature.bases else []
    words += [f"{feature.bits} bits"] if feature.bits is not None else []
    return ", ".join(words)


def _statistics(feature: Feature) -> tuple[str, str, str]:
    """Distinct values, share of missing ones, and their distribution."""
    if isinstance(feature, Sparse) and feature.statistics is not None:
        several = f"{feature.statistics.mean_length:.3g} per row" if feature.max_values > 1 else ""
        return f"{feature.statistics.distinct:,}", f"{feature.statistics.missing:.1%}", several
    if isinstance(feature, (Numeric, Vector)) and feature.statistics is not None:
        found = feature.statistics
        what = "dot product " if isinstance(feature, Vector) else ""
        spread = f"{what}{found.mean:.4g} +- {found.std:.4g}, from {found.minimum:.4g} to {found.maximum:.4g}"
        return "", f"{found.missing:.1%}", spread
    return "", "", ""
