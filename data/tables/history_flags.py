"""The flags of infer that declare histories, counts and rates from earlier rows of the log."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Any, Final, Literal, cast

from absl import flags

from fullrank.data.command.errors import UsageError
from fullrank.data.files.printable import closest
from fullrank.data.schema.features import BehaviourColumn, Bits, Feature, Numeric, Sequence, Sparse
from fullrank.data.schema.reading import Along, History, Past, Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.past_rows import check_past

_PAST: Final = re.compile(
    r"\s*(?P<name>[^=]*[^=\s])\s*=\s*(?P<aggregate>count|sum|mean|last)\s*\(\s*(?P<of>[^(),]*?)\s*"
    r"(?:,\s*(?P<smoothing>[0-9]*\.?[0-9]+)\s*)?\)\s*(?:\bby\s+(?P<by>.+))?"
)


def define_history_flags(flag_values: flags.FlagValues) -> None:
    """Defines --history, --history_where, --history_length and --past."""
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_multi_string(
        "history",
        None,
        "A history of earlier rows of the log, as user_id:item_id or user_id:item_id,genre: adds a sequence of those "
        "ids and their times, strictly before each row, which convert fills in. They are compared with the row's own; "
        "columns after a +, as in user_id:item_id,genre+rating, describe only the earlier row. May be repeated with "
        "names: clicks=user_id:item_id.",
        **at,
    )
    flags.DEFINE_multi_string(
        "history_where",
        None,
        "Label that must be 1 for a row to be in the history; empty for every row. One for all, or one for each "
        "--history, in order.",
        **at,
    )
    flags.DEFINE_multi_integer(
        "history_length",
        50,
        "Most recent rows in the history. One for all, or one for each --history, in order.",
        lower_bound=1,
        **at,
    )
    flags.DEFINE_multi_string(
        "past",
        None,
        "A number computed from earlier rows of the log, strictly before each row, as a feature that convert fills in: "
        "'user_rate=mean(click) by user_id', 'seen=count() by user_id, item_id', 'clicks=sum(click)' of all rows, "
        "'last_rating=last(rating) by user_id'; mean(click, 5) adds 5 rows at the rate of all earlier rows. May be "
        "repeated.",
        **at,
    )


def with_histories(schema: Schema, flag_values: flags.FlagValues, *, numbers: Collection[str] = ()) -> Schema:
    """The schema with the sequences and the declarations that the flags ask for.

    Args:
      schema: The schema without them.
      flag_values: Parsed flags.
      numbers: Columns of the table that hold single whole numbers. Those that the schema leaves out become extras if
        they only describe behaviours: they are read from earlier rows and are not inputs.

    Raises:
      UsageError: If the flags name something that the schema does not have.
    """
    texts = flag_values.history or []
    given = {"history_where": flag_values.history_where or [""], "history_length": flag_values.history_length}
    for flag, values in given.items():
        if flag_values[flag].present and not texts:
            raise UsageError("--history_where and --history_length have no effect without --history.")
        if len(values) not in (1, len(texts)) and texts:
            raise UsageError(f"--{flag} is given once, or once for each of the {len(texts)} --history.")
    wheres, lengths = (values * len(texts) if len(values) == 1 else values for values in given.values())
    for text, where, length in zip(texts, wheres, lengths, strict=True):
        schema = _with_history(schema, text, where=where or None, length=length, numbers=numbers)
    return schema


def _with_history(schema: Schema, text: str, *, where: str | None, length: int, numbers: Collection[str]) -> Schema:
    begin, _, rest = text.partition(":")
    name, _, key = begin.rpartition("=")
    name = name or "history"
    of_target, _, of_behaviour = rest.partition("+")
    compared, alone = ([each.strip() for each in part.split(",") if each.strip()] for part in (of_target, of_behaviour))
    if not key or not compared:
        raise UsageError(
            f"--history takes user_id:item_id, user_id:item_id,genre or user_id:item_id+rating. Received: {text!r}."
        )
    if schema.time is None:
        raise UsageError("--history needs to know what came first: name the time column by --time.")
    known = [f.name for f in schema.features if isinstance(f, Bits) or (isinstance(f, Sparse) and f.max_values == 1)]
    singles = [column.name for column in schema.columns if column.form == "one"]
    own = {column.name for column in schema.columns}
    outcomes = tuple(dict.fromkeys(each for each in alone if each in numbers and each not in own))
    schema = dataclasses.replace(schema, extras=(*schema.extras, *outcomes))
    ids = [c.name for c in schema.columns if c.form == "one" and not _is_number(c.name, schema)]
    for each, among in ((key, singles), *((n, known) for n in compared), *((n, [*known, *ids]) for n in alone)):
        if each not in among:
            near = closest(each, among)
            hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(among)}."
            raise UsageError(f"--history={text}: {each!r} is not a sparse feature with single ids. {hint}")
    if where is not None and where not in [label.name for label in schema.labels]:
        raise UsageError(f"--history_where={where} is not a label.")
    lists = tuple(Along(name=f"{name}_{each}", of=each) for each in (*compared, *alone))
    times = f"{name}_time"
    taken = {column.name for column in schema.columns} | {feature.name for feature in schema.features}
    clash = next((each for each in (name, times, *(along.name for along in lists)) if each in taken), None)
    if clash is not None:
        raise UsageError(
            f"--history={text} adds {clash!r}, which already exists: give it a name, as in "
            f"--history=clicks={begin}:{rest}."
        )
    behaviour = tuple(_behaviour(schema, each, compared=each.of in compared) for each in lists)
    sequence = Sequence(name=name, behaviour=behaviour, times=times, max_length=length)
    history = History(key=key, lists=lists, times=times, where=where, length=length)
    reading = schema.reading or Reading()
    reading = dataclasses.replace(reading, histories=(*reading.histories, history))
    return dataclasses.replace(schema, features=(*schema.features, sequence), reading=reading)


def _is_number(name: str, schema: Schema) -> bool:
    """Whether a column holds an amount, whose values are not ids; binary labels and whole extras may serve as ids."""
    amounts = [feature.name for feature in schema.features if isinstance(feature, Numeric)]
    amounts += [label.name for label in schema.labels if label.type == "value"]
    return name in (*amounts, schema.weight)


def _behaviour(schema: Schema, along: Along, *, compared: bool) -> BehaviourColumn:
    """The column of behaviours that a list along a history fills, with the feature's table or one of its own."""
    feature = next((f for f in schema.features if f.name == along.of), None)
    if feature is None:
        dtypes = {column.name: column.dtype for column in schema.columns}
        return BehaviourColumn(name=along.name, dtype="bytes" if dtypes[along.of] == "bytes" else "int64")
    table = feature.table if isinstance(feature, Sparse) and feature.table is not None else feature.name
    return BehaviourColumn(name=along.name, table=table, target=feature.name if compared else None)


def with_past(schema: Schema, flag_values: flags.FlagValues, *, numbers: Collection[str]) -> Schema:
    """The schema with the features and the declarations that --past asks for.

    Args:
      schema: The schema without them.
      flag_values: Parsed flags.
      numbers: Columns of the table that hold single numbers. Those that the schema leaves out become extras if a flag
        asks for them: they are read from earlier rows and are not inputs.

    Raises:
      UsageError: If a flag cannot be parsed, or names something that does not exist.
    """
    for text in flag_values.past or []:
        found = _PAST.fullmatch(text)
        try:
            if found is None:
                raise ValueError("it is written as user_rate=mean(click) by user_id, with count, sum, mean or last.")
            past = Past(
                name=found["name"],
                aggregate=cast(Literal["count", "sum", "mean", "last"], found["aggregate"]),
                of=found["of"] or None,
                by=tuple(name.strip() for name in (found["by"] or "").split(",") if name.strip()),
                smoothing=float(found["smoothing"] or 0),
            )
            schema = _with(past, schema, numbers)
        except ValueError as error:
            raise UsageError(f"--past={text}: {error}") from error
    return schema


def _with(past: Past, schema: Schema, numbers: Collection[str]) -> Schema:
    columns = {column.name: column for column in schema.columns}
    if past.name in columns or past.name in {feature.name for feature in schema.features}:
        raise ValueError(f"column {past.name!r} already exists: choose another name.")
    if past.of is not None and past.of in numbers and past.of not in columns:
        schema = dataclasses.replace(schema, extras=(*schema.extras, past.of))
    sides = {feature.side for feature in schema.features if feature.name in past.by}
    side = sides.pop() if len(sides) == 1 else "context"
    feature: Feature = Numeric(name=past.name, side=side)
    dtype = columns[past.of].dtype if past.aggregate == "last" and past.of in columns else "float32"
    if dtype != "float32":
        owner = next((f for f in schema.features if isinstance(f, Sparse) and f.name == past.of), None)
        table = None if owner is None else owner.table or owner.name
        feature = Sparse(name=past.name, side=side, dtype=dtype, table=table)
    reading = schema.reading or Reading()
    reading = dataclasses.replace(reading, past=(*reading.past, past))
    schema = dataclasses.replace(schema, features=(*schema.features, feature), reading=reading)
    check_past(past, schema)
    return schema
